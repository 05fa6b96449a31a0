//! How fast money is reserved and settled when many ask at once, on a file as in a run.

use crate::base::{Clock, SystemClock};
use crate::ledger::{Admission, Budgets, Call, Ledger, PriceBook};
use crate::llm::Usage;
use crate::store::Store;
use anyhow::bail;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

const CALLERS: usize = 16;
const CALLS_EACH: usize = 200;
/// What every caller books.
const MODEL: &str = "claude-sonnet-4-6";

/// Median and 99th percentile of one reservation with its settling, and how many a second.
///
/// # Errors
/// When the store fails.
pub async fn measure(scratch: &Path) -> anyhow::Result<Vec<(&'static str, f64, &'static str)>> {
    let store = Store::open(&scratch.join("ledger.db")).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let budgets = roomy()?;
    let ledger = Ledger::new(store.clone(), PriceBook::embedded()?, budgets, clock);
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let ledger = ledger.clone();
        callers.spawn(async move { one_caller(&ledger, caller).await });
    }
    let mut times = Vec::with_capacity(CALLERS * CALLS_EACH);
    while let Some(done) = callers.join_next().await {
        times.extend(done??);
    }
    let seconds = started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    store.close().await;
    Ok(vec![
        ("ledger: reserve + settle, 16 callers, median", at(0.5), "ms"),
        ("ledger: reserve + settle, 16 callers, p99", at(0.99), "ms"),
        ("ledger: reservations settled", times.len() as f64 / seconds, "calls/s"),
    ])
}

fn roomy() -> anyhow::Result<Budgets> {
    Ok(toml::from_str(
        "total_per_day_usd = 1000000\ntotal_per_mission_usd = 1000000\nper_loop_usd = 1000000\nper_agent_per_day_usd = 1000000",
    )?)
}

async fn one_caller(ledger: &Ledger, caller: usize) -> anyhow::Result<Vec<f64>> {
    let agent = format!("agent-{caller}");
    let mut times = Vec::with_capacity(CALLS_EACH);
    for call in 0..CALLS_EACH {
        let raw = serde_json::json!({ "input_tokens": 900, "cache_read_input_tokens": 4_000, "output_tokens": 150 });
        let response = format!("msg_{caller}_{call}");
        let started = Instant::now();
        let reservation = match ledger.reserve(&Call::of_turn(&agent, None, MODEL, 5_000, 2_000)).await? {
            Admission::Granted(reservation) => reservation,
            Admission::Refused(refusal) => bail!("{refusal}"),
        };
        ledger.settle(reservation, &Usage::default(), &raw, Some(&response)).await?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

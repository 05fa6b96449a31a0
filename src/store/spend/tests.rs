//! What the rows of money promise.

use super::*;
use crate::store::fixtures::{at, mission};
use serde_json::json;

fn call(agent: &str, usd: f64) -> NewSpend {
    NewSpend {
        agent: agent.into(),
        turn_id: None,
        provider: "openai".into(),
        model: "gpt-5.2".into(),
        purpose: "turn".into(),
        reserved: NanoUsd::from_usd(usd),
        price_version: "2026-11-22".into(),
    }
}

fn limit(scope: SpendScope, usd: f64) -> SpendLimit {
    SpendLimit { scope, since: at(0), amount: NanoUsd::from_usd(usd) }
}

fn cost(usd: f64, response_id: &str) -> Settlement {
    Settlement {
        settled: NanoUsd::from_usd(usd),
        uncached_input: 100,
        cache_read: 20,
        cache_write_5m: 3,
        cache_write_1h: 4,
        output: 50,
        raw_usage: Some(json!({"input_tokens": 100})),
        estimated: false,
        response_id: Some(response_id.into()),
    }
}

async fn reserve(store: &Store, usd: f64) -> i64 {
    match store.reserve_within(&call("watcher", usd), &[], at(1)).await.unwrap() {
        Reserve::Reserved { id } => id,
        Reserve::Refused { .. } => panic!("refused without limits"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_ask_for_the_last_dollar_exactly_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..16 {
        let store = store.clone();
        tasks.spawn(async move {
            let limits = [limit(SpendScope::Everyone, 1.0)];
            store.reserve_within(&call(&format!("agent {caller}"), 0.75), &limits, at(1)).await.unwrap()
        });
    }
    let answers = tasks.join_all().await;
    let admitted = answers.iter().filter(|answer| matches!(answer, Reserve::Reserved { .. })).count();
    assert_eq!(admitted, 1);
    let spent = store.spent(&SpendScope::Everyone, at(0)).await.unwrap();
    assert_eq!(spent, NanoUsd::from_usd(0.75));
}

#[tokio::test]
async fn every_limit_counts_its_own_scope_and_the_refusal_names_it() {
    let store = Store::in_memory().await.unwrap();
    let watcher = SpendScope::Agent("watcher".into());
    let limits = [limit(SpendScope::Everyone, 10.0), limit(watcher.clone(), 1.0)];
    assert!(matches!(
        store.reserve_within(&call("watcher", 1.0), &limits, at(1)).await.unwrap(),
        Reserve::Reserved { .. }
    ));
    let refused = store.reserve_within(&call("watcher", 0.01), &limits, at(1)).await.unwrap();
    assert_eq!(refused, Reserve::Refused { limit: limit(watcher, 1.0), spent: NanoUsd::from_usd(1.0) });
    let other = [limit(SpendScope::Everyone, 10.0), limit(SpendScope::Agent("developer".into()), 1.0)];
    assert!(matches!(
        store.reserve_within(&call("developer", 1.0), &other, at(1)).await.unwrap(),
        Reserve::Reserved { .. }
    ));
}

#[tokio::test]
async fn a_call_is_booked_once_and_the_same_answer_is_never_booked_twice() {
    let store = Store::in_memory().await.unwrap();
    let (first, second) = (reserve(&store, 1.0).await, reserve(&store, 1.0).await);
    assert!(store.settle(first, &cost(0.2, "resp_1"), at(2)).await.unwrap());
    assert!(!store.settle(first, &cost(0.9, "resp_1"), at(3)).await.unwrap());
    assert!(!store.settle(second, &cost(0.2, "resp_1"), at(3)).await.unwrap());
    assert_eq!(store.spent(&SpendScope::Everyone, at(0)).await.unwrap(), NanoUsd::from_usd(0.2));
    let rows = store.spend(10).await.unwrap();
    assert_eq!((rows[0].settled, rows[1].settled), (Some(NanoUsd::ZERO), Some(NanoUsd::from_usd(0.2))));
    let by_agent = store.spend_by_agent(at(0)).await.unwrap();
    assert_eq!((by_agent[0].calls, by_agent[0].input, by_agent[0].output), (2, 127, 50));
}

#[tokio::test]
async fn what_nobody_settled_is_booked_as_an_estimate_and_corrected_when_news_come_late() {
    let store = Store::in_memory().await.unwrap();
    let id = reserve(&store, 1.0).await;
    assert!(store.expire_reservations(at(1), at(5)).await.unwrap().is_empty(), "it is not old enough");
    assert_eq!(store.expire_reservations(at(2), at(5)).await.unwrap(), [id]);
    let row = store.spend(1).await.unwrap().remove(0);
    assert_eq!((row.state, row.settled, row.estimated), (SpendState::Expired, Some(NanoUsd::from_usd(1.0)), true));
    assert!(store.settle(id, &cost(0.3, "late"), at(6)).await.unwrap());
    let row = store.spend(1).await.unwrap().remove(0);
    assert_eq!((row.state, row.settled, row.estimated), (SpendState::Settled, Some(NanoUsd::from_usd(0.3)), false));
}

#[tokio::test]
async fn a_loop_costs_what_was_reserved_while_it_was_open() {
    let store = Store::in_memory().await.unwrap();
    let mission = mission(&store).await;
    let first = store.open_loop(mission, 1, at(0)).await.unwrap();
    reserve(&store, 1.0).await;
    store.close_loop(first, crate::base::LoopEnding::Completed, None, at(2)).await.unwrap();
    let second = store.open_loop(mission, 2, at(2)).await.unwrap();
    assert_eq!(store.spend_of_loop(first).await.unwrap(), NanoUsd::from_usd(1.0));
    assert_eq!(store.spend_of_loop(second).await.unwrap(), NanoUsd::ZERO);
}

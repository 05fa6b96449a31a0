//! What the ledger promises, at its own defaults where a budget is not named.

use super::*;
use crate::base::{FakeClock, MissionState, Seed};
use crate::store::{NewMission, SpendState};
use serde_json::json;
use std::time::Duration;

const MODEL: &str = "claude-sonnet-4-6";

struct Fixture {
    ledger: Ledger,
    store: Store,
    clock: FakeClock,
}

async fn fixture(budgets: Budgets) -> Fixture {
    let store = Store::in_memory().await.unwrap();
    let clock = FakeClock::at(Timestamp::from_second(1_800_000_000).unwrap());
    let prices = PriceBook::embedded().unwrap();
    let ledger = Ledger::new(store.clone(), prices, budgets, Arc::new(clock.clone()));
    Fixture { ledger, store, clock }
}

fn dollars(day: f64, mission: f64, agent: f64) -> Budgets {
    Budgets {
        total_per_day: NanoUsd::from_usd(day),
        total_per_mission: NanoUsd::from_usd(mission),
        per_agent_per_day: NanoUsd::from_usd(agent),
    }
}

impl Fixture {
    /// Asks for a call whose output alone can cost `cents`: 1 cent is 666 output tokens at $15 per million.
    async fn ask(&self, agent: &str, cents: u32) -> Admission {
        self.ledger.reserve(agent, None, MODEL, 0, cents * 666).await.unwrap()
    }

    async fn granted(&self, agent: &str, cents: u32) -> Reservation {
        match self.ask(agent, cents).await {
            Admission::Granted(reservation) => reservation,
            Admission::Refused(refusal) => panic!("{refusal}"),
        }
    }

    async fn refused(&self, agent: &str, cents: u32) -> Refusal {
        match self.ask(agent, cents).await {
            Admission::Refused(refusal) => refusal,
            Admission::Granted(reservation) => panic!("{reservation:?}"),
        }
    }

    async fn mission(&self) {
        let new = NewMission {
            preset: "quick".into(),
            goal: "bricks".into(),
            planned_loops: 1,
            target_success: 0.8,
            seed: Seed(1),
            settings: json!({}),
            terms: json!({}),
            versions: json!({}),
        };
        self.store.create_mission(&new, self.clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_is_held_at_its_most_and_booked_at_what_it_came_to() {
    let f = fixture(Budgets::default()).await;
    let reservation = f.granted("watcher", 100).await;
    let held = reservation.amount();
    assert_eq!(f.ledger.left_today().await.unwrap(), Budgets::default().total_per_day - held);
    let usage = Usage { uncached_input: 1000, cache_read: 2000, output: 100, ..Usage::default() };
    let raw = json!({"input_tokens": 1000, "cache_read_input_tokens": 2000, "output_tokens": 100});
    let booked = f.ledger.settle(reservation, &usage, &raw, Some("msg_1")).await.unwrap();
    assert_eq!(booked, Booked { amount: NanoUsd::from_usd(0.003 + 0.0006 + 0.0015), estimated: false });
    let row = f.store.spend(1).await.unwrap().remove(0);
    assert_eq!((row.state, row.raw_usage, row.price_version.as_str()), (SpendState::Settled, Some(raw), "2026-11-22"));
    assert_eq!((row.provider.as_str(), row.reserved, row.cache_read), ("anthropic", held, 2000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_ask_for_the_last_dollar_exactly_one_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let clock = FakeClock::at(Timestamp::from_second(1_800_000_000).unwrap());
    let ledger = Ledger::new(store, PriceBook::embedded().unwrap(), dollars(1.0, 50.0, 8.0), Arc::new(clock));
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..12 {
        let ledger = ledger.clone();
        tasks.spawn(async move { ledger.reserve(&format!("agent {caller}"), None, MODEL, 0, 60_000).await.unwrap() });
    }
    let granted = tasks.join_all().await.into_iter().filter(|a| matches!(a, Admission::Granted(_))).count();
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn each_budget_refuses_by_its_own_name_and_counts_its_own_window() {
    let f = fixture(dollars(1.0, 10.0, 0.6)).await;
    let _held = f.granted("watcher", 50).await;
    assert_eq!(f.refused("watcher", 20).await.budget, "per_agent_per_day_usd");
    let _held = f.granted("developer", 40).await;
    let refusal = f.refused("training", 20).await;
    assert_eq!(refusal.budget, "total_per_day_usd");
    assert!(refusal.to_string().contains("of the $1.00 of total_per_day_usd are spent or held"), "{refusal}");
    f.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    let _held = f.granted("watcher", 50).await;

    let f = fixture(dollars(10.0, 1.0, 10.0)).await;
    let _before_the_mission = f.granted("watcher", 90).await;
    f.clock.advance(Duration::from_secs(1));
    f.mission().await;
    let _held = f.granted("watcher", 90).await;
    f.clock.advance(Duration::from_secs(48 * 60 * 60));
    assert_eq!(f.refused("watcher", 20).await.budget, "total_per_mission_usd");
    let mission = f.store.current_mission().await.unwrap().unwrap();
    f.store.set_mission_state(mission.id, MissionState::Completed, None, f.clock.now()).await.unwrap();
    let _after_it = f.granted("watcher", 20).await;
}

#[tokio::test]
async fn a_budget_of_zero_refuses_every_call_that_costs_and_no_turn_of_the_playbook() {
    let f = fixture(dollars(0.0, 0.0, 0.0)).await;
    f.refused("watcher", 1).await;
    let turn = f.store.begin_turn("watcher", "playbook", "1", None, f.clock.now()).await.unwrap();
    f.ledger.book_playbook_turn("watcher", turn).await.unwrap();
    let row = f.store.spend(1).await.unwrap().remove(0);
    assert_eq!((row.provider.as_str(), row.settled, row.turn_id), ("playbook", Some(NanoUsd::ZERO), Some(turn)));
    assert!(!row.estimated);
    let report = f.ledger.cost_report(f.clock.now()).await.unwrap();
    assert_eq!((report.calls(), report.total(), report.rows[0].agent.as_str()), (1, NanoUsd::ZERO, "watcher"));
}

#[tokio::test]
async fn an_unknown_model_is_refused_before_anything_is_held() {
    let f = fixture(Budgets::default()).await;
    let error = f.ledger.reserve("watcher", None, "gpt-9", 10, 10).await.unwrap_err();
    assert!(matches!(error, LedgerError::UnknownModel { .. }), "{error}");
    assert!(f.store.spend(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_may_be_billed_is_booked_whole_and_what_cannot_be_is_released() {
    let f = fixture(Budgets::default()).await;
    let cut = f.granted("watcher", 10).await;
    let held = cut.amount();
    let booked = f.ledger.settle_failure(cut, &LlmError::Cut("half an answer".into())).await.unwrap();
    assert_eq!(booked, Booked { amount: held, estimated: true });
    let refused = f.granted("watcher", 10).await;
    let booked = f.ledger.settle_failure(refused, &LlmError::RateLimited { retry_after: None }).await.unwrap();
    assert_eq!(booked, Booked { amount: NanoUsd::ZERO, estimated: false });
    let silent = f.granted("watcher", 10).await;
    let booked = f.ledger.settle(silent, &Usage::default(), &Value::Null, None).await.unwrap();
    assert_eq!(booked, Booked { amount: held, estimated: true });
}

#[tokio::test]
async fn a_crash_between_call_and_booking_is_found_at_the_next_start() {
    let f = fixture(Budgets::default()).await;
    let lost = f.granted("watcher", 10).await;
    let held = lost.amount();
    drop(lost);
    f.clock.advance(Duration::from_secs(60));
    assert_eq!(f.ledger.recover().await.unwrap(), 1);
    assert_eq!(f.ledger.recover().await.unwrap(), 0);
    let row = f.store.spend(1).await.unwrap().remove(0);
    assert_eq!((row.state, row.settled, row.estimated), (SpendState::Expired, Some(held), true));
}

//! What the ledger promises, at its own defaults where a budget is not named.

use super::*;
use crate::base::{FakeClock, MissionState, Seed, Timestamp};
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
        ..Budgets::default()
    }
}

impl Fixture {
    /// Asks for a call whose output alone can cost `cents`: 1 cent is 600 output tokens at $15 per million
    /// and a tenth more, should it run in the United States.
    async fn ask(&self, agent: &str, cents: u32) -> Admission {
        self.ledger.reserve(&Call::of_turn(agent, None, MODEL, 0, cents * 600)).await.unwrap()
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
    for caller in 0..200 {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let agent = format!("agent {caller}");
            ledger.reserve(&Call::of_turn(&agent, None, MODEL, 0, 60_000)).await.unwrap()
        });
    }
    let granted = tasks.join_all().await.into_iter().filter(|a| matches!(a, Admission::Granted(_))).count();
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn each_budget_refuses_with_scope_window_source_and_remedy() {
    let f = fixture(dollars(1.0, 10.0, 0.6)).await;
    let _held = f.granted("watcher", 50).await;
    let refusal = f.refused("watcher", 20).await;
    assert_eq!((refusal.source, refusal.window.as_str()), ("per_agent_per_day_usd", "day 2027-01-15"));
    assert_eq!((refusal.scope, refusal.already), (BudgetScope::AgentDay, false));
    assert!(f.refused("watcher", 1).await.already, "who was refused is not looked at again");
    let _held = f.granted("developer", 40).await;
    let refusal = f.refused("training", 20).await;
    assert_eq!(refusal.source, "total_per_day_usd");
    assert_eq!(
        refusal.to_string(),
        "The call could cost $0.20, but $0.89 of the $1.00 that the team may spend on day 2027-01-15 (UTC) are spent or \
         held. It asks again when the day ends, or when a person changes the budget. The budget is `total_per_day_usd` \
         under [budgets] in agents.toml; `/budget set total_per_day_usd 2` would raise it."
    );
    f.clock.advance(Duration::from_secs(24 * 60 * 60));
    let _held = f.granted("watcher", 50).await;

    let f = fixture(dollars(10.0, 1.0, 10.0)).await;
    let _before_the_mission = f.granted("watcher", 90).await;
    f.clock.advance(Duration::from_secs(1));
    f.mission().await;
    let _held = f.granted("watcher", 90).await;
    f.clock.advance(Duration::from_secs(48 * 60 * 60));
    assert_eq!(f.refused("watcher", 20).await.source, "total_per_mission_usd");
    let mission = f.store.current_mission().await.unwrap().unwrap();
    f.store.set_mission_state(mission.id, MissionState::Completed, None, f.clock.now()).await.unwrap();
    let _after_it = f.granted("watcher", 20).await;
}

#[tokio::test]
async fn a_thinking_watchdogs_call_has_a_budget_of_its_own() {
    let f = fixture(Budgets::default()).await;
    let call = |tokens| Call { purpose: Purpose::Watchdog, ..Call::of_turn("watchdog", None, MODEL, 0, tokens) };
    assert!(matches!(f.ledger.reserve(&call(100_000)).await.unwrap(), Admission::Granted(_)));
    match f.ledger.reserve(&call(130_000)).await.unwrap() {
        Admission::Refused(refusal) => {
            assert_eq!((refusal.source, refusal.window.as_str()), ("per_watchdog_call_usd", "call"));
            assert!(refusal.to_string().contains("more than the $2.00 that one call of the watchdog may cost"));
        }
        Admission::Granted(reservation) => panic!("{reservation:?}"),
    }
    let _same_for_an_agent = f.granted("watcher", 300).await;
}

#[tokio::test]
async fn people_are_told_of_use_and_of_holds_in_the_reports_channel() {
    let f = fixture(dollars(1.0, 10.0, 10.0)).await;
    let reservation = f.granted("watcher", 60).await;
    f.ledger.settle(reservation, &Usage::default(), &Value::Null, None).await.unwrap();
    f.refused("training", 60).await;
    f.refused("training", 60).await;
    let posts = f.store.latest_messages(Some("reports"), 10).await.unwrap();
    let texts: Vec<&str> = posts.iter().map(|post| post.text.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].starts_with("**50 % of a budget is used:** $0.59 of the $1.00 that the team may spend"),
        "{texts:?}"
    );
    assert!(texts[1].starts_with("**training makes no further call.** The call could cost $0.59"), "{texts:?}");
}

#[tokio::test]
async fn every_row_can_be_computed_again_and_a_wrong_one_is_found() {
    let f = fixture(Budgets::default()).await;
    let raw = json!({"input_tokens": 1000, "cache_read_input_tokens": 2000, "output_tokens": 100, "inference_geo": "us",
        "server_tool_use": {"web_search_requests": 1}, "service_tier": "standard"});
    let call = f.granted("watcher", 100).await;
    f.ledger.settle(call, &Usage::default(), &raw, Some("msg_1")).await.unwrap();
    let cut = f.granted("watcher", 10).await;
    f.ledger.settle_failure(cut, &LlmError::Cut("half".into())).await.unwrap();
    let refused = f.granted("watcher", 10).await;
    f.ledger.settle_failure(refused, &LlmError::RateLimited { retry_after: None }).await.unwrap();
    let _running = f.granted("watcher", 10).await;
    let turn = f.store.begin_turn("watcher", "playbook", "1", None, f.clock.now()).await.unwrap();
    f.ledger.book_playbook_turn("watcher", turn).await.unwrap();
    let audit = crate::ledger::audit(&f.store).await.unwrap();
    assert_eq!((audit.rows, audit.derived, audit.estimated, audit.free, audit.open), (5, 1, 1, 2, 1));
    assert_eq!(audit.differences, []);
    let row = f.store.spend(10).await.unwrap().pop().unwrap();
    assert_eq!((row.fees, row.web_searches, row.api.as_deref()), (NanoUsd::from_usd(0.01), 1, Some("messages")));

    // The same usage, booked at another amount and with prices that nobody kept.
    let wrong = f.granted("watcher", 10).await;
    let limits = Budgets::default().limits(false);
    let settlement = Settlement { raw_usage: Some(raw), estimated: false, ..estimate(NanoUsd(7), &Usage::default()) };
    f.store.settle(wrong.id, settlement, limits, words(&Budgets::default().day_zone), f.clock.now()).await.unwrap();
    let found = crate::ledger::audit(&f.store).await.unwrap().differences;
    assert_eq!((found.len(), found[0].booked), (1, NanoUsd(7)));
    assert!(found[0].why.contains("tokens in the row"), "{}", found[0].why);
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
    assert_eq!((row.uncached_input, row.output), (0, 0));
}

#[tokio::test]
async fn an_unknown_model_is_refused_before_anything_is_held() {
    let f = fixture(Budgets::default()).await;
    let error = f.ledger.reserve(&Call::of_turn("watcher", None, "gpt-9", 10, 10)).await.unwrap_err();
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

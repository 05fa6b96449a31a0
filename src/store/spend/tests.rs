//! What the rows of money promise.

use super::*;
use crate::store::fixtures::{at, mission};
use crate::store::{AuthorKind, BudgetScope, Limit, NewMessage, Notice, Reserve, Wish, Words};
use serde_json::json;
use std::sync::Arc;

fn call(agent: &str, usd: f64) -> NewSpend {
    NewSpend {
        agent: agent.into(),
        turn_id: None,
        provider: "openai".into(),
        model: "gpt-5.2".into(),
        purpose: "turn".into(),
        tier: None,
        reserved: NanoUsd::from_usd(usd),
        estimate_input: 10,
        max_output: 20,
        day: "2027-01-15".into(),
        price_version: "2026-11-22".into(),
    }
}

fn limit(scope: BudgetScope, key: &'static str, usd: f64) -> Limit {
    Limit { scope, key, amount: NanoUsd::from_usd(usd), set_by: None }
}

fn team(usd: f64) -> Vec<Limit> {
    vec![limit(BudgetScope::TeamDay, "team", usd)]
}

/// Words that tell what was noticed.
fn words() -> Words {
    Arc::new(|notice| {
        let text = match notice {
            Notice::Used { percent, limit, window, .. } => format!("{percent} % of {} in {window}", limit.key),
            Notice::Held { agent, refused } => format!("{agent} held by {}", refused.limit.key),
        };
        NewMessage {
            channel: "reports".into(),
            author: "ledger".into(),
            author_kind: AuthorKind::System,
            brain: None,
            text,
            attachments: Vec::new(),
            loop_id: None,
            dedup: None,
        }
    })
}

fn cost(usd: f64, response_id: &str) -> Settlement {
    Settlement {
        settled: NanoUsd::from_usd(usd),
        uncached_input: 100,
        cache_read: 20,
        cache_write_5m: 3,
        cache_write_1h: 4,
        output: 50,
        web_searches: 0,
        fees: NanoUsd::ZERO,
        api: Some("responses".into()),
        tier: None,
        raw_usage: Some(json!({"input_tokens": 100})),
        estimated: false,
        response_id: Some(response_id.into()),
    }
}

async fn ask(store: &Store, agent: &str, usd: f64, limits: Vec<Limit>, second: i64) -> Reserve {
    let wish = Wish { new: call(agent, usd), limits, words: words() };
    store.reserve_within(wish, at(second)).await.unwrap()
}

async fn reserve(store: &Store, usd: f64) -> i64 {
    match ask(store, "watcher", usd, Vec::new(), 1).await {
        Reserve::Reserved { id } => id,
        Reserve::Refused(_) => panic!("refused without limits"),
    }
}

async fn settle(store: &Store, id: i64, settlement: Settlement, limits: Vec<Limit>, second: i64) -> bool {
    store.settle(id, settlement, limits, words(), at(second)).await.unwrap()
}

async fn spent(store: &Store) -> NanoUsd {
    store.spent_in("team-day", "2027-01-15").await.unwrap()
}

async fn posts(store: &Store) -> Vec<String> {
    let rows = store.latest_messages(Some("reports"), 100).await.unwrap();
    rows.into_iter().map(|row| row.text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_at_once_exactly_those_that_fit_are_admitted() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("s.db")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..200 {
        let store = store.clone();
        tasks.spawn(async move { ask(&store, &format!("agent {caller}"), 0.07, team(1.0), 1).await });
    }
    let answers = tasks.join_all().await;
    let admitted = answers.iter().filter(|answer| matches!(answer, Reserve::Reserved { .. })).count();
    assert_eq!(admitted, 14, "14 × $0.07 = $0.98");
    assert_eq!(spent(&store).await, NanoUsd::from_usd(0.98));
    assert_eq!((store.spend(300).await.unwrap().len(), store.holds().await.unwrap().len()), (14, 186));
    assert!(store.wrong_totals().await.unwrap().is_empty());
}

#[tokio::test]
async fn every_limit_counts_its_own_scope_and_the_refusal_names_it() {
    let store = Store::in_memory().await.unwrap();
    let mission = mission(&store).await;
    store.open_loop(mission, 1, at(0)).await.unwrap();
    let limits = |day, agent, in_loop, in_mission| {
        vec![
            limit(BudgetScope::TeamDay, "team", day),
            limit(BudgetScope::AgentDay, "agent", agent),
            limit(BudgetScope::Loop, "loop", in_loop),
            limit(BudgetScope::Mission, "mission", in_mission),
        ]
    };
    assert!(matches!(ask(&store, "a", 1.0, limits(9.0, 9.0, 9.0, 9.0), 1).await, Reserve::Reserved { .. }));
    let mut refusals = Vec::new();
    for (agent, limits) in [
        ("b", limits(1.5, 9.0, 9.0, 9.0)),
        ("a", limits(9.0, 1.5, 9.0, 9.0)),
        ("c", limits(9.0, 9.0, 1.5, 9.0)),
        ("d", limits(9.0, 9.0, 9.0, 1.5)),
    ] {
        match ask(&store, agent, 1.0, limits, 1).await {
            Reserve::Refused(refused) => refusals.push((refused.limit.key, refused.window)),
            Reserve::Reserved { .. } => panic!("{agent} was admitted"),
        }
    }
    let expected =
        [("team", "day 2027-01-15"), ("agent", "day 2027-01-15"), ("loop", "loop 1"), ("mission", "mission 1")];
    assert_eq!(refusals, expected.map(|(key, window)| (key, window.to_owned())));
    let row = store.spend(1).await.unwrap().remove(0);
    assert_eq!((row.mission_id, row.loop_id.map(|id| id.0)), (Some(mission), Some(1)));
}

#[tokio::test]
async fn after_a_refusal_an_agent_waits_for_the_window_or_a_person() {
    let store = Store::in_memory().await.unwrap();
    let refused = async |agent: &str, usd: f64, limits| match ask(&store, agent, usd, limits, 1).await {
        Reserve::Refused(refused) => Some(refused.already),
        Reserve::Reserved { .. } => None,
    };
    assert_eq!(refused("watcher", 2.0, team(1.0)).await, Some(false));
    // A call that would fit is not looked at; another agent's is.
    assert_eq!(refused("watcher", 0.1, team(1.0)).await, Some(true));
    assert_eq!(refused("training", 0.1, team(1.0)).await, None);
    assert_eq!(posts(&store).await, ["watcher held by team"]);
    // The configuration changed.
    assert_eq!(refused("watcher", 0.1, team(1.5)).await, None);
    // A person set the budget.
    assert_eq!(refused("watcher", 2.0, team(1.5)).await, Some(false));
    store.set_budget("team", Some(NanoUsd::from_usd(4.0)), "kim", at(2)).await.unwrap();
    assert_eq!(refused("watcher", 2.0, team(1.5)).await, None);
    // A person let it go on.
    assert_eq!(refused("watcher", 9.0, team(1.5)).await, Some(false));
    assert_eq!(store.holds().await.unwrap()[0].source, "team");
    assert!(store.release_hold("watcher", "kim", at(3)).await.unwrap());
    assert!(!store.release_hold("watcher", "kim", at(3)).await.unwrap());
    assert_eq!(refused("watcher", 0.1, team(1.5)).await, None);
    // The day changed.
    assert_eq!(refused("watcher", 9.0, team(1.5)).await, Some(false));
    let new = NewSpend { day: "2027-01-16".into(), ..call("watcher", 0.1) };
    let answer = store.reserve_within(Wish { new, limits: team(1.5), words: words() }, at(4)).await.unwrap();
    assert!(matches!(answer, Reserve::Reserved { .. }));
    assert_eq!(store.holds().await.unwrap(), []);
}

#[tokio::test]
async fn half_four_fifths_and_all_of_a_budget_are_told_once_each() {
    let store = Store::in_memory().await.unwrap();
    for (second, usd) in [(1, 0.4), (2, 0.15), (3, 0.05), (4, 0.2), (5, 0.2), (6, 0.01)] {
        let id = reserve(&store, usd).await;
        assert!(settle(&store, id, cost(usd, &format!("r{second}")), team(1.0), second).await);
    }
    let expected = [50, 80, 100].map(|percent| format!("{percent} % of team in day 2027-01-15"));
    assert_eq!(posts(&store).await, expected);
}

#[tokio::test]
async fn a_call_is_booked_once_and_the_same_answer_is_never_booked_twice() {
    let store = Store::in_memory().await.unwrap();
    let (first, second) = (reserve(&store, 1.0).await, reserve(&store, 1.0).await);
    assert!(settle(&store, first, cost(0.2, "resp_1"), Vec::new(), 2).await);
    assert!(!settle(&store, first, cost(0.9, "resp_1"), Vec::new(), 3).await);
    assert!(!settle(&store, second, cost(0.2, "resp_1"), Vec::new(), 3).await);
    assert_eq!(spent(&store).await, NanoUsd::from_usd(0.2));
    let rows = store.spend(10).await.unwrap();
    assert_eq!((rows[0].settled, rows[1].settled), (Some(NanoUsd::ZERO), Some(NanoUsd::from_usd(0.2))));
    let by_agent = store.spend_by_agent(at(0)).await.unwrap();
    assert_eq!((by_agent[0].calls, by_agent[0].input, by_agent[0].output), (2, 127, 50));
    assert!(store.wrong_totals().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_nobody_settled_is_booked_as_an_estimate_and_corrected_when_news_come_late() {
    let store = Store::in_memory().await.unwrap();
    let id = reserve(&store, 1.0).await;
    assert!(store.expire_reservations(at(1), at(5)).await.unwrap().is_empty(), "it is not old enough");
    assert_eq!(store.expire_reservations(at(2), at(5)).await.unwrap(), [id]);
    let row = store.spend(1).await.unwrap().remove(0);
    assert_eq!((row.state, row.settled, row.estimated), (SpendState::Expired, Some(NanoUsd::from_usd(1.0)), true));
    assert!(settle(&store, id, cost(0.3, "late"), Vec::new(), 6).await);
    let row = store.spend(1).await.unwrap().remove(0);
    assert_eq!((row.state, row.settled, row.estimated), (SpendState::Settled, Some(NanoUsd::from_usd(0.3)), false));
    assert_eq!(spent(&store).await, NanoUsd::from_usd(0.3));
}

#[tokio::test]
async fn a_loop_costs_what_was_reserved_in_it_and_cells_keep_agent_and_model_apart() {
    let store = Store::in_memory().await.unwrap();
    let mission = mission(&store).await;
    let first = store.open_loop(mission, 1, at(0)).await.unwrap();
    reserve(&store, 1.0).await;
    store.close_loop(first, crate::base::LoopEnding::Completed, None, at(2)).await.unwrap();
    let second = store.open_loop(mission, 2, at(2)).await.unwrap();
    assert_eq!(store.spend_of_loop(first).await.unwrap(), NanoUsd::from_usd(1.0));
    assert_eq!(store.spend_of_loop(second).await.unwrap(), NanoUsd::ZERO);
    store.book_free(&call("training", 0.0), at(3)).await.unwrap();
    let cells = store.cost_cells(at(0), Some(mission)).await.unwrap();
    let shown: Vec<_> = cells.iter().map(|cell| (cell.agent.as_str(), cell.loop_number, cell.calls)).collect();
    assert_eq!(shown, [("watcher", Some(1), 1), ("training", Some(2), 1)]);
}

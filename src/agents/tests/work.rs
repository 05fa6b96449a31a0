//! Mail, turns and what they leave behind.

use super::*;
use crate::cycle::probe::Measured;
use crate::cycle::prober::store_probe;
use crate::cycle::rates::Rates;
use crate::store::{Activity, Change, MailKind, NewHandoff};
use async_trait::async_trait;

#[tokio::test]
async fn a_playbook_agent_answers_a_decision_and_says_so() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    let decision = w.ask(loop_id, Stage::Generate).await;
    assert_eq!(w.work(Persona::Developer).await, 1);

    let row = w.store.decision(decision).await.unwrap().unwrap();
    assert_eq!(row.proposed_by.as_deref(), Some("developer"));
    assert_eq!(row.proposal.unwrap()["episodes"], LoopPreset::default().generate.first_episodes);
    let message = w.messages().await.remove(0);
    assert_eq!((message.channel.as_str(), message.brain.as_deref()), ("mission-control", Some("playbook")));
    assert_eq!(message.loop_id, Some(loop_id));
    assert_eq!(w.store.waiting_mail("developer").await.unwrap(), 0);
}

#[tokio::test]
async fn every_turn_is_booked_and_the_playbooks_cost_nothing() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    w.ask(loop_id, Stage::Train).await;
    w.work(Persona::Training).await;
    let turn = w.store.turns(Some("training"), 5).await.unwrap().remove(0);
    assert_eq!(
        (turn.brain.as_str(), turn.outcome.as_deref(), turn.tool_calls),
        ("playbook", Some("done: proposed"), 3)
    );
    assert_eq!(turn.transcript[1]["tool"], "propose_plan");
    let spend = w.store.spend(5).await.unwrap();
    assert_eq!((spend.len(), spend[0].turn_id, spend[0].settled), (1, Some(turn.id), Some(crate::base::NanoUsd::ZERO)));
}

#[tokio::test]
async fn an_agent_without_mail_rests_and_takes_no_turn() {
    let w = World::new().await;
    let mut agent = w.agent(Persona::Watcher);
    for _ in 0..10 {
        assert_eq!(agent.work_through_mail(&CancellationToken::new()).await.unwrap(), 0);
        w.clock.advance(Duration::from_secs(3_600));
    }
    assert!(w.store.turns(None, 5).await.unwrap().is_empty());
    assert!(w.store.spend(5).await.unwrap().is_empty());
    assert_eq!(w.store.agents().await.unwrap()[0].activity, Activity::Idle);
}

/// Posts, and then either ends its turn or hangs for ever.
struct Posts {
    then_hangs: bool,
}

#[async_trait]
impl Brain for Posts {
    fn kind(&self) -> &str {
        "playbook"
    }
    fn model(&self) -> &str {
        ""
    }
    fn reads_context(&self) -> bool {
        false
    }
    async fn think(&self, turn: &TurnInput) -> Result<Step, BrainError> {
        if turn.called("post_message") {
            if self.then_hangs {
                std::future::pending::<()>().await;
            }
            return Ok(Step::Done(String::new()));
        }
        let arguments = json!({ "channel": "training", "text": "said once" });
        Ok(Step::Calls(vec![ToolCall { id: "1".to_owned(), tool: "post_message".to_owned(), arguments }]))
    }
}

#[tokio::test]
async fn mail_that_was_not_dealt_with_is_taken_again_and_nothing_is_said_twice() {
    let w = World::new().await;
    w.store.send_mail("watcher", MailKind::Message, &json!({}), "m", w.now()).await.unwrap();
    let stop = CancellationToken::new();
    let mut changes = w.store.changes();
    let mut first = w.agent_with(Persona::Watcher, Arc::new(Posts { then_hangs: true }));
    tokio::select! {
        _ = first.work_through_mail(&stop) => panic!("it hangs"),
        () = async { while changes.recv().await != Ok(Change::Message) {} } => {}
    }
    drop(first);
    assert_eq!(w.store.waiting_mail("watcher").await.unwrap(), 1);
    let mut second = w.agent_with(Persona::Watcher, Arc::new(Posts { then_hangs: false }));
    second.work_through_mail(&stop).await.unwrap();
    assert_eq!(w.messages().await.len(), 1);
    assert_eq!(w.store.waiting_mail("watcher").await.unwrap(), 0);
    assert_eq!(w.store.turns(Some("watcher"), 5).await.unwrap().len(), 2);
}

#[tokio::test]
async fn mail_that_cannot_be_dealt_with_is_put_aside_after_three_attempts() {
    let w = World::new().await;
    w.store.send_mail("watcher", MailKind::Message, &json!({}), "m", w.now()).await.unwrap();
    for _ in 0..3 {
        w.store.next_mail("watcher", w.now()).await.unwrap();
    }
    assert_eq!(w.work(Persona::Watcher).await, 0);
    assert_eq!(w.store.waiting_mail("watcher").await.unwrap(), 0);
    assert!(w.messages().await[0].text.starts_with("I could not deal with mail"));
}

#[tokio::test]
async fn two_agents_cannot_talk_in_circles() {
    let w = World::new().await;
    for i in 0..10 {
        let new = NewHandoff {
            loop_id: None,
            from_agent: "developer".to_owned(),
            to_agent: "training".to_owned(),
            kind: "dataset_ready".to_owned(),
            payload: json!({}),
        };
        w.store.hand_off(&new, &format!("h{i}"), w.now()).await.unwrap();
    }
    assert_eq!(w.work(Persona::Training).await, 6);
    assert_eq!(w.store.waiting_mail("training").await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_plan_is_not_proposed_again_by_the_same_rules() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    let decision = w.ask(loop_id, Stage::Train).await;
    w.work(Persona::Training).await;
    w.store.refuse_proposal(decision, "not today", w.now()).await.unwrap();
    let payload = json!({ "decision": decision, "refused": "not today" });
    w.store.send_mail("training", MailKind::DecisionAsked, &payload, "again", w.now()).await.unwrap();
    w.work(Persona::Training).await;
    assert_eq!(w.store.decision(decision).await.unwrap().unwrap().proposal, None);
}

#[tokio::test]
async fn only_the_owner_of_a_stage_proposes_and_bad_plans_are_told_apart() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    let decision = w.ask(loop_id, Stage::Evaluate).await;
    let ctx = |persona: Persona| {
        let caller = crate::tools::Caller {
            agent: persona.as_str().to_owned(),
            persona,
            tools: vec!["propose_plan".to_owned()],
            channels: Vec::new(),
            colleagues: Vec::new(),
            brain: None,
        };
        let turn = crate::base::TurnId(1);
        crate::tools::ToolContext::new(w.deps.tools.clone(), caller, turn, None, None, "test".to_owned())
    };
    let plan = |scenes: u32| json!({ "decision": decision, "reason": "because", "plan": { "scenes": scenes, "bricks": 1, "execute_steps": 10 } });
    let registry = &w.deps.registry;
    let refused = registry.call(&ctx(Persona::Training), "propose_plan", plan(130)).await.unwrap_err().to_string();
    assert!(refused.contains("is the evaluation's, not the training's"), "{refused}");
    let refused = registry.call(&ctx(Persona::Evaluation), "propose_plan", plan(3)).await.unwrap_err().to_string();
    assert_eq!(refused, "scenes is 3; it must lie between 13 and 2000");
    let refused = registry.call(&ctx(Persona::Evaluation), "loop_status", json!({})).await.unwrap_err().to_string();
    assert_eq!(refused, "loop_status is not among the tools that evaluation is given");
    let refused = registry.call(&ctx(Persona::Evaluation), "propose_pan", plan(130)).await.unwrap_err().to_string();
    assert!(refused.contains("the nearest is \"propose_plan\""), "{refused}");
    assert!(registry.call(&ctx(Persona::Evaluation), "propose_plan", plan(130)).await.is_ok());
}

#[tokio::test]
async fn a_team_works_its_mail_off_obeys_orders_and_is_joined() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    let stop = CancellationToken::new();
    let mut changes = w.store.changes();
    let team = Team::start(default_roster(), w.deps.clone(), Brains::new(), stop.clone()).unwrap();
    for stage in Stage::ALL {
        w.ask(loop_id, *stage).await;
    }
    w.store.place_order("restart_agent", "developer", &json!({}), "o1", w.now()).await.unwrap();
    let settled = async {
        loop {
            let open = w.store.open_decisions().await.unwrap();
            let orders = w.store.open_orders().await.unwrap();
            if orders.is_empty() && open.iter().all(|decision| decision.proposal.is_some()) {
                break;
            }
            changes.recv().await.ok();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.unwrap();
    stop.cancel();
    team.join().await;
    let agents = w.store.agents().await.unwrap();
    assert_eq!(agents.len(), 5);
    assert!(agents.iter().all(|agent| agent.activity == Activity::Stopped), "{agents:?}");
}

#[tokio::test]
async fn a_plan_that_does_not_fit_is_made_smaller_and_the_message_shows_the_arithmetic() {
    let w = World::new().await;
    let mut preset = LoopPreset::default();
    preset.deadlines.generate_minutes = 0.25;
    let loop_id = w.open_loop_of(&preset).await;
    let rates = Rates { threads: 2, expert_episodes_per_s: 50.0, bad_start_episodes_per_s: 250.0, ..Rates::default() };
    let measured = Measured { rates, ..Measured::default() };
    store_probe(&w.store, &preset, &measured, None, w.now()).await.unwrap();
    let decision = w.ask(loop_id, Stage::Generate).await;
    w.work(Persona::Developer).await;
    let proposal = w.store.decision(decision).await.unwrap().unwrap().proposal.unwrap();
    assert_eq!(proposal["episodes"], 2_100);
    insta::assert_snapshot!(w.messages().await[0].text, @"**Loop 1 · generate.** 2,100 episodes with 1–2 bricks, all driven by the expert: 13 % with noise, 85 % from bad starts. About 14 s (11 s to 16 s). 5,000 episodes at 155 episodes/s on 2 threads take 32 s (±20 %), 15 s are left until the stage's deadline: at most 2,100 fit.");
}

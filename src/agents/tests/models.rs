//! A language model as a brain: played by a script that refuses what a provider would refuse.

use super::*;
use crate::base::NanoUsd;
use crate::llm::{LlmError, Message, Scripted};
use crate::store::{MailKind, SpendState};
use serde_json::Value;

fn brain(w: &World, model: &Arc<Scripted>) -> Arc<dyn Brain> {
    let prompt = Prompts::built_in().of(Persona::Training).to_owned();
    let clock: Arc<dyn Clock> = Arc::new(w.clock.clone());
    Arc::new(ModelBrain::new(model.clone(), w.ledger.clone(), clock, prompt, 500))
}

fn plan(decision: crate::base::DecisionId, samples: u64) -> Value {
    let plan = json!({ "samples": samples, "learning_rate": 0.0007, "newest_share": 0.0, "start": "scratch" });
    json!({ "decision": decision, "plan": plan, "reason": "as the preset has it" })
}

#[tokio::test]
async fn a_model_is_told_what_is_wrong_and_tries_again() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    let decision = w.ask(loop_id, Stage::Train).await;
    let model = Arc::new(Scripted::new([
        Scripted::calls(&[("read_decision", json!({ "decision": decision }))]),
        Scripted::calls(&[("propose_plan", plan(decision, 0))]),
        Scripted::calls(&[
            ("propose_plan", plan(decision, 60_000)),
            ("post_message", json!({ "channel": "mission-control", "text": "60,000 samples from scratch." })),
        ]),
        Scripted::says("proposed"),
    ]));
    let mut agent = w.agent_with(Persona::Training, brain(&w, &model));
    agent.work_through_mail(&CancellationToken::new()).await.unwrap();

    assert_eq!(w.store.decision(decision).await.unwrap().unwrap().proposal.unwrap()["samples"], 60_000);
    let message = w.messages().await.remove(0);
    assert_eq!((message.author.as_str(), message.brain), ("training", None));
    let requests = model.requests();
    assert_eq!((requests.len(), model.left()), (4, 0));
    let told = requests[2].messages.iter().any(|message| {
        matches!(message, Message::ToolResult { content, is_error: true, .. } if content.contains("samples is 0"))
    });
    assert!(told, "{:?}", requests[2].messages);
    assert!(requests.iter().all(|request| request.system == requests[0].system && request.tools == requests[0].tools));

    let spend = w.store.spend(10).await.unwrap();
    assert_eq!(spend.len(), 4);
    assert!(spend.iter().all(|row| row.state == SpendState::Settled && row.settled == Some(NanoUsd(200_000))));
}

#[tokio::test]
async fn a_permanent_refusal_is_told_once_and_the_playbook_takes_over_without_another_call() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    let first = w.ask(loop_id, Stage::Train).await;
    let model = Arc::new(Scripted::new([Err(LlmError::BadCredentials("expired".to_owned()))]));
    let mut agent = w.agent_with(Persona::Training, brain(&w, &model));
    agent.work_through_mail(&CancellationToken::new()).await.unwrap();
    let payload = json!({ "question": "how is it going?", "reply_channel": "training", "asker": { "name": "Kim" } });
    w.store.send_mail("training", MailKind::Message, &payload, "m2", w.now()).await.unwrap();
    agent.work_through_mail(&CancellationToken::new()).await.unwrap();

    assert!(w.store.decision(first).await.unwrap().unwrap().proposal.is_some());
    assert_eq!(model.requests().len(), 1, "after a permanent refusal nothing is asked again");
    let messages = w.messages().await;
    let outages = messages.iter().filter(|message| message.text.contains("The playbook answers in my place")).count();
    assert_eq!(outages, 1);
    assert!(messages.iter().all(|message| message.brain.as_deref() == Some("playbook")));
    assert_eq!(w.store.waiting_mail("training").await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_budget_makes_no_call_and_the_playbook_takes_over() {
    let nothing = Budgets { total_per_day: NanoUsd::ZERO, ..Budgets::default() };
    let w = World::with_budgets(nothing).await;
    let loop_id = w.open_loop().await;
    let decision = w.ask(loop_id, Stage::Train).await;
    let model = Arc::new(Scripted::new([Scripted::says("never asked")]));
    let mut agent = w.agent_with(Persona::Training, brain(&w, &model));
    agent.work_through_mail(&CancellationToken::new()).await.unwrap();
    assert_eq!(model.requests().len(), 0);
    assert!(w.store.decision(decision).await.unwrap().unwrap().proposal.is_some());
    assert!(w.messages().await[0].text.contains("total_per_day_usd"), "{}", w.messages().await[0].text);
}

#[tokio::test]
async fn plain_words_to_a_persons_question_become_a_message() {
    let w = World::new().await;
    let model = Arc::new(Scripted::new([Scripted::says("Nothing runs yet."), Scripted::says("done")]));
    let payload = json!({ "question": "what now?", "reply_channel": "rollouts", "asker": { "name": "Kim" } });
    w.store.send_mail("training", MailKind::Message, &payload, "m", w.now()).await.unwrap();
    let mut agent = w.agent_with(Persona::Training, brain(&w, &model));
    agent.work_through_mail(&CancellationToken::new()).await.unwrap();
    let message = w.messages().await.remove(0);
    assert_eq!((message.channel.as_str(), message.text.as_str()), ("rollouts", "Nothing runs yet."));
}

#[tokio::test]
async fn a_model_that_never_stops_is_stopped() {
    let w = World::new().await;
    let script = (0..20).map(|_| Scripted::calls(&[("agent_ages", json!({}))]));
    let model = Arc::new(Scripted::new(script));
    w.store.send_mail("training", MailKind::Order, &json!({}), "m", w.now()).await.unwrap();
    let mut agent = w.agent_with(Persona::Training, brain(&w, &model));
    agent.work_through_mail(&CancellationToken::new()).await.unwrap();
    assert_eq!(model.requests().len(), 8);
    let turn = w.store.turns(Some("training"), 1).await.unwrap().remove(0);
    assert_eq!(turn.outcome.as_deref(), Some("bound: 8 rounds used"));
}

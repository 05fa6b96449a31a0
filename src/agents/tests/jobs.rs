//! Work that an agent starts outside the loop's own stages.

use super::*;
use crate::cycle::spec::JobSpec;
use crate::store::JobRow;
use crate::tools::{Asker, Caller, ToolContext, ToolOutput};
use serde_json::Value;

fn ctx(w: &World, persona: Persona, asker: Option<Asker>, cause: &str) -> ToolContext {
    let caller = Caller {
        agent: persona.as_str().to_owned(),
        persona,
        tools: vec!["*".to_owned()],
        channels: Vec::new(),
        colleagues: Vec::new(),
        brain: None,
    };
    ToolContext::new(w.deps.tools.clone(), caller, crate::base::TurnId(1), None, asker, cause.to_owned())
}

fn patch() -> Value {
    let family = crate::cycle::stages::family_names().remove(0);
    json!({ "families": { family: 1.0 }, "episodes": 40 })
}

async fn job_of(w: &World, output: ToolOutput) -> JobRow {
    w.store.job(output.waits_for.unwrap()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_patch_joins_the_open_loop_with_a_seed_of_its_own_and_is_made_once() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    let call = async |cause: &str| {
        let ctx = ctx(&w, Persona::Developer, None, cause);
        let output = w.deps.registry.call(&ctx, "patch_data", patch()).await.unwrap();
        job_of(&w, output).await
    };
    let first = call("mail-1").await;
    assert_eq!((first.loop_id, first.stage, first.owner.as_str()), (Some(loop_id), None, "developer"));
    assert_eq!(call("mail-1").await.id, first.id, "the same mail makes the same job");
    let second = call("mail-2").await;
    let seed = |job: &JobRow| match serde_json::from_value(job.spec.clone()).unwrap() {
        JobSpec::Generate(spec) => spec.order.seed,
        JobSpec::Train(_) | JobSpec::Evaluate(_) | JobSpec::Feedback(_) => panic!("another kind of job"),
    };
    assert_ne!(seed(&first), seed(&second));
}

#[tokio::test]
async fn work_is_refused_with_what_would_be_needed() {
    let w = World::new().await;
    let registry = &w.deps.registry;
    let refusal = async |persona, asker, tool: &str, args: Value| {
        registry.call(&ctx(&w, persona, asker, "mail-1"), tool, args).await.unwrap_err().to_string()
    };
    let none = refusal(Persona::Developer, None, "patch_data", patch()).await;
    assert_eq!(none, "no mission has been started yet, so there is no preset to work by");
    w.open_loop().await;
    let scenes = json!({ "scenes": 26, "bricks": 1, "execute_steps": 10 });
    let early = refusal(Persona::Evaluation, None, "run_rollouts", scenes.clone()).await;
    assert_eq!(early, "there is nothing to evaluate with yet; the loop has to make it first");
    let foreign = refusal(Persona::Watcher, None, "run_rollouts", scenes).await;
    assert_eq!(foreign, "run_rollouts is not watcher's to use; it belongs to evaluation");
    let viewer = Asker { name: "Kim".to_owned(), may_operate: false };
    let denied = refusal(Persona::Developer, Some(viewer), "patch_data", patch()).await;
    assert_eq!(denied, "Kim may ask and look, but not start work; an operator can");
    let mut typo = patch();
    typo["families"] = json!({ "opn_floor": 1.0 });
    let unknown = refusal(Persona::Developer, None, "patch_data", typo).await;
    assert!(unknown.contains("the nearest is \"open_floor\""), "{unknown}");
}

//! One loop as people read it, word for word, and the answers to their questions.

use super::*;
use crate::base::{ArtifactId, JobId, JobKind};
use crate::store::{EvaluationKind, MailKind, NewCheckpoint, NewDataset, NewEvaluation, NewJob, SceneRow};
use serde_json::Value;

/// A job of the loop that ran for `seconds` and ended with `result`.
async fn job(w: &World, loop_id: LoopId, stage: Stage, kind: JobKind) -> JobId {
    let new = NewJob {
        kind,
        spec: json!({}),
        key: format!("mission1/loop1/{stage}"),
        owner: stage.owner().as_str().to_owned(),
        loop_id: Some(loop_id),
        stage: Some(stage),
        limit: None,
    };
    let id = w.store.enqueue(&new, w.now()).await.unwrap();
    w.store.claim_next_job("worker", w.now() + Duration::from_secs(600), w.now()).await.unwrap().unwrap();
    id
}

async fn end(w: &World, job: JobId, seconds: u64, result: Value) {
    w.clock.advance(Duration::from_secs(seconds));
    assert!(w.store.finish_job(job, &result, w.now()).await.unwrap());
}

fn scenes(solved: u32, of: u32) -> Vec<SceneRow> {
    let families = ["open_floor", "brick_at_wall", "brick_in_corner"];
    (0..of)
        .map(|scene| SceneRow {
            scene,
            family: families[(scene * 3 / of) as usize].to_owned(),
            success: scene < solved,
            bricks: 1,
            delivered: u32::from(scene < solved),
            steps: 300,
            failure: (scene >= solved).then(|| if scene % 3 == 0 { "missed_scoop" } else { "wall_stuck" }.to_owned()),
            x_m: 0.0,
            z_m: 0.0,
            clip: (scene == 0 || scene == of - 1).then(|| ArtifactId(format!("{scene:064}"))),
        })
        .collect()
}

async fn evaluation(w: &World, loop_id: LoopId, job: JobId, kind: EvaluationKind, solved: u32, of: u32) -> i64 {
    let scenes = scenes(solved, of);
    let new = NewEvaluation {
        kind,
        loop_id: Some(loop_id),
        job_id: Some(job),
        checkpoint_id: None,
        samples_seen: 26_667,
        execute_steps: 10,
        scenes: Proportion::new(solved, of),
        bricks: Proportion::new(solved, of),
        summary: json!({ "failures": [["wall_stuck", 60], ["missed_scoop", 30]], "per_family": [] }),
    };
    w.store.add_evaluation(&new, &scenes, &format!("{kind}-{solved}"), w.now()).await.unwrap().0
}

/// Everything that was posted, as `#channel author: text [attachments]`.
async fn transcript(w: &World) -> String {
    let mut lines = String::new();
    for message in w.messages().await {
        assert_eq!(message.brain.as_deref(), Some("playbook"), "{}", message.text);
        let names: Vec<_> = message.attachments.iter().map(|item| item.name.as_str()).collect();
        let attached = if names.is_empty() { String::new() } else { format!("\n[{}]", names.join(", ")) };
        lines += &format!("#{} {}: {}{attached}\n\n", message.channel, message.author, message.text);
    }
    lines.trim_end().to_owned()
}

async fn whole_loop(w: &World) -> LoopId {
    let loop_id = w.open_loop().await;
    let opened = json!({ "event": "opened", "loop": loop_id, "number": 1 });
    w.store.send_mail("watcher", MailKind::LoopEvent, &opened, "opened", w.now()).await.unwrap();
    w.work(Persona::Watcher).await;

    w.ask(loop_id, Stage::Generate).await;
    w.work(Persona::Developer).await;
    let generate = job(w, loop_id, Stage::Generate, JobKind::Generate).await;
    let dataset = NewDataset {
        loop_id: Some(loop_id),
        job_id: Some(generate),
        artifact: ArtifactId("d".repeat(64)),
        path: "datasets/loop-1".to_owned(),
        episodes: 400,
        frames: 61_204,
        samples: 20_401,
        strategy: "expert".to_owned(),
        summary: json!({}),
    };
    w.store.add_dataset(&dataset, w.now()).await.unwrap();
    let made = json!({ "dataset": 1, "episodes": 400, "frames": 61_204, "samples": 20_401, "seconds": 58.4,
        "expert_success": { "successes": 398, "trials": 400 }, "per_strategy": { "expert": 160, "noise": 240, "dagger": 0 },
        "bytes": 118_400_000 });
    end(w, generate, 59, made).await;
    w.work(Persona::Developer).await;

    w.ask(loop_id, Stage::Train).await;
    w.work(Persona::Training).await;
    let train = job(w, loop_id, Stage::Train, JobKind::Train).await;
    w.store.add_training_point(train, 40_000, 0.2, 7e-4).await.unwrap();
    w.store.add_training_point(train, 80_000, 0.0812, 7e-4).await.unwrap();
    w.clock.advance(Duration::from_secs(70));
    let canary = evaluation(w, loop_id, train, EvaluationKind::Canary, 1, 26).await;
    let payload = json!({ "job": train, "loop": loop_id, "canary": canary });
    w.store.send_mail("training", MailKind::JobEvent, &payload, "canary-1", w.now()).await.unwrap();
    w.work(Persona::Training).await;
    let checkpoint = NewCheckpoint {
        loop_id: Some(loop_id),
        job_id: Some(train),
        parent: None,
        artifact: ArtifactId("c".repeat(64)),
        path: "checkpoints/loop-1".to_owned(),
        samples_seen: 80_000,
        final_loss: 0.0812,
        summary: json!({}),
    };
    let checkpoint = w.store.add_checkpoint(&checkpoint, w.now()).await.unwrap();
    let trained = json!({ "checkpoint": checkpoint, "samples": 80_000, "final_loss": 0.0812, "seconds": 192.3,
        "samples_per_s": 416.0, "canaries": [{ "samples": 26_667, "scenes": { "successes": 1, "trials": 26 } }] });
    end(w, train, 122, trained).await;
    w.work(Persona::Training).await;

    w.ask(loop_id, Stage::Evaluate).await;
    w.work(Persona::Evaluation).await;
    let evaluate = job(w, loop_id, Stage::Evaluate, JobKind::Evaluate).await;
    let number = evaluation(w, loop_id, evaluate, EvaluationKind::Loop, 41, 130).await;
    let measured = json!({ "evaluation": number, "scenes": { "successes": 41, "trials": 130 },
        "bricks": { "successes": 41, "trials": 130 }, "seconds": 74.0 });
    end(w, evaluate, 75, measured).await;
    w.work(Persona::Evaluation).await;
    w.work(Persona::DomainExpert).await;

    w.ask(loop_id, Stage::Feedback).await;
    w.work(Persona::Watcher).await;
    let feedback = job(w, loop_id, Stage::Feedback, JobKind::Feedback).await;
    w.store.promote(checkpoint, w.now()).await.unwrap();
    let judged = json!({ "promoted": true, "target_met": false,
        "reason": "first policy that solves scenes: 31.5 % (41/130, 95 % interval 24.2–40.0 %)",
        "next": { "families": { "brick_in_corner": 1.4, "open_floor": 0.7 }, "dagger_share": 0.6, "stop": null } });
    end(w, feedback, 2, judged).await;
    w.work(Persona::Watcher).await;
    loop_id
}

#[tokio::test]
async fn one_loop_as_the_playbook_tells_it() {
    let w = World::new().await;
    whole_loop(&w).await;
    insta::assert_snapshot!(transcript(&w).await);
}

#[tokio::test]
async fn a_question_is_answered_from_rows_by_a_brain_that_says_what_it_is() {
    let w = World::new().await;
    whole_loop(&w).await;
    let before = w.messages().await.len();
    for (i, (agent, persona, question)) in [
        ("watcher", Persona::Watcher, "How good is it?"),
        ("evaluation", Persona::Evaluation, "what fails most?"),
        ("training", Persona::Training, "what did this cost so far?"),
    ]
    .into_iter()
    .enumerate()
    {
        let payload = json!({ "question": question, "reply_channel": "mission-control",
            "asker": { "name": "Kim", "may_operate": false } });
        w.store.send_mail(agent, MailKind::Message, &payload, &format!("q{i}"), w.now()).await.unwrap();
        w.work(persona).await;
    }
    let answers: Vec<_> = w.messages().await.into_iter().skip(before).map(|message| message.text).collect();
    insta::assert_snapshot!(answers.join("\n\n"));
}

#[tokio::test]
async fn a_failed_job_is_told_with_its_reason() {
    let w = World::new().await;
    let loop_id = w.open_loop().await;
    let train = job(&w, loop_id, Stage::Train, JobKind::Train).await;
    assert!(w.store.fail_job(train, "the disk is full: 2 MiB left of 1,024 needed", w.now()).await.unwrap());
    w.work(Persona::Training).await;
    assert_eq!(
        w.messages().await[0].text,
        "**Loop 1: train failed** after 1 attempt (job 1).\nReason: The disk is full: 2 MiB left of 1,024 needed.\n\
         What was stored before it stays."
    );
}

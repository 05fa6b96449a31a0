//! A mission in the middle of its second loop, with what five agents said about it, real charts and a real clip.

use ralphton::artifacts::Artifacts;
use ralphton::base::{
    Clock, EvaluationSeed, JobId, JobKind, LoopEnding, LoopId, Persona, Progress, Proportion, Seed, Stage, SystemClock,
    Timestamp,
};
use ralphton::cycle::control::{self, MissionOrder};
use ralphton::cycle::machine::LoopEvent;
use ralphton::cycle::plan::{Plan, StartFrom, TrainPlan};
use ralphton::cycle::preset::LoopPreset;
use ralphton::cycle::terms::Terms;
use ralphton::report::{CanaryPoint, LossPoint, SuccessPoint, success_chart, training_chart};
use ralphton::rollout::{Pilot, RolloutOptions, SceneSet, drive, film};
use ralphton::store::{
    Activity, Attachment, AuthorKind, EvaluationKind, NewDataset, NewEvaluation, NewJob, NewMessage, Store,
};
use serde_json::json;

fn ago(seconds: u64) -> Timestamp {
    SystemClock.now() - std::time::Duration::from_secs(seconds)
}

pub async fn say(
    store: &Store,
    author: &str,
    channel: &str,
    text: &str,
    attachments: Vec<Attachment>,
    seconds_ago: u64,
) {
    let (author_kind, brain) = match author {
        "ralphton" => (AuthorKind::System, None),
        "kim" => (AuthorKind::Person, Some("discord".to_owned())),
        _ => (AuthorKind::Agent, Some("playbook".to_owned())),
    };
    let message = NewMessage {
        channel: channel.to_owned(),
        author: author.to_owned(),
        author_kind,
        brain,
        text: text.to_owned(),
        attachments,
        loop_id: None,
        dedup: None,
    };
    store.post(&message, ago(seconds_ago)).await.unwrap();
}

async fn picture(artifacts: &Artifacts, bytes: Vec<u8>, name: &str, alt: &str) -> Attachment {
    let extension = name.rsplit('.').next().unwrap();
    Attachment {
        artifact: artifacts.put(bytes, extension).await.unwrap(),
        name: name.to_owned(),
        media_type: format!("image/{extension}"),
        alt: alt.to_owned(),
    }
}

pub async fn tell(store: &Store, artifacts: &Artifacts) {
    let order = MissionOrder {
        preset_name: "quick".to_owned(),
        preset: LoopPreset::default(),
        goal: "Put every brick in the box, from any start, in closed loop.".to_owned(),
        loops: 3,
        target_success: 0.9,
        seed: Seed(42),
        terms: Terms::default(),
    };
    let mission = control::start(store, &order, ago(640)).await.unwrap();
    let first = store.open_loop(mission, 1, ago(640)).await.unwrap();
    finished_loop(store, first).await;
    let second = store.open_loop(mission, 2, ago(200)).await.unwrap();
    training_loop(store, second).await;
    agents(store).await;
    transcript(store, artifacts).await;
}

async fn finished_loop(store: &Store, loop_id: LoopId) {
    let generate = job(store, loop_id, JobKind::Generate, Persona::Developer, Stage::Generate, 640).await;
    let dataset = NewDataset {
        loop_id: Some(loop_id),
        job_id: Some(generate),
        artifact: ralphton::base::ArtifactId("a".repeat(64)),
        path: "ralphton-data/artifacts/dataset/aaaaaaaaaaaa".to_owned(),
        episodes: 400,
        frames: 46_210,
        samples: 15_403,
        strategy: "expert".to_owned(),
        summary: json!({}),
    };
    store.add_dataset(&dataset, ago(600)).await.unwrap();
    store.finish_job(generate, &json!({"episodes": 400}), ago(600)).await.unwrap();
    let train = job(store, loop_id, JobKind::Train, Persona::Training, Stage::Train, 590).await;
    store.finish_job(train, &json!({"samples": 80_000, "final_loss": 0.0617}), ago(330)).await.unwrap();
    let evaluation = NewEvaluation {
        kind: EvaluationKind::Loop,
        loop_id: Some(loop_id),
        job_id: None,
        checkpoint_id: None,
        samples_seen: 80_000,
        execute_steps: 10,
        scenes: Proportion::new(81, 130),
        bricks: Proportion::new(81, 130),
        summary: json!({
            "failures": [["wall_stuck", 21], ["brick_lost", 11], ["never_found", 9], ["timeout_at_box", 8]],
            "per_family": [["brick_in_corner", {"successes": 1, "trials": 10}]],
        }),
    };
    store.add_evaluation(&evaluation, &[], "loop-1", ago(240)).await.unwrap();
    store.close_loop(loop_id, LoopEnding::Completed, None, ago(200)).await.unwrap();
}

async fn training_loop(store: &Store, loop_id: LoopId) {
    let plan =
        Plan::Train(TrainPlan { samples: 80_000, learning_rate: 7e-4, newest_share: 0.3, start: StartFrom::Latest });
    let generate = Plan::from_json(
        Stage::Generate,
        &json!({"episodes": 160, "bricks_min": 1, "bricks_max": 2, "families": {}, "noisy_share": 0.6,
            "bad_start_share": 0.4, "dagger_share": 0.7}),
        &[],
    );
    let events = [
        LoopEvent::Opened,
        LoopEvent::PlanAccepted { plan: generate.unwrap(), by: "developer".to_owned() },
        LoopEvent::StagePassed { stage: Stage::Generate, result: json!({}) },
        LoopEvent::PlanAccepted { plan, by: "training".to_owned() },
    ];
    for (at, event) in events.iter().enumerate() {
        let event = serde_json::to_value(event).unwrap();
        store.append_loop_event(loop_id, at as u32, &event, ago(150)).await.unwrap();
    }
    let job = job(store, loop_id, JobKind::Train, Persona::Training, Stage::Train, 120).await;
    for i in 1..=45_u64 {
        store.add_training_point(job, i * 1_000, loss(i), 7e-4).await.unwrap();
    }
    let progress = Progress { done: 45_000, total: 80_000, unit: "samples", note: "loss 0.081".to_owned() };
    store.job_progress(job, &progress, ago(1)).await.unwrap();
    let canary = NewEvaluation {
        kind: EvaluationKind::Canary,
        loop_id: Some(loop_id),
        job_id: Some(job),
        checkpoint_id: None,
        samples_seen: 27_000,
        execute_steps: 10,
        scenes: Proportion::new(18, 26),
        bricks: Proportion::new(18, 26),
        summary: json!({}),
    };
    store.add_evaluation(&canary, &[], "canary-1", ago(40)).await.unwrap();
}

/// A curve that falls with a little noise.
fn loss(i: u64) -> f64 {
    0.75 * (-(i as f64) / 11.0).exp() + 0.066 + 0.016 * ((i * 7_919) % 13) as f64 / 13.0
}

async fn job(store: &Store, loop_id: LoopId, kind: JobKind, owner: Persona, stage: Stage, began: u64) -> JobId {
    let new = NewJob {
        kind,
        spec: json!({}),
        key: format!("loop{loop_id}/{stage}"),
        owner: owner.as_str().to_owned(),
        loop_id: Some(loop_id),
        stage: Some(stage),
        limit: None,
    };
    let id = store.enqueue(&new, ago(began)).await.unwrap();
    let claimed = store.claim_next_job("test", ago(0) + std::time::Duration::from_secs(600), ago(began)).await.unwrap();
    assert_eq!(claimed.unwrap().id, id);
    id
}

async fn agents(store: &Store) {
    let rows = [
        (Persona::Watcher, Activity::Idle, "", 190),
        (Persona::DomainExpert, Activity::Idle, "", 95),
        (Persona::Developer, Activity::Idle, "", 70),
        (Persona::Training, Activity::Waiting, "job 2: 45,000 of 80,000 samples", 1),
        (Persona::Evaluation, Activity::Thinking, "reading evaluation 1", 2),
    ];
    for (persona, activity, doing, seconds) in rows {
        store.agent_progress(persona.as_str(), activity, doing, None, ago(seconds)).await.unwrap();
    }
}

async fn transcript(store: &Store, artifacts: &Artifacts) {
    let losses: Vec<LossPoint> = (1..=80).map(|i| LossPoint { samples: i * 1_000, loss: loss(i) }).collect();
    let canaries = [(26_000, 3), (53_000, 11), (80_000, 15)]
        .map(|(samples, solved)| CanaryPoint { samples, success: Proportion::new(solved, 26) });
    let training = training_chart(&losses, &canaries).unwrap();
    let training = picture(artifacts, training, "training.png", "Loss and canary success over samples").await;
    let point = SuccessPoint { loop_number: 1, success: Proportion::new(81, 130) };
    let success = success_chart(&[point], Some(0.9)).unwrap();
    let success = picture(artifacts, success, "success.png", "Success of loop 1 with its interval").await;
    let set = SceneSet { seed: EvaluationSeed(3), families: vec![], bricks: 1, scenes: 1 };
    let (_, trace) = drive(&Pilot::Expert, &set, 0, &RolloutOptions::default()).unwrap();
    let clip = film(&set, 0, &trace.actions, 20.0).unwrap().to_gif().unwrap();
    let clip = picture(artifacts, clip, "scene-0.gif", "Scene 0 from above: the loader drives to the brick").await;

    let control = "mission-control";
    say(store, "watcher", control, "**Loop 1 of 3 begins.** What comes next:\n1. @developer makes 400 episodes, noise and bad starts included.\n2. @training trains a policy on them; it drives a few scenes along the way.\n3. @evaluation lets it drive 130 scenes nobody trained on. Only that number counts.", vec![], 636).await;
    say(store, "developer", control, "Dataset ready: **400 episodes**, 46,210 frames, 15,403 samples in 41 s. The expert solved 100.0 % (400/400, 95 % interval 99.0–100.0 %).", vec![], 588).await;
    say(store, "developer", control, "Handed to @training.", vec![], 587).await;
    say(store, "kim", control, "@training will it be done before lunch?", vec![], 420).await;
    say(
        store,
        "training",
        control,
        "45,000 of 80,000 samples, loss 0.081, 390 samples/s. About 90 s to go, then @evaluation takes over.",
        vec![],
        415,
    )
    .await;
    say(store, "watcher", control, "Loop 1 is closed. The policy solves **62.3 %** of the hidden scenes; the target is 90 %. Loop 2 leans towards what failed: `brick_in_corner`, `start_facing_wall`, `two_touching`.", vec![], 200).await;
    say(
        store,
        "training",
        "training",
        "Training from scratch: 80,000 samples, batch 12, peak learning rate 0.0007.",
        vec![],
        580,
    )
    .await;
    say(store, "training", "training", "**Training done.** Final loss **0.0617** after 80,000 samples in 3 min 28 s.\n\n| samples | canary scenes | 95 % interval |\n|---:|---:|---:|\n| 26,000 | 11.5 % | 4.0–29.0 % |\n| 53,000 | 42.3 % | 25.5–61.1 % |\n| 80,000 | 57.7 % | 38.9–74.5 % |", vec![training], 330).await;
    say(store, "evaluation", "rollouts", "**62.3 %** of hidden scenes solved (81/130, 95 % interval 53.7–70.2 %).\n\n| family | solved | rate |\n|---|---:|---:|\n| brick_in_corner | 1/10 | 10.0 % |\n| start_facing_wall | 3/10 | 30.0 % |\n| open_floor | 10/10 | 100.0 % |", vec![clip, success.clone()], 240).await;
    say(store, "domain-expert", "rollouts", "Most failures are **wall stuck** (21 of 49): the loader comes at the corner at an angle its bucket cannot meet.\n> A loader backs out before it turns; the policy never saw that from there.", vec![], 230).await;
    say(store, "watcher", "reports", "## Loop 1\n| loop | episodes | samples | minutes | scenes solved | top failure | cost |\n|---:|---:|---:|---:|---:|---|---:|\n| 1 | 400 | 80,000 | 7.2 | 62.3 % (54–70) | wall_stuck (21) | $0.00 |\n\n```\ndataset     ralphton-data/artifacts/dataset/aaaaaaaaaaaa\ncheckpoint  ralphton-data/artifacts/checkpoint/bbbbbbbbbbbb\n```", vec![success], 190).await;
}

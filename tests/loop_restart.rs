//! A loop goes on from its rows whatever dies: after every single move the driver is thrown away and the database is
//! opened anew, and the mission reaches the same end with every stage done once.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test stops at what it did not expect")]

use jiff::Timestamp;
use ralphton::base::{
    ArtifactId, CheckpointId, Clock, FakeClock, JobKind, JobState, LoopEnding, MissionState, Proportion, Seed, Stage,
};
use ralphton::cycle::control::{self, MissionOrder};
use ralphton::cycle::driver::{Driver, Tick};
use ralphton::cycle::evidence::Evidence;
use ralphton::cycle::playbook;
use ralphton::cycle::preset::LoopPreset;
use ralphton::store::{EvaluationKind, JobRow, NewCheckpoint, NewDataset, NewEvaluation, SceneRow, Store};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SEED: Seed = Seed(5);

fn order(loops: u32) -> MissionOrder {
    MissionOrder {
        preset_name: "quick".to_owned(),
        preset: LoopPreset::default(),
        goal: "every brick into the box".to_owned(),
        loops,
        target_success: 0.99,
        seed: SEED,
    }
}

fn clock() -> FakeClock {
    FakeClock::at(Timestamp::from_second(1_800_000_000).unwrap())
}

/// Everything a process would hold, opened from the file alone.
async fn fresh(path: &Path, clock: &FakeClock) -> (Store, Driver) {
    let store = Store::open(path).await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    (store, driver)
}

/// The persona's part: answers every open decision by the playbook.
async fn answer_decisions(store: &Store, clock: &FakeClock) {
    for decision in store.open_decisions().await.unwrap() {
        if decision.proposal.is_none() {
            let evidence: Evidence = serde_json::from_value(decision.evidence.clone()).unwrap();
            let (plan, _) = playbook::decide(&evidence);
            let by = decision.persona.as_str();
            store.propose(decision.id, by, &plan.to_json(), clock.now()).await.unwrap();
        }
    }
}

/// The runner's part: claims a job and records what such a job records, without doing its hours of work.
async fn work_once(store: &Store, clock: &FakeClock) -> Option<JobRow> {
    let now = clock.now();
    let job = store.claim_next_job("test", now + Duration::from_secs(60), now).await.unwrap()?;
    let result = match job.kind {
        JobKind::Generate => {
            let row = NewDataset {
                loop_id: job.loop_id,
                job_id: Some(job.id),
                artifact: ArtifactId(job.key.clone()),
                path: format!("/data/{}", job.key),
                episodes: 4,
                frames: 400,
                samples: 130,
                strategy: "expert".to_owned(),
                summary: json!({}),
            };
            json!({ "dataset": store.add_dataset(&row, now).await.unwrap(), "episodes": 4 })
        }
        JobKind::Train => {
            let row = NewCheckpoint {
                loop_id: job.loop_id,
                job_id: Some(job.id),
                parent: None,
                artifact: ArtifactId(job.key.clone()),
                path: format!("/data/{}", job.key),
                samples_seen: 1000,
                final_loss: 0.1,
                summary: json!({}),
            };
            json!({ "checkpoint": store.add_checkpoint(&row, now).await.unwrap(), "samples": 1000 })
        }
        JobKind::Evaluate => {
            let checkpoint: CheckpointId = serde_json::from_value(job.spec["checkpoint"].clone()).unwrap();
            let row = NewEvaluation {
                kind: EvaluationKind::Loop,
                loop_id: job.loop_id,
                job_id: Some(job.id),
                checkpoint_id: Some(checkpoint),
                samples_seen: 1000,
                execute_steps: 10,
                scenes: Proportion::new(1, 2),
                bricks: Proportion::new(1, 2),
                summary: json!({ "per_family": [["open_floor", Proportion::new(1, 2)]], "failures": [["stall", 1]] }),
            };
            let scene = |scene, success| SceneRow {
                scene,
                family: "open_floor".to_owned(),
                success,
                bricks: 1,
                delivered: u32::from(success),
                steps: 100,
                failure: None,
                x_m: 0.0,
                z_m: 0.0,
                clip: None,
            };
            let scenes = [scene(0, true), scene(1, false)];
            json!({ "evaluation": store.add_evaluation(&row, &scenes, &job.key, now).await.unwrap() })
        }
        JobKind::Feedback => json!({ "promoted": false, "reason": "test", "target_met": false }),
    };
    assert!(store.finish_job(job.id, &result, now).await.unwrap());
    Some(job)
}

#[tokio::test]
async fn a_mission_survives_a_restart_after_every_move() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ralphton.db");
    let clock = clock();
    let (store, _) = fresh(&path, &clock).await;
    let mission = control::start(&store, &order(2), clock.now()).await.unwrap();
    store.close().await;

    let mut worked = Vec::new();
    for _ in 0..200 {
        let (store, driver) = fresh(&path, &clock).await;
        clock.advance(Duration::from_millis(10));
        let tick = driver.tick().await.unwrap();
        if tick == Tick::Waiting {
            if store.current_mission().await.unwrap().is_none() {
                store.close().await;
                break;
            }
            answer_decisions(&store, &clock).await;
            worked.extend(work_once(&store, &clock).await.map(|job| job.key));
        }
        store.close().await;
    }

    let (store, _) = fresh(&path, &clock).await;
    let row = store.mission(mission).await.unwrap().unwrap();
    assert_eq!(row.state, MissionState::Completed, "{:?}", row.ending);
    assert_eq!(row.ending.as_deref(), Some("all 2 planned loops ended"));
    let expected: Vec<String> = (1..=2)
        .flat_map(|number| Stage::ALL.iter().map(move |stage| format!("mission{mission}/loop{number}/{stage}")))
        .collect();
    assert_eq!(worked, expected, "every stage once, in order");
    for row in store.loops_of(mission).await.unwrap() {
        assert_eq!(row.ending, Some(LoopEnding::Completed));
    }
    for job in store.jobs(100).await.unwrap() {
        assert_eq!((job.state, job.attempts), (JobState::Succeeded, 1), "{}", job.key);
    }
}

#[tokio::test]
async fn silence_falls_to_the_playbook_as_deputy_and_the_channel_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (store, driver) = fresh(&folder.path().join("ralphton.db"), &clock).await;
    control::start(&store, &order(1), clock.now()).await.unwrap();
    while driver.tick().await.unwrap() == Tick::Moved {}
    assert_eq!(store.open_decisions().await.unwrap().len(), 1);

    clock.advance(Duration::from_secs(119));
    assert_eq!(driver.tick().await.unwrap(), Tick::Waiting, "the deadline of 120 s has not passed");
    clock.advance(Duration::from_secs(1));
    while driver.tick().await.unwrap() == Tick::Moved {}

    let jobs = store.jobs(10).await.unwrap();
    assert_eq!(jobs.len(), 1, "the stage's job is queued");
    let messages = store.latest_messages(Some("mission-control"), 10).await.unwrap();
    let text = &messages.last().unwrap().text;
    assert!(text.contains("developer") && text.contains("decides as deputy"), "{text}");
}

#[tokio::test]
async fn a_plan_that_breaks_its_bounds_goes_back_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (store, driver) = fresh(&folder.path().join("ralphton.db"), &clock).await;
    control::start(&store, &order(1), clock.now()).await.unwrap();
    while driver.tick().await.unwrap() == Tick::Moved {}
    let decision = store.open_decisions().await.unwrap().remove(0);
    let wrong = json!({ "episodes": 0, "bricks_min": 1, "bricks_max": 1, "families": {},
        "noisy_share": 0.0, "bad_start_share": 0.0, "dagger_share": 0.0 });
    assert!(store.propose(decision.id, "developer", &wrong, clock.now()).await.unwrap());
    while driver.tick().await.unwrap() == Tick::Moved {}

    let decision = store.decision(decision.id).await.unwrap().unwrap();
    assert_eq!(decision.plan, None);
    assert!(decision.refusal.unwrap().contains("episodes is 0"));
    assert!(store.waiting_mail("developer").await.unwrap() >= 2, "asked, and asked again");
    answer_decisions(&store, &clock).await;
    while driver.tick().await.unwrap() == Tick::Moved {}
    assert_eq!(store.jobs(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn pause_starts_nothing_and_stop_ends_the_mission() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (store, driver) = fresh(&folder.path().join("ralphton.db"), &clock).await;
    let mission = control::start(&store, &order(1), clock.now()).await.unwrap();
    control::pause(&store, "Kim", clock.now()).await.unwrap();
    assert_eq!(driver.tick().await.unwrap(), Tick::Waiting);
    assert!(store.loops_of(mission).await.unwrap().is_empty());
    assert!(matches!(control::pause(&store, "Kim", clock.now()).await, Err(control::ControlError::AlreadyPaused(_))));

    control::resume(&store, "Kim", clock.now()).await.unwrap();
    while driver.tick().await.unwrap() == Tick::Moved {}
    answer_decisions(&store, &clock).await;
    while driver.tick().await.unwrap() == Tick::Moved {}
    control::stop(&store, "Kim", clock.now()).await.unwrap();

    let row = store.mission(mission).await.unwrap().unwrap();
    assert_eq!(row.state, MissionState::Stopped);
    assert_eq!(store.loops_of(mission).await.unwrap()[0].ending, Some(LoopEnding::Stopped));
    assert_eq!(store.jobs(10).await.unwrap()[0].state, JobState::Cancelled);
    assert_eq!(driver.tick().await.unwrap(), Tick::Waiting);
    assert!(matches!(control::stop(&store, "Kim", clock.now()).await, Err(control::ControlError::NothingRunning)));
}

#[tokio::test]
async fn two_failed_loops_in_a_row_end_the_mission_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (store, driver) = fresh(&folder.path().join("ralphton.db"), &clock).await;
    let mission = control::start(&store, &order(5), clock.now()).await.unwrap();
    for _ in 0..100 {
        clock.advance(Duration::from_millis(10));
        if driver.tick().await.unwrap() == Tick::Waiting {
            answer_decisions(&store, &clock).await;
            let now = clock.now();
            if let Some(job) = store.claim_next_job("test", now + Duration::from_secs(60), now).await.unwrap() {
                store.fail_job(job.id, "no space left on the disk", now).await.unwrap();
            }
        }
    }
    let row = store.mission(mission).await.unwrap().unwrap();
    assert_eq!(row.state, MissionState::Failed);
    assert!(row.ending.unwrap().contains("no space left on the disk"));
    assert_eq!(store.loops_of(mission).await.unwrap().len(), 2);
}

//! A loop goes on from its rows whatever dies: after every single move the driver is thrown away and the database is
//! opened anew, and the mission reaches the same end with every stage done once.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test stops at what it did not expect")]

use jiff::Timestamp;
use ralphton::base::{
    ArtifactId, CheckpointId, Clock, FakeClock, Fault, JobKind, JobState, LoopEnding, MissionEnding, MissionState,
    Progress, Proportion, Seed, Stage,
};
use ralphton::cycle::control::{self, MissionOrder};
use ralphton::cycle::driver::{Driver, Tick};
use ralphton::cycle::evidence::Evidence;
use ralphton::cycle::playbook;
use ralphton::cycle::preset::LoopPreset;
use ralphton::cycle::probe::Measured;
use ralphton::cycle::prober::store_probe;
use ralphton::cycle::rates::Rates;
use ralphton::cycle::summary::grouped;
use ralphton::cycle::terms::{Terms, Unanswered};
use ralphton::cycle::throughput::outcomes;
use ralphton::store::{Answer, EvaluationKind, JobRow, NewCheckpoint, NewDataset, NewEvaluation, SceneRow, Store};
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
        terms: Terms::default(),
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
    work_with(store, clock, 1_000).await
}

/// The same, with so many samples in each training.
async fn work_with(store: &Store, clock: &FakeClock, samples: u64) -> Option<JobRow> {
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
                samples_seen: samples,
                final_loss: 0.1,
                summary: json!({}),
            };
            json!({ "checkpoint": store.add_checkpoint(&row, now).await.unwrap(), "samples": samples })
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

/// A machine that was measured at round figures, so that forecasts can be checked by hand.
async fn measured(store: &Store, preset: &LoopPreset, clock: &FakeClock) {
    let rates = Rates {
        threads: 2,
        expert_episodes_per_s: 50.0,
        bad_start_episodes_per_s: 250.0,
        dagger_episodes_per_s: 40.0,
        load_samples_per_s: 100_000.0,
        train_samples_per_s: 500.0,
        rollout_steps_per_s: 10_000.0,
        ..Rates::default()
    };
    let measured = Measured { rates, ..Measured::default() };
    store_probe(store, preset, &measured, None, clock.now()).await.unwrap();
}

async fn settle(driver: &Driver) {
    for _ in 0..100 {
        if driver.tick().await.unwrap() == Tick::Waiting {
            return;
        }
    }
    panic!("the driver goes round in circles");
}

async fn newest_text(store: &Store) -> String {
    store.latest_messages(Some("mission-control"), 1).await.unwrap().pop().map_or(String::new(), |m| m.text)
}

/// Fails the queued job with this fault.
async fn fail(store: &Store, clock: &FakeClock, fault: Fault, error: &str) -> JobRow {
    let now = clock.now();
    let job = store.claim_next_job("test", now + Duration::from_secs(60), now).await.unwrap().unwrap();
    assert!(store.fail_job_as(job.id, fault, error, now).await.unwrap());
    clock.advance(Duration::from_millis(10));
    job
}

/// Answers decisions and does jobs until the mission waits at `stage` with a queued job.
async fn until_job_of(stage: JobKind, store: &Store, driver: &Driver, clock: &FakeClock) {
    for _ in 0..20 {
        clock.advance(Duration::from_millis(10));
        settle(driver).await;
        answer_decisions(store, clock).await;
        settle(driver).await;
        if store.open_jobs().await.unwrap().iter().any(|job| job.kind == stage) {
            return;
        }
        work_once(store, clock).await;
    }
    panic!("no {stage} job came");
}

#[tokio::test]
async fn a_process_that_dies_inside_any_stage_leaves_work_that_the_next_one_finishes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ralphton.db");
    let clock = clock();
    let (store, _) = fresh(&path, &clock).await;
    let mission = control::start(&store, &order(2), clock.now()).await.unwrap();
    store.close().await;

    let mut died = 0;
    for _ in 0..400 {
        let (store, driver) = fresh(&path, &clock).await;
        store.release_leases(clock.now()).await.unwrap();
        clock.advance(Duration::from_millis(10));
        if driver.tick().await.unwrap() == Tick::Waiting {
            if store.current_mission().await.unwrap().is_none() {
                store.close().await;
                break;
            }
            answer_decisions(&store, &clock).await;
            let now = clock.now();
            let running = store.open_jobs().await.unwrap().into_iter().find(|job| job.attempts > 0);
            match running {
                // The first process takes the job up, gets half of it done, and dies without a word.
                None => {
                    let lease = now + Duration::from_secs(3_600);
                    if let Some(job) = store.claim_next_job("dies", lease, now).await.unwrap() {
                        let progress = Progress { done: 1, total: 2, unit: "units", note: String::new() };
                        store.job_progress(job.id, &progress, now).await.unwrap();
                        died += 1;
                    }
                }
                // The next one finds it at once, though the lease had an hour to go.
                Some(_) => {
                    let job = work_once(&store, &clock).await.unwrap();
                    assert_eq!(job.attempts, 2, "{}", job.key);
                }
            }
        }
        store.close().await;
    }

    let (store, _) = fresh(&path, &clock).await;
    let row = store.mission(mission).await.unwrap().unwrap();
    assert_eq!((row.state, row.ended_as), (MissionState::Completed, Some(MissionEnding::LoopsDone)));
    let jobs = store.jobs(100).await.unwrap();
    assert_eq!((died, jobs.len()), (8, 8), "every stage of both loops was cut off once, and done once");
    for job in jobs {
        assert_eq!((job.state, job.attempts), (JobState::Succeeded, 2), "{}", job.key);
        assert_eq!(job.seconds_in_one_go(), None, "what was cut off teaches no forecast");
    }
}

#[tokio::test]
async fn a_training_that_diverges_is_planned_again_with_half_the_rate_and_the_loop_goes_on() {
    let clock = clock();
    let store = Store::in_memory().await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    let mission = control::start(&store, &order(1), clock.now()).await.unwrap();
    until_job_of(JobKind::Train, &store, &driver, &clock).await;
    let rate = LoopPreset::default().train.learning_rate;
    for (times, divisor) in [(1, 2.0), (2, 4.0)] {
        fail(&store, &clock, Fault::Diverged, "training diverged after 9,600 samples: loss is NaN").await;
        settle(&driver).await;
        let text = newest_text(&store).await;
        assert!(text.contains(&format!("Train is planned again (try {} of 3)", times + 1)), "{text}");
        answer_decisions(&store, &clock).await;
        settle(&driver).await;
        let job = store.open_jobs().await.unwrap().remove(0);
        assert!(job.key.ends_with(&format!("/train/{}", times + 1)), "{}", job.key);
        assert_eq!(job.spec["plan"]["learning_rate"].as_f64(), Some(rate / divisor));
    }
    while store.current_mission().await.unwrap().is_some() {
        clock.advance(Duration::from_millis(10));
        answer_decisions(&store, &clock).await;
        settle(&driver).await;
        work_once(&store, &clock).await;
    }
    let only = store.loops_of(mission).await.unwrap().remove(0);
    assert_eq!(only.ending, Some(LoopEnding::Completed));
}

#[tokio::test]
async fn a_fault_that_stays_ends_the_loop_but_not_the_mission() {
    let clock = clock();
    let store = Store::in_memory().await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    let mission = control::start(&store, &order(3), clock.now()).await.unwrap();
    until_job_of(JobKind::Generate, &store, &driver, &clock).await;
    for error in ["the expert solved only 90.0 %", "the expert solved only 91.0 %"] {
        fail(&store, &clock, Fault::ExpertGate, error).await;
        settle(&driver).await;
        answer_decisions(&store, &clock).await;
        settle(&driver).await;
    }
    let loops = store.loops_of(mission).await.unwrap();
    assert_eq!(loops[0].ending, Some(LoopEnding::Failed));
    assert_eq!(loops[0].ending_note.as_deref(), Some("generate failed: the expert solved only 91.0 %"));
    assert_eq!((loops.len(), loops[1].ending), (2, None), "the next loop is open");
}

#[tokio::test]
async fn a_full_disk_pauses_the_mission_and_a_resume_goes_on() {
    let clock = clock();
    let store = Store::in_memory().await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    control::start(&store, &order(1), clock.now()).await.unwrap();
    until_job_of(JobKind::Generate, &store, &driver, &clock).await;
    for _ in 0..4 {
        fail(&store, &clock, Fault::DiskFull, "no space left on /data").await;
        settle(&driver).await;
        let mission = store.current_mission().await.unwrap().unwrap();
        assert_eq!(mission.state, MissionState::Paused);
        let text = newest_text(&store).await;
        assert!(text.contains("the disk is full") && text.contains("`/loop resume`"), "{text}");
        control::resume(&store, "Kim", clock.now()).await.unwrap();
        answer_decisions(&store, &clock).await;
        settle(&driver).await;
        assert_eq!(store.open_jobs().await.unwrap().len(), 1, "it is tried again");
    }
}

#[tokio::test]
async fn a_checkpoint_that_fails_its_certificate_is_trained_again() {
    let clock = clock();
    let store = Store::in_memory().await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    control::start(&store, &order(1), clock.now()).await.unwrap();
    until_job_of(JobKind::Evaluate, &store, &driver, &clock).await;
    let damaged = store.checkpoints().await.unwrap().remove(0);
    store.refuse_checkpoint(damaged.id, "weights.safetensors has other content").await.unwrap();
    fail(&store, &clock, Fault::Certificate, "checkpoint 1 failed its certificate").await;
    until_job_of(JobKind::Evaluate, &store, &driver, &clock).await;
    let job = store.open_jobs().await.unwrap().remove(0);
    let checkpoint: CheckpointId = serde_json::from_value(job.spec["checkpoint"].clone()).unwrap();
    assert_ne!(checkpoint, damaged.id);
    let keys: Vec<_> = store.jobs(10).await.unwrap().into_iter().map(|job| job.key).collect();
    assert!(keys[0].ends_with("/evaluate/2") && keys[1].ends_with("/train/2"), "{keys:?}");
}

#[tokio::test]
async fn a_plan_that_does_not_fit_its_deadline_is_refused_with_the_largest_that_does() {
    let clock = clock();
    let store = Store::in_memory().await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    let mut order = order(1);
    order.preset.deadlines.generate_minutes = 10.0 / 60.0;
    measured(&store, &order.preset, &clock).await;
    let mission = control::start(&store, &order, clock.now()).await.unwrap();
    settle(&driver).await;
    answer_decisions(&store, &clock).await;
    settle(&driver).await;
    let decision = store.open_decisions().await.unwrap().remove(0);
    let refusal = decision.refusal.unwrap();
    assert!(refusal.starts_with("5,000 episodes at "), "{refusal}");
    assert!(refusal.contains(" on 2 threads take ") && refusal.contains(" are left until the stage's deadline"));
    let mut fits = None;
    for _ in 0..3 {
        if let Some(mail) = store.next_mail("developer", clock.now()).await.unwrap() {
            fits = mail.payload["fits"].as_object().cloned();
            store.finish_mail(mail.id, clock.now()).await.unwrap();
        }
    }
    let fits = serde_json::Value::Object(fits.unwrap());
    let episodes = fits["episodes"].as_u64().unwrap();
    assert!(episodes < 5_000 && refusal.ends_with(&format!("at most {} fit", grouped(episodes))), "{refusal}");

    // Nobody answers: the deputy takes what fits, and says so.
    clock.advance(Duration::from_secs(121));
    settle(&driver).await;
    let job = store.open_jobs().await.unwrap().remove(0);
    assert_eq!(job.spec["order"]["episodes"].as_u64(), Some(episodes));
    assert!(newest_text(&store).await.contains("made smaller, since 5,000 episodes"));
    let row = store.loops_of(mission).await.unwrap().remove(0);
    let forecast = store.forecast(row.id, Stage::Generate).await.unwrap().unwrap();
    assert!(forecast.seconds <= 10.0 && forecast.low_s < forecast.seconds && forecast.seconds < forecast.high_s);
    assert_eq!(job.limit(), Some(Duration::from_secs(10)));
}

#[tokio::test]
async fn the_next_forecast_learns_from_what_a_stage_took() {
    let clock = clock();
    let store = Store::in_memory().await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    let order = order(2);
    measured(&store, &order.preset, &clock).await;
    let mission = control::start(&store, &order, clock.now()).await.unwrap();
    until_job_of(JobKind::Generate, &store, &driver, &clock).await;
    let first = store.loops_of(mission).await.unwrap().remove(0);
    let forecast = store.forecast(first.id, Stage::Generate).await.unwrap().unwrap();
    let now = clock.now();
    let job = store.claim_next_job("test", now + Duration::from_secs(600), now).await.unwrap().unwrap();
    let slower = Duration::from_secs_f64(1.5 * forecast.raw_s);
    clock.advance(slower);
    let dataset = NewDataset {
        loop_id: job.loop_id,
        job_id: Some(job.id),
        artifact: ArtifactId("d".to_owned()),
        path: "/data/d".to_owned(),
        episodes: 4,
        frames: 400,
        samples: 130,
        strategy: "expert".to_owned(),
        summary: json!({}),
    };
    store.add_dataset(&dataset, clock.now()).await.unwrap();
    assert!(store.finish_job(job.id, &json!({ "episodes": 4 }), clock.now()).await.unwrap());
    let times = outcomes(&store, first.id).await.unwrap();
    assert!((times[0].deviation().unwrap() - 0.5).abs() < 0.01, "{times:?}");
    assert!(times[0].in_words().unwrap().ends_with("(+50 %)."), "{:?}", times[0].in_words());

    for _ in 0..200 {
        clock.advance(Duration::from_millis(10));
        settle(&driver).await;
        answer_decisions(&store, &clock).await;
        settle(&driver).await;
        if store.loops_of(mission).await.unwrap().len() == 2
            && store.open_jobs().await.unwrap().iter().any(|job| job.kind == JobKind::Generate)
        {
            break;
        }
        work_once(&store, &clock).await;
    }
    let second = store.loops_of(mission).await.unwrap().remove(1);
    let learned = store.forecast(second.id, Stage::Generate).await.unwrap().unwrap();
    assert!((learned.seconds / learned.raw_s - 1.5).abs() < 0.01, "{learned:?}");
    assert_eq!(learned.basis, "the probe and 1 generate stage");
}

#[tokio::test]
async fn budgets_end_the_mission_and_say_which() {
    for (terms, ended_as, words) in [
        (
            Terms { budget_samples: Some(1_000), ..Terms::default() },
            MissionEnding::SamplesUsed,
            "the budget of 1,000 training samples is used",
        ),
        (
            Terms { deadline_minutes: Some(1.0), ..Terms::default() },
            MissionEnding::Deadline,
            "the mission's time of 1 min 00 s is used",
        ),
    ] {
        let clock = clock();
        let store = Store::in_memory().await.unwrap();
        let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
        let mission = control::start(&store, &MissionOrder { terms, ..order(50) }, clock.now()).await.unwrap();
        for _ in 0..90 {
            clock.advance(Duration::from_secs(1));
            settle(&driver).await;
            for decision in store.open_decisions().await.unwrap().iter().filter(|d| d.proposal.is_none()) {
                let evidence: Evidence = serde_json::from_value(decision.evidence.clone()).unwrap();
                let mut plan = playbook::decide(&evidence).0.to_json();
                if plan["samples"].is_u64() {
                    plan["samples"] = json!(1_000);
                }
                store.propose(decision.id, decision.persona.as_str(), &plan, clock.now()).await.unwrap();
            }
            settle(&driver).await;
            work_once(&store, &clock).await;
        }
        let row = store.mission(mission).await.unwrap().unwrap();
        assert_eq!((row.state, row.ended_as), (MissionState::Completed, Some(ended_as)), "{:?}", row.ending);
        assert_eq!(row.ending.as_deref(), Some(words));
    }
}

#[tokio::test]
async fn three_loops_that_bring_nothing_end_the_mission_but_not_before_success_could_have_come() {
    for (samples, ends) in [(20_000, false), (50_000, true)] {
        let clock = clock();
        let store = Store::in_memory().await.unwrap();
        let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
        let mission = control::start(&store, &order(5), clock.now()).await.unwrap();
        let mut loops_at_end = 0;
        for _ in 0..200 {
            clock.advance(Duration::from_millis(10));
            settle(&driver).await;
            answer_decisions(&store, &clock).await;
            settle(&driver).await;
            if store.current_mission().await.unwrap().is_none() {
                break;
            }
            loops_at_end = store.loops_of(mission).await.unwrap().len();
            if let Some(job) = work_with(&store, &clock, samples).await {
                assert_ne!(job.state, JobState::Failed);
            }
        }
        let row = store.mission(mission).await.unwrap().unwrap();
        let ended_as = if ends { MissionEnding::NoProgress } else { MissionEnding::LoopsDone };
        assert_eq!((row.ended_as, loops_at_end), (Some(ended_as), if ends { 3 } else { 5 }), "{:?}", row.ending);
    }
}

#[tokio::test]
async fn nobody_may_stop_before_success_could_have_come() {
    let clock = clock();
    let store = Store::in_memory().await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    control::start(&store, &order(2), clock.now()).await.unwrap();
    for _ in 0..20 {
        clock.advance(Duration::from_millis(10));
        settle(&driver).await;
        let open = store.open_decisions().await.unwrap();
        if let Some(decision) = open.iter().find(|decision| decision.stage == Stage::Feedback) {
            let plan = json!({ "families": {}, "dagger_share": 0.5, "stop": "it looks hopeless" });
            store.propose(decision.id, "watcher", &plan, clock.now()).await.unwrap();
            settle(&driver).await;
            let refusal = store.decision(decision.id).await.unwrap().unwrap().refusal.unwrap();
            assert!(refusal.starts_with("only 1,000 samples are trained"), "{refusal}");
            return;
        }
        answer_decisions(&store, &clock).await;
        settle(&driver).await;
        work_once(&store, &clock).await;
    }
    panic!("Feedback was never asked");
}

/// A mission whose episodes wait for a person.
async fn asking(terms: Terms) -> (Store, Driver, FakeClock) {
    let clock = clock();
    let store = Store::in_memory().await.unwrap();
    let driver = Driver::new(store.clone(), Arc::new(clock.clone()), 1);
    let terms = Terms { approve: vec![Stage::Generate], approve_wait_minutes: 10.0, ..terms };
    control::start(&store, &MissionOrder { terms, ..order(1) }, clock.now()).await.unwrap();
    settle(&driver).await;
    answer_decisions(&store, &clock).await;
    settle(&driver).await;
    assert_eq!(store.open_approvals().await.unwrap().len(), 1);
    assert!(store.open_jobs().await.unwrap().is_empty(), "nothing runs without a word");
    (store, driver, clock)
}

#[tokio::test]
async fn an_approved_plan_runs_and_only_the_named_stages_wait() {
    let (store, driver, clock) = asking(Terms::default()).await;
    assert!(newest_text(&store).await.contains("the plan of developer waits for a person"));
    let waiting = store.open_approvals().await.unwrap().remove(0);
    assert!(store.answer_approval(waiting.id, Answer::Approved, "Kim", None, clock.now()).await.unwrap());
    until_job_of(JobKind::Train, &store, &driver, &clock).await;
    assert!(store.open_approvals().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unanswered_plan_does_what_the_terms_say() {
    let (store, driver, clock) = asking(Terms::default()).await;
    clock.advance(Duration::from_secs(599));
    settle(&driver).await;
    assert!(store.open_jobs().await.unwrap().is_empty());
    clock.advance(Duration::from_secs(1));
    settle(&driver).await;
    assert_eq!(store.open_jobs().await.unwrap().len(), 1, "it runs");
    assert!(newest_text(&store).await.contains("nobody answered"));

    let (store, driver, clock) = asking(Terms { approve_unanswered: Unanswered::Pause, ..Terms::default() }).await;
    clock.advance(Duration::from_secs(600));
    settle(&driver).await;
    assert_eq!(store.current_mission().await.unwrap().unwrap().state, MissionState::Paused);
    assert!(store.open_jobs().await.unwrap().is_empty());
    control::resume(&store, "Kim", clock.now()).await.unwrap();
    settle(&driver).await;
    assert_eq!(store.open_approvals().await.unwrap().len(), 1, "it is asked again");
}

#[tokio::test]
async fn a_vetoed_plan_never_runs_and_another_may() {
    let (store, driver, clock) = asking(Terms::default()).await;
    let waiting = store.open_approvals().await.unwrap().remove(0);
    store.answer_approval(waiting.id, Answer::Vetoed, "Kim", Some("too many"), clock.now()).await.unwrap();
    settle(&driver).await;
    let decision = store.open_decisions().await.unwrap().remove(0);
    assert_eq!(decision.refusal.as_deref(), Some("vetoed by Kim: too many"));
    // Nobody has another idea: the deputy knows only the same plan, so a person has to say what happens.
    clock.advance(Duration::from_secs(121));
    settle(&driver).await;
    assert_eq!(store.current_mission().await.unwrap().unwrap().state, MissionState::Paused);
    assert!(store.open_jobs().await.unwrap().is_empty());
    let mut other = waiting.plan.clone();
    other["episodes"] = json!(300);
    control::resume(&store, "Kim", clock.now()).await.unwrap();
    store.propose(decision.id, "developer", &other, clock.now()).await.unwrap();
    settle(&driver).await;
    let waiting = store.open_approvals().await.unwrap().remove(0);
    assert!(store.answer_approval(waiting.id, Answer::Approved, "Kim", None, clock.now()).await.unwrap());
    settle(&driver).await;
    assert_eq!(store.open_jobs().await.unwrap()[0].spec["order"]["episodes"], 300);
}

//! The main job in small: a mission of one loop with the playbook team, real frames, real gradients and real rollouts,
//! from nothing to the report, on the real store. The sizes are far too small for a good policy; what is specified is
//! that every part does its work and says so.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test stops at what it did not expect")]

use ralphton::agents::{AgentDeps, Brains, Team};
use ralphton::artifacts::Artifacts;
use ralphton::base::{Clock, JobState, LoopEnding, MissionState, Seed, Stage, SystemClock};
use ralphton::config::{Config, EMBEDDED};
use ralphton::cycle::control::{self, MissionOrder};
use ralphton::cycle::driver::Driver;
use ralphton::cycle::preset::LoopPreset;
use ralphton::cycle::runner::Runner;
use ralphton::cycle::summary::{MissionSummary, mission_summary};
use ralphton::cycle::terms::Terms;
use ralphton::ledger::{Ledger, PriceBook};
use ralphton::store::{EvaluationKind, MessageRow, Store};
use ralphton::tools::ToolDeps;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Generous: a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

fn small_preset() -> LoopPreset {
    let mut preset = LoopPreset::default();
    preset.generate.first_episodes = 12;
    preset.generate.bricks_max = 1;
    preset.train.first_samples = 240;
    preset.train.canaries = 1;
    preset.train.canary_scenes = 2;
    preset.evaluate.scenes = 13;
    preset.evaluate.seconds_per_brick = 8.0;
    preset
}

/// Runs one mission in `folder` to its end and returns what it left.
async fn run_mission(folder: &Path) -> (MissionSummary, Vec<MessageRow>, Store) {
    let config = Config::parse(EMBEDDED, "agents.toml").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Store::open(&folder.join("ralphton.db")).await.unwrap();
    let artifacts = Artifacts::local(&folder.join("artifacts")).unwrap();
    let order = MissionOrder {
        preset_name: "small".to_owned(),
        preset: small_preset(),
        goal: config.mission.goal.clone(),
        loops: 1,
        target_success: 0.95,
        seed: Seed(3),
        terms: Terms::default(),
    };
    let mission = control::start(&store, &order, clock.now()).await.unwrap();

    let stop = CancellationToken::new();
    let driver = Driver::new(store.clone(), Arc::clone(&clock), 2);
    let driver_stop = stop.clone();
    let driver = tokio::spawn(async move { driver.run(driver_stop).await });
    let runner =
        Runner::new(store.clone(), artifacts.clone(), Arc::clone(&clock), folder.to_owned(), "test".to_owned());
    let runner_stop = stop.clone();
    let runner = tokio::spawn(async move { runner.run(runner_stop).await });
    let ledger = Ledger::new(store.clone(), PriceBook::embedded().unwrap(), config.budgets, Arc::clone(&clock));
    let deps =
        AgentDeps::new(ToolDeps { store: store.clone(), artifacts, ledger, clock: Arc::clone(&clock), threads: 2 });
    let team = Team::start(config.agents.clone(), deps, Brains::new(), stop.clone()).unwrap();

    let mut changes = store.changes();
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            let row = store.mission(mission).await.unwrap().unwrap();
            let mut waiting = 0;
            for agent in &config.agents {
                waiting += store.waiting_mail(&agent.name).await.unwrap();
            }
            if row.ended_at.is_some() && waiting == 0 {
                return;
            }
            let _ = changes.recv().await;
        }
    })
    .await;
    stop.cancel();
    driver.await.unwrap();
    runner.await.unwrap();
    team.join().await;
    let jobs = store.jobs(20).await.unwrap();
    let errors: Vec<_> = jobs.iter().map(|job| (job.kind, job.state, job.error.clone())).collect();
    assert!(ended.is_ok(), "the mission did not end: {errors:?}");
    let summary = mission_summary(&store, mission, clock.now()).await.unwrap().unwrap();
    let messages = store.latest_messages(None, 200).await.unwrap();
    (summary, messages, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_loop_from_nothing_to_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let (summary, messages, store) = run_mission(folder.path()).await;

    assert_eq!(summary.mission.state, MissionState::Completed, "{:?}", summary.mission.ending);
    let only = &summary.loops[0];
    assert_eq!(only.ending, Some(LoopEnding::Completed), "{}", only.doing);
    assert!((6..=12).contains(&only.episodes), "12 were made, {} kept", only.episodes);
    assert!(only.samples >= 240);
    assert_eq!(only.scenes.unwrap().trials, 13, "every hidden scene was driven");
    assert!(only.promoted.is_some(), "the gate gave a verdict");
    assert!(only.first_number_minutes.is_some(), "a canary gave a first closed-loop number");

    for stage in Stage::ALL {
        let by = store.decision_for(only.id, *stage).await.unwrap().unwrap().decided_by;
        assert_eq!(by.as_deref(), Some(stage.owner().as_str()), "{stage} was decided by its owner");
    }
    for job in store.jobs(20).await.unwrap() {
        assert_eq!(job.state, JobState::Succeeded, "{}: {:?}", job.key, job.error);
    }
    let dataset = Path::new(only.dataset.as_ref().unwrap());
    assert!(ralphton::dataset::check(dataset).unwrap().is_empty(), "the dataset is whole");
    ralphton::policy::Policy::load(Path::new(only.checkpoint.as_ref().unwrap())).unwrap();
    let evaluations = store.evaluations(Some(only.id)).await.unwrap();
    let full = evaluations.iter().find(|e| e.kind == EvaluationKind::Loop).unwrap();
    let scenes = store.scenes_of(full.id).await.unwrap();
    assert!(scenes.iter().any(|scene| scene.clip.is_some()), "a scene was filmed");

    for channel in ["mission-control", "training", "rollouts", "reports"] {
        assert!(messages.iter().any(|m| m.channel == channel), "#{channel} is empty");
    }
    for agent in ["watcher", "domain-expert", "developer", "training", "evaluation"] {
        let own: Vec<_> = messages.iter().filter(|m| m.author == agent).collect();
        assert!(!own.is_empty(), "{agent} said nothing");
        assert!(own.iter().all(|m| m.brain.as_deref() == Some("playbook")), "{agent} is marked as playbook");
    }
    let clip = messages.iter().flat_map(|m| &m.attachments).find(|a| a.media_type == "image/gif");
    let chart = messages.iter().flat_map(|m| &m.attachments).find(|a| a.media_type == "image/png");
    assert!(clip.is_some() && chart.is_some(), "a clip and a chart are in the channels");
    assert!(store.spend(100).await.unwrap().iter().all(|row| row.settled.is_some_and(|usd| usd.0 == 0)));
    assert!(!store.spend(100).await.unwrap().is_empty(), "every playbook turn is booked");
}

//! What people get when they ask, over a store in memory.

use super::*;
use crate::base::{FakeClock, MissionState, Persona, Proportion, Seed, Stage};
use crate::cycle::probe::Measured;
use crate::cycle::prober::store_probe;
use crate::cycle::rates::Rates;
use crate::cycle::summary::grouped;
use crate::cycle::terms::Terms;
use crate::store::{Activity, Answer, EvaluationKind, ForecastRow, MailKind, MessageRow, NewEvaluation, SceneRow};
use serde_json::json;

struct Bench {
    commands: Commands,
    store: Store,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory().await.unwrap();
    let artifacts = Artifacts::local(folder.path()).unwrap();
    let defaults = MissionDefaults {
        preset: "quick".to_owned(),
        goal: "put every brick in the box".to_owned(),
        loops: 3,
        target_success: 0.9,
        seed: Seed(42),
        terms: Terms::default(),
    };
    let presets = BTreeMap::from([("quick".to_owned(), LoopPreset::default())]);
    let clock = Arc::new(FakeClock::at(Timestamp::UNIX_EPOCH));
    let commands = Commands::new(store.clone(), artifacts, presets, defaults, crate::ledger::Budgets::default(), clock);
    Bench { commands, store, _folder: folder }
}

impl Bench {
    async fn ask(&self, rights: Rights, line: &str) -> Reply {
        let asker = Asker {
            id: "7".to_owned(),
            name: "kim".to_owned(),
            front: "console",
            channel: "training".to_owned(),
            rights,
        };
        self.commands.run(&asker, line).await
    }

    async fn operate(&self, line: &str) -> String {
        self.ask(Rights::Operate, line).await.text
    }

    async fn agents(&self) {
        for name in ["training", "watcher"] {
            self.store.agent_progress(name, Activity::Idle, "", None, Timestamp::UNIX_EPOCH).await.unwrap();
        }
    }

    async fn messages(&self) -> Vec<MessageRow> {
        self.store.latest_messages(None, 100).await.unwrap()
    }

    /// Enters loop 1 with an evaluation of 10 scenes, 6 of them solved.
    async fn measured_loop(&self) {
        let mission = self.store.latest_mission().await.unwrap().unwrap();
        let at = Timestamp::UNIX_EPOCH;
        let loop_id = self.store.open_loop(mission.id, 1, at).await.unwrap();
        let evaluation = NewEvaluation {
            kind: EvaluationKind::Loop,
            loop_id: Some(loop_id),
            job_id: None,
            checkpoint_id: None,
            samples_seen: 80_000,
            execute_steps: 10,
            scenes: Proportion::new(6, 10),
            bricks: Proportion::new(6, 10),
            summary: json!({
                "failures": [["wall_stuck", 3], ["brick_lost", 1]],
                "per_family": [["open", {"successes": 5, "trials": 5}], ["corner", {"successes": 1, "trials": 5}]],
            }),
        };
        let scenes: Vec<SceneRow> = (0..10)
            .map(|scene| SceneRow {
                scene,
                family: "corner".to_owned(),
                success: scene < 6,
                bricks: 1,
                delivered: u32::from(scene < 6),
                steps: 300,
                failure: (scene >= 6).then(|| "wall_stuck".to_owned()),
                x_m: 3.0,
                z_m: -2.0,
                clip: None,
            })
            .collect();
        self.store.add_evaluation(&evaluation, &scenes, "test", at).await.unwrap();
    }
}

#[tokio::test]
async fn with_nothing_there_every_command_says_what_to_do() {
    let bench = bench().await;
    for line in ["/status", "/loop", "/loop plan", "/report", "/why"] {
        let text = bench.operate(line).await;
        assert!(text.starts_with("No mission yet: `/loop start`"), "{line}: {text}");
    }
    let episodes = grouped(u64::from(LoopPreset::default().generate.first_episodes));
    assert!(bench.operate("/loop plan").await.contains(&format!("{episodes} episodes")));
    assert!(bench.operate("/agents").await.contains("starting"));
    assert!(bench.operate("/cost").await.contains("Nothing spent"));
    assert_eq!(bench.operate("/loop pause").await, "No mission is running; start one with /loop start.");
}

#[tokio::test]
async fn a_reader_changes_nothing_and_learns_what_would_help() {
    let bench = bench().await;
    bench.agents().await;
    for line in ["/loop start", "/loop pause", "/loop resume", "/loop stop", "/ask training hi", "hello"] {
        let reply = bench.ask(Rights::Read, line).await;
        assert!(reply.text.contains("is for operators") && reply.text.contains("`7`"), "{line}: {}", reply.text);
        assert!(reply.ephemeral);
    }
    assert_eq!(bench.store.latest_mission().await.unwrap(), None);
    assert_eq!(bench.store.waiting_mail("training").await.unwrap(), 0);
    assert_eq!(bench.messages().await, []);
    assert!(!bench.ask(Rights::Read, "/status").await.text.contains("operators"));
}

#[tokio::test]
async fn a_mission_is_started_paused_resumed_and_stopped_once() {
    let bench = bench().await;
    let started = bench.operate("/loop start --loops 2").await;
    assert!(started.starts_with("Mission 1 starts: preset quick, 2 loops, target 90 %, seed 42."), "{started}");
    assert!(bench.operate("/loop start").await.starts_with("Mission 1 is already running"));
    assert!(bench.operate("/loop resume").await.starts_with("Mission 1 is not paused"));
    assert!(bench.operate("/loop pause").await.starts_with("Paused."));
    assert!(bench.operate("/why").await.contains("paused by a person"));
    assert_eq!(bench.operate("/loop resume").await, "Resumed.");
    assert!(bench.operate("/loop stop").await.starts_with("Stopped."));
    let mission = bench.store.latest_mission().await.unwrap().unwrap();
    assert_eq!((mission.state, mission.planned_loops), (MissionState::Stopped, 2));
    assert!(bench.operate("/status").await.contains("Ended: stopped by kim."));
}

#[tokio::test]
async fn an_unknown_preset_is_refused_with_the_known_ones() {
    let bench = bench().await;
    let text = bench.operate("/loop start --preset quik").await;
    assert_eq!(text, "There is no preset \"quik\"; did you mean `quick`? Known are: quick.");
    assert_eq!(bench.store.latest_mission().await.unwrap(), None);
}

#[tokio::test]
async fn a_question_is_seen_in_the_channel_and_reaches_the_mailbox() {
    let bench = bench().await;
    assert!(bench.operate("/ask training hi").await.contains("still starting"));
    bench.agents().await;
    assert_eq!(bench.operate("@training how far?").await, "Asked training; the answer comes in #training.");
    let messages = bench.messages().await;
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].channel.as_str(), messages[0].author.as_str()), ("training", "kim"));
    assert_eq!(messages[0].text, "@training how far?");
    let mail = bench.store.next_mail("training", Timestamp::UNIX_EPOCH).await.unwrap().unwrap();
    assert_eq!(mail.kind, MailKind::Message);
    assert_eq!(mail.payload["question"], "how far?");
    assert_eq!(mail.payload["reply_channel"], "training");
    assert_eq!(mail.payload["asker"], json!({"name": "kim", "may_operate": true}));
    assert!(bench.operate("and now?").await.starts_with("Asked watcher"));
    assert!(bench.operate("/ask trainig hi").await.contains("did you mean training?"));
}

#[tokio::test]
async fn a_full_mailbox_takes_no_more_questions() {
    let bench = bench().await;
    bench.agents().await;
    for _ in 0..8 {
        bench.operate("/ask training hi").await;
    }
    assert!(bench.operate("/ask training hi").await.contains("has 8 things waiting already"));
    assert_eq!(bench.store.waiting_mail("training").await.unwrap(), 8);
}

#[tokio::test]
async fn a_report_carries_figures_with_intervals_and_charts() {
    let bench = bench().await;
    bench.operate("/loop start").await;
    assert!(bench.operate("/report").await.contains("No loop has run yet"));
    bench.measured_loop().await;
    let all = bench.ask(Rights::Read, "/report").await;
    assert!(all.text.contains("| 60.0 % (31–83) |") && all.text.contains("wall_stuck (3)"), "{}", all.text);
    assert_eq!(all.attachments.len(), 1);
    assert!(all.attachments[0].alt.contains("loop 1: 60.0 %"));
    let one = bench.ask(Rights::Read, "/report 1").await;
    let names: Vec<_> = one.attachments.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["failures.png", "where.png"]);
    assert!(one.text.find("| corner | 1/5").unwrap() < one.text.find("| open | 5/5").unwrap(), "worst first");
    let png = bench.commands.artifacts.get(&one.attachments[0].artifact).await.unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    assert_eq!(bench.operate("/report 9").await, "There is no loop 9; mission 1 has 1 so far.");
    assert!(bench.operate("/status").await.contains("Best so far: loop 1 with 60.0 % (6/10"));
}

/// A machine that was measured at round figures.
async fn measured(store: &Store) {
    let rates = Rates {
        threads: 2,
        expert_episodes_per_s: 50.0,
        bad_start_episodes_per_s: 250.0,
        train_samples_per_s: 500.0,
        rollout_steps_per_s: 10_000.0,
        ..Rates::default()
    };
    let measured = Measured { rates, ..Measured::default() };
    store_probe(store, &LoopPreset::default(), &measured, None, Timestamp::UNIX_EPOCH).await.unwrap();
}

#[tokio::test]
async fn a_plan_is_shown_with_its_time_before_it_runs() {
    let bench = bench().await;
    bench.operate("/loop start").await;
    assert!(!bench.operate("/loop plan").await.contains("about"), "without a probe nothing is claimed");
    measured(&bench.store).await;
    let before = bench.operate("/loop plan").await;
    assert!(before.contains("by the preset: 5,000 episodes, about 32 s (26 s to 39 s)."), "{before}");
    let mission = bench.store.latest_mission().await.unwrap().unwrap();
    let loop_id = bench.store.open_loop(mission.id, 1, Timestamp::UNIX_EPOCH).await.unwrap();
    let row = ForecastRow {
        loop_id,
        stage: Stage::Generate,
        seconds: 20.0,
        low_s: 16.0,
        high_s: 24.0,
        raw_s: 20.0,
        basis: "the probe".to_owned(),
    };
    bench.store.set_forecast(&row, Timestamp::UNIX_EPOCH).await.unwrap();
    let text = bench.operate("/loop plan").await;
    assert!(text.contains("- generate: not asked yet (developer decides)\n  about 20 s (16 s to 24 s)"), "{text}");
    assert!(text.contains("by the preset: 90,000 samples, about 3 min "), "{text}");
    let status = bench.operate("/status").await;
    assert!(status.contains("The generate stage should take about 20 s in all (16 s to 24 s)."), "{status}");
}

#[tokio::test]
async fn a_plan_that_waits_is_approved_or_vetoed_by_an_operator_once() {
    let bench = bench().await;
    assert!(bench.operate("/approve").await.starts_with("No plan waits for a person"));
    bench.operate("/loop start").await;
    let mission = bench.store.latest_mission().await.unwrap().unwrap();
    let loop_id = bench.store.open_loop(mission.id, 1, Timestamp::UNIX_EPOCH).await.unwrap();
    let at = Timestamp::UNIX_EPOCH;
    let later = at + std::time::Duration::from_secs(600);
    let evidence = json!({});
    let asked = bench.store.ask_decision(loop_id, Stage::Generate, Persona::Developer, &evidence, later, at);
    let decision = asked.await.unwrap();
    let plan = json!({ "episodes": 5000 });
    bench.store.ask_approval(decision, &plan, "developer", later, at).await.unwrap();
    let text = bench.operate("/loop plan").await;
    assert!(text.contains("waits for a person, 10 min more: episodes 5,000. `/approve` or `/veto <reason>`"), "{text}");
    assert!(bench.ask(Rights::Read, "/veto no").await.text.contains("is for operators"));
    assert_eq!(bench.operate("/veto too many").await, "Vetoed by kim: loop 1, generate is decided again.");
    assert!(bench.operate("/approve").await.starts_with("No plan waits for a person"));
    let row = bench.store.approvals_of(decision).await.unwrap().remove(0);
    assert_eq!((row.answer, row.reason.as_deref()), (Some(Answer::Vetoed), Some("too many")));
    bench.store.ask_approval(decision, &plan, "developer", later, at).await.unwrap();
    assert_eq!(bench.operate("/approve").await, "Approved by kim: loop 1, generate runs as planned.");
}

#[tokio::test]
async fn lineage_says_what_names_there_are() {
    let bench = bench().await;
    assert!(bench.operate("/lineage champion").await.starts_with("Nothing here is called \"champion\""));
    assert!(bench.operate("/lineage ab").await.contains("at least 4 characters"));
    assert!(bench.operate("/lineage").await.starts_with("Of which artefact?"));
}

#[tokio::test]
async fn budgets_are_set_by_operators_and_say_by_whom() {
    let bench = bench().await;
    let refused = bench.ask(Rights::Read, "/budget set per_loop_usd 3").await;
    assert!(refused.text.contains("is for operators"), "{}", refused.text);
    assert!(bench.operate("/budget set per_loop_usd 3").await.contains("`per_loop_usd` is $3.00 now, set by kim"));
    let shown = bench.ask(Rights::Read, "/budget").await.text;
    assert!(shown.contains("| `per_loop_usd` | $3.00 | – | kim, 1970-01-01T00:00:00Z |"), "{shown}");
    assert!(shown.contains("| `total_per_day_usd` | $20.00 | $0.00 | agents.toml |"), "{shown}");
    assert!(bench.operate("/budget reset per_loop").await.contains("$10.00 again"));
    assert!(bench.operate("/budget release training").await.contains("Training is not on hold"));
}

//! Agents at work over a store in memory and a clock that stands still.

mod conversations;
mod jobs;
mod models;
mod work;

use super::*;
use crate::artifacts::Artifacts;
use crate::base::{Clock, FakeClock, LoopId, Persona, Proportion, Seed, Stage, Timestamp};
use crate::cycle::evidence::{EvaluationEvidence, Evidence};
use crate::cycle::preset::LoopPreset;
use crate::ledger::{Budgets, Ledger, PriceBook};
use crate::store::{MessageRow, NewMission, Store};
use crate::tools::ToolDeps;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A price for the scripted model, so that it may be called.
const PRICES: &str =
    r#"{"as_of": "2026-01-01", "models": {"scripted": {"provider": "scripted", "input": 1.0, "output": 10.0}}}"#;

pub(super) struct World {
    pub store: Store,
    pub clock: FakeClock,
    pub deps: AgentDeps,
    pub ledger: Ledger,
    _files: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with_budgets(Budgets::default()).await
    }

    pub async fn with_budgets(budgets: Budgets) -> Self {
        let store = Store::in_memory().await.unwrap();
        let clock = FakeClock::at(Timestamp::from_second(1_800_000_000).unwrap());
        let files = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::local(files.path()).unwrap();
        let prices = PriceBook::embedded().unwrap().extended_with(PRICES).unwrap();
        let ledger = Ledger::new(store.clone(), prices, budgets, Arc::new(clock.clone()));
        let tools = ToolDeps {
            store: store.clone(),
            artifacts,
            ledger: ledger.clone(),
            clock: Arc::new(clock.clone()),
            threads: 1,
        };
        Self { store, clock, deps: AgentDeps::new(tools), ledger, _files: files }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A mission of three loops whose first is open.
    pub async fn open_loop(&self) -> LoopId {
        self.open_loop_of(&LoopPreset::default()).await
    }

    /// The same with this preset.
    pub async fn open_loop_of(&self, preset: &LoopPreset) -> LoopId {
        let mission = NewMission {
            preset: "quick".to_owned(),
            goal: "put every brick into the box".to_owned(),
            planned_loops: 3,
            target_success: 0.9,
            seed: Seed(7),
            settings: serde_json::to_value(preset).unwrap(),
            terms: json!({}),
            versions: json!({}),
        };
        let mission = self.store.create_mission(&mission, self.now()).await.unwrap();
        self.store.open_loop(mission, 1, self.now()).await.unwrap()
    }

    /// Asks the owner of `stage` for its plan.
    pub async fn ask(&self, loop_id: LoopId, stage: Stage) -> crate::base::DecisionId {
        let evidence = serde_json::to_value(evidence(stage)).unwrap();
        let deadline = self.now() + Duration::from_secs(120);
        self.store.ask_decision(loop_id, stage, stage.owner(), &evidence, deadline, self.now()).await.unwrap()
    }

    pub fn agent(&self, persona: Persona) -> Agent {
        self.agent_with(persona, Arc::new(PlaybookBrain))
    }

    pub fn agent_with(&self, persona: Persona, brain: Arc<dyn Brain>) -> Agent {
        let roster = default_roster();
        let mut config = roster.iter().find(|agent| agent.persona == persona).unwrap().clone();
        if brain.kind() != "playbook" {
            config.brain = BrainKind::OpenAi;
        }
        let colleagues = roster.into_iter().filter(|agent| agent.persona != persona).map(|agent| agent.name);
        Agent::new(&config, colleagues.collect(), brain, self.deps.clone())
    }

    /// Lets the agent of `persona` work off its mail by the playbook.
    pub async fn work(&self, persona: Persona) -> u32 {
        self.agent(persona).work_through_mail(&CancellationToken::new()).await.unwrap()
    }

    pub async fn messages(&self) -> Vec<MessageRow> {
        self.store.latest_messages(None, 100).await.unwrap()
    }
}

pub(super) fn evidence(stage: Stage) -> Evidence {
    Evidence {
        stage,
        goal: "put every brick into the box".to_owned(),
        target_success: 0.9,
        loop_number: 1,
        planned_loops: 3,
        preset: LoopPreset::default(),
        families: vec!["brick_in_corner".to_owned(), "open_floor".to_owned()],
        champion: None,
        last_evaluation: (stage == Stage::Feedback).then(|| EvaluationEvidence {
            scenes: Proportion::new(7, 20),
            bricks: Proportion::new(7, 20),
            per_family: vec![
                ("brick_in_corner".to_owned(), Proportion::new(0, 10)),
                ("open_floor".to_owned(), Proportion::new(7, 10)),
            ],
            failures: vec![("wall_stuck".to_owned(), 9), ("missed_scoop".to_owned(), 4)],
        }),
        advice: None,
        samples_stored: 0,
        samples_trained: 0,
        time: None,
        set_back: None,
    }
}

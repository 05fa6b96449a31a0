//! Rows as the page sees them. These shapes are the API: names stay, amounts come with the text people read.

use crate::base::{MissionState, NanoUsd, Proportion, Stage};
use crate::cycle::summary::{LoopSummary, MissionSummary};
use crate::store::{Activity, AgentRow, Attachment, AuthorKind, MessageRow};
use serde::Serialize;
use std::collections::BTreeMap;

/// Loops that a status lists, the newest.
const MOST_LOOPS: usize = 50;
/// Failure classes and families of one loop.
const MOST_CLASSES: usize = 32;

/// A success rate with its interval.
#[derive(Debug, Serialize)]
pub(super) struct RateView {
    successes: u32,
    trials: u32,
    rate: f64,
    /// Lower end of the 95 % interval.
    low: f64,
    high: f64,
    text: String,
}

impl From<Proportion> for RateView {
    fn from(share: Proportion) -> Self {
        let (low, high) = share.wilson_95();
        let Proportion { successes, trials } = share;
        Self { successes, trials, rate: share.rate(), low, high, text: share.to_string() }
    }
}

/// The newest mission, or nothing.
#[derive(Debug, Default, Serialize)]
pub(super) struct StatusView {
    mission: Option<MissionView>,
    loops: Vec<LoopView>,
}

#[derive(Debug, Serialize)]
struct MissionView {
    id: i64,
    preset: String,
    goal: String,
    state: MissionState,
    ending: Option<String>,
    planned_loops: u32,
    target_success: f64,
    seed: u64,
    created_at: i64,
    spent: String,
    spent_nano_usd: NanoUsd,
}

#[derive(Debug, Serialize)]
struct LoopView {
    id: i64,
    number: u32,
    stage: Option<Stage>,
    doing: String,
    progress: Option<f64>,
    eta_s: Option<f64>,
    ending: Option<&'static str>,
    episodes: u32,
    samples: u64,
    minutes: f64,
    scenes: Option<RateView>,
    bricks: Option<RateView>,
    canary: Option<RateView>,
    failures: Vec<(String, u32)>,
    per_family: Vec<(String, RateView)>,
    promoted: Option<bool>,
    gate_reason: String,
    spent: String,
    train_job: Option<i64>,
}

impl From<MissionSummary> for StatusView {
    fn from(summary: MissionSummary) -> Self {
        let MissionSummary { mission, loops, spent, champion: _, machine: _ } = summary;
        let skipped = loops.len().saturating_sub(MOST_LOOPS);
        Self {
            mission: Some(MissionView {
                id: mission.id.0,
                preset: mission.preset,
                goal: mission.goal,
                state: mission.state,
                ending: mission.ending,
                planned_loops: mission.planned_loops,
                target_success: mission.target_success,
                seed: mission.seed.0,
                created_at: mission.created_at.as_millisecond(),
                spent: spent.to_string(),
                spent_nano_usd: spent,
            }),
            loops: loops.into_iter().skip(skipped).map(LoopView::from).collect(),
        }
    }
}

impl From<LoopSummary> for LoopView {
    fn from(one: LoopSummary) -> Self {
        Self {
            id: one.id.0,
            number: one.number,
            stage: one.stage,
            doing: one.doing,
            progress: one.progress,
            eta_s: one.eta_s.map(f64::round),
            ending: one.ending.map(|ending| ending.as_str()),
            episodes: one.episodes,
            samples: one.samples,
            minutes: (one.minutes * 10.0).round() / 10.0,
            scenes: one.scenes.map(RateView::from),
            bricks: one.bricks.map(RateView::from),
            canary: one.canary.map(RateView::from),
            failures: one.failures.into_iter().take(MOST_CLASSES).collect(),
            per_family: one.per_family.into_iter().take(MOST_CLASSES).map(|(name, s)| (name, s.into())).collect(),
            promoted: one.promoted,
            gate_reason: one.gate_reason,
            spent: one.spent.to_string(),
            train_job: one.train_job.map(|job| job.0),
        }
    }
}

/// One agent.
#[derive(Debug, Serialize)]
pub(super) struct AgentView {
    name: String,
    title: String,
    activity: Activity,
    doing: String,
    waiting_for: Option<i64>,
    /// Unix milliseconds; the page counts the age itself.
    progress_at: i64,
    started_at: i64,
}

impl AgentView {
    /// `row` as people see it; `titles` are the agents' names for people.
    pub(super) fn new(row: AgentRow, titles: &BTreeMap<String, String>) -> Self {
        Self {
            title: titles.get(&row.name).filter(|title| !title.is_empty()).unwrap_or(&row.name).clone(),
            name: row.name,
            activity: row.activity,
            doing: row.doing,
            waiting_for: row.waiting_for.map(|job| job.0),
            progress_at: row.progress_at.as_millisecond(),
            started_at: row.started_at.as_millisecond(),
        }
    }
}

/// One message.
#[derive(Debug, Serialize)]
pub(super) struct MessageView {
    pub(super) id: i64,
    channel: String,
    author: String,
    author_kind: AuthorKind,
    brain: Option<String>,
    text: String,
    attachments: Vec<Attachment>,
    created_at: i64,
}

impl From<MessageRow> for MessageView {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id.0,
            channel: row.channel,
            author: row.author,
            author_kind: row.author_kind,
            brain: row.brain,
            text: row.text,
            attachments: row.attachments,
            created_at: row.created_at.as_millisecond(),
        }
    }
}

/// The loss curve of a training.
#[derive(Debug, Serialize)]
pub(super) struct TrainingView {
    pub(super) job: i64,
    /// Samples that will be drawn in all; 0 while unknown.
    pub(super) total: u64,
    /// (samples, loss), in order.
    pub(super) points: Vec<(u64, f64)>,
}

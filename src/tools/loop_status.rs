//! `loop_status`: the state card. Everything the program knows about the mission, in a page.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of};
use crate::cycle::summary::{LoopSummary, MissionSummary, mission_summary};
use crate::report::{FailureCount, LoopLine, loops_table};
use crate::store::{Store, StoreError};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Loops shown in full; of earlier ones the count is enough.
const MOST_LOOPS: usize = 12;

/// See the module.
pub(crate) struct LoopStatus;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {}

#[async_trait]
impl Tool for LoopStatus {
    fn name(&self) -> &'static str {
        "loop_status"
    }

    fn description(&self) -> &'static str {
        "Reads the state card: the mission, its goal, each loop with stage, progress, success rates and dollars."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments {} = read_arguments(self.name(), args)?;
        Ok(state_card(ctx.store(), ctx.now()).await?.into())
    }
}

/// The state card of the mission that runs, or of the newest one; `{"mission": null}` before the first.
pub(crate) async fn state_card(store: &Store, now: crate::base::Timestamp) -> Result<Value, StoreError> {
    let mission = match store.current_mission().await? {
        Some(mission) => Some(mission),
        None => store.latest_mission().await?,
    };
    let summary = match mission {
        Some(mission) => mission_summary(store, mission.id, now).await?,
        None => None,
    };
    Ok(summary.map_or_else(|| json!({ "mission": null }), |summary| card(&summary)))
}

fn card(summary: &MissionSummary) -> Value {
    let mission = &summary.mission;
    let earlier = summary.loops.len().saturating_sub(MOST_LOOPS);
    json!({
        "mission": {
            "number": mission.id,
            "goal": mission.goal,
            "preset": mission.preset,
            "state": mission.state,
            "ending": mission.ending,
            "planned_loops": mission.planned_loops,
            "target_success": mission.target_success,
            "settings": mission.settings,
        },
        "champion": summary.champion.as_ref().map(|row| json!({
            "checkpoint": row.id,
            "loop": row.loop_id,
            "samples_seen": row.samples_seen,
            "path": row.path,
        })),
        "dollars": summary.spent.to_string(),
        "earlier_loops": earlier,
        "table": loops_table(&lines(&summary.loops[earlier..])),
        "loops": summary.loops.iter().skip(earlier).map(loop_card).collect::<Vec<_>>(),
    })
}

/// The loops as the report's table shows them.
fn lines(loops: &[LoopSummary]) -> Vec<LoopLine> {
    let line = |one: &LoopSummary| LoopLine {
        number: one.number,
        episodes: one.episodes,
        samples: one.samples,
        minutes: one.minutes,
        success_per_scene: one.scenes.unwrap_or_default(),
        success_per_brick: one.bricks.unwrap_or_default(),
        failures: one
            .failures
            .iter()
            .map(|(class, count)| FailureCount { class: class.clone(), count: *count })
            .collect(),
        spent: one.spent,
        promoted: one.promoted.unwrap_or(false),
    };
    loops.iter().map(line).collect()
}

fn loop_card(one: &LoopSummary) -> Value {
    json!({
        "loop": one.id,
        "number": one.number,
        "stage": one.stage,
        "doing": one.doing,
        "progress": one.progress,
        "eta_s": one.eta_s,
        "ending": one.ending,
        "ending_note": one.ending_note,
        "episodes": one.episodes,
        "samples": one.samples,
        "minutes": one.minutes,
        "first_number_minutes": one.first_number_minutes,
        "scenes": one.scenes,
        "bricks": one.bricks,
        "canary": one.canary,
        "failures": one.failures,
        "per_family": one.per_family,
        "promoted": one.promoted,
        "gate_reason": one.gate_reason,
        "dollars": one.spent.to_string(),
        "dataset": one.dataset,
        "checkpoint": one.checkpoint,
        "train_job": one.train_job,
    })
}

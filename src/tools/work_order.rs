//! What the job tools share: from a checked plan to a job outside the loop's own stages.
//!
//! The job is built as the loop would build it, from the mission's preset, and then given seeds of its own: data that
//! repeats the loop's episodes would teach nothing, and an evaluation by hand must not touch the hidden scenes.

use super::{ToolContext, ToolError, ToolOutput, tell};
use crate::base::{EvaluationSeed, LoopId};
use crate::cycle::plan::Plan;
use crate::cycle::preset::LoopPreset;
use crate::cycle::spec::JobSpec;
use crate::cycle::stages;
use crate::store::{LoopRow, MissionRow, NewJob};
use serde_json::json;

/// Where work by hand belongs: the newest mission and its newest loop.
pub(super) struct Place {
    pub mission: MissionRow,
    pub row: LoopRow,
}

impl Place {
    /// The loop, while it is open.
    pub fn open_loop(&self) -> Option<LoopId> {
        self.row.ending.is_none().then_some(self.row.id)
    }
}

/// Finds the place, and checks that whoever is behind the call may start work.
pub(super) async fn place(ctx: &ToolContext) -> Result<Place, ToolError> {
    if let Some(asker) = ctx.asker.as_ref().filter(|asker| !asker.may_operate) {
        return Err(tell(format!("{} may ask and look, but not start work; an operator can", asker.name)));
    }
    let Some(mission) = ctx.store().latest_mission().await? else {
        return Err(tell("no mission has been started yet, so there is no preset to work by"));
    };
    let Some(row) = ctx.store().loops_of(mission.id).await?.pop() else {
        return Err(tell("the mission has no loop yet; ask again in a moment"));
    };
    Ok(Place { mission, row })
}

/// The job that `plan` makes at `place`, with seeds of its own.
pub(super) async fn specify(ctx: &ToolContext, place: &Place, plan: &Plan, key: &str) -> Result<JobSpec, ToolError> {
    let plan = Plan::from_json(plan.stage(), &plan.to_json(), &stages::family_names()).map_err(tell)?;
    let preset: LoopPreset = serde_json::from_value(place.mission.settings.clone()).unwrap_or_default();
    let spec = stages::spec(ctx.store(), &place.mission, &preset, &place.row, &plan, ctx.deps.threads, 0).await?;
    let Some(mut spec) = spec else {
        return Err(tell(format!("there is nothing to {} with yet; the loop has to make it first", plan.stage())));
    };
    let seed = place.mission.seed.child(key, 0);
    match &mut spec {
        JobSpec::Generate(spec) => spec.order.seed = seed,
        JobSpec::Train(spec) => spec.plan.seed = seed,
        JobSpec::Evaluate(spec) => {
            spec.set.seed = EvaluationSeed(seed.0);
            // Whoever asks for a number of executed steps is to see what that number gives.
            spec.sweep = None;
        }
        JobSpec::Feedback(_) => return Err(tell("the gate is the loop's own; it cannot be called by hand")),
    }
    Ok(spec)
}

/// Puts the job into the queue. The caller is woken when it ends.
pub(super) async fn enqueue(
    ctx: &ToolContext,
    spec: &JobSpec,
    key: String,
    loop_id: Option<LoopId>,
) -> Result<ToolOutput, ToolError> {
    let new = NewJob {
        kind: spec.kind(),
        spec: spec.to_json(),
        key,
        owner: ctx.caller.agent.clone(),
        loop_id,
        stage: None,
        limit: None,
    };
    let job = ctx.store().enqueue(&new, ctx.now()).await?;
    let value = json!({ "job": job, "kind": spec.kind(), "note": "queued; you are woken when it ends" });
    Ok(ToolOutput { value, attachments: Vec::new(), waits_for: Some(job) })
}

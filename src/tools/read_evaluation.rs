//! `read_evaluation`: the figures of one closed-loop evaluation, counted from its scenes.

use super::{Callers, Tool, ToolContext, ToolError, ToolOutput, read_arguments, schema_of, tell};
use crate::base::{EvaluationId, Proportion};
use crate::store::{Attachment, EvaluationRow, SceneRow};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Clips shown at most; more would not be looked at.
const MOST_CLIPS: usize = 8;
/// First deviations told one by one.
const MOST_DEVIATIONS: usize = 10;

/// See the module.
pub(crate) struct ReadEvaluation;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Number of the evaluation; left out: the newest.
    #[serde(default)]
    evaluation: Option<i64>,
}

#[async_trait]
impl Tool for ReadEvaluation {
    fn name(&self) -> &'static str {
        "read_evaluation"
    }

    fn description(&self) -> &'static str {
        "Reads a closed-loop evaluation and its diagnosis: scenes solved and bricks delivered with 95 % intervals, families \
         from worst to best, failure classes, in which phase and where failed scenes first left the expert's path, what a \
         sweep of executed steps decided, time, distance, collisions, and clips that can be attached by name."
    }

    fn parameters(&self) -> Value {
        schema_of::<Arguments>()
    }

    fn callers(&self) -> Callers {
        Callers::Everyone
    }

    async fn run(&self, ctx: &ToolContext, args: Value) -> Result<ToolOutput, ToolError> {
        let Arguments { evaluation } = read_arguments(self.name(), args)?;
        let row = match evaluation {
            Some(number) => ctx.store().evaluation(EvaluationId(number)).await?,
            None => ctx.store().evaluations(None).await?.pop(),
        };
        let Some(row) = row else {
            return Err(tell(match evaluation {
                Some(number) => format!("there is no evaluation {number}"),
                None => "nothing has been evaluated yet".to_owned(),
            }));
        };
        let scenes = ctx.store().scenes_of(row.id).await?;
        let loop_number = match row.loop_id {
            Some(id) => ctx.store().loop_row(id).await?.map(|row| row.number),
            None => None,
        };
        let earlier = earlier_count(ctx, &row).await?;
        let clips = clips(&row, &scenes);
        Ok(ToolOutput {
            value: figures(&row, &scenes, &clips, loop_number, earlier),
            attachments: clips.into_iter().map(|(_, attachment)| attachment).collect(),
            waits_for: None,
        })
    }
}

/// Evaluations of the same mission that were stored before this one: none means that it is a first number.
async fn earlier_count(ctx: &ToolContext, row: &EvaluationRow) -> Result<usize, ToolError> {
    let mut loops = Vec::new();
    if let Some(id) = row.loop_id
        && let Some(own) = ctx.store().loop_row(id).await?
    {
        loops = ctx.store().loops_of(own.mission_id).await?.into_iter().map(|row| row.id).collect();
    }
    let all = ctx.store().evaluations(None).await?;
    Ok(all.iter().filter(|e| e.id < row.id && e.loop_id.is_some_and(|id| loops.contains(&id))).count())
}

fn figures(
    row: &EvaluationRow,
    scenes: &[SceneRow],
    clips: &[(bool, Attachment)],
    loop_number: Option<u32>,
    earlier: usize,
) -> Value {
    let families: Vec<Value> = per_family(scenes)
        .into_iter()
        .map(|(family, solved)| json!({ "family": family, "solved": solved, "text": solved.to_string() }))
        .collect();
    let failures: Vec<Value> =
        failures(scenes).into_iter().map(|(class, count)| json!({ "class": class, "count": count })).collect();
    let clips: Vec<Value> =
        clips.iter().map(|(success, clip)| json!({ "name": clip.name, "success": success })).collect();
    json!({
        "evaluation": row.id,
        "kind": row.kind,
        "loop": row.loop_id,
        "loop_number": loop_number,
        "checkpoint": row.checkpoint_id,
        "samples_seen": row.samples_seen,
        "execute_steps": row.execute_steps,
        "scenes": row.scenes,
        "scenes_text": row.scenes.to_string(),
        "bricks": row.bricks,
        "bricks_text": row.bricks.to_string(),
        "earlier_evaluations_of_mission": earlier,
        "families": families,
        "failures": failures,
        "first_deviations_by_phase": row.summary["phases"],
        "first_deviations": deviations(&row.summary),
        "sweep": row.summary["sweep"]["said"],
        "time_to_finish_s": row.summary["time_to_finish_s"],
        "distance_m": row.summary["distance_m"],
        "collisions": row.summary["collisions"],
        "clips": clips,
    })
}

/// Where failed scenes first went wrong, one by one.
fn deviations(summary: &Value) -> Vec<Value> {
    let kept = summary["deviations"].as_array().into_iter().flatten();
    let told = |one: &Value| json!({ "scene": one["scene"], "class": one["class"], "what": one["text"] });
    kept.take(MOST_DEVIATIONS).map(told).collect()
}

/// Scenes solved, family by family, worst first.
fn per_family(scenes: &[SceneRow]) -> Vec<(String, Proportion)> {
    let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for scene in scenes {
        let (solved, tried) = counts.entry(&scene.family).or_default();
        *solved += u32::from(scene.success);
        *tried += 1;
    }
    let mut families: Vec<_> = counts
        .into_iter()
        .map(|(family, (solved, tried))| (family.to_owned(), Proportion::new(solved, tried)))
        .collect();
    families.sort_by(|a, b| a.1.rate().total_cmp(&b.1.rate()).then(b.1.trials.cmp(&a.1.trials)));
    families
}

/// Failure classes, most frequent first.
fn failures(scenes: &[SceneRow]) -> Vec<(String, u32)> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for class in scenes.iter().filter_map(|scene| scene.failure.as_deref()) {
        *counts.entry(class).or_default() += 1;
    }
    let mut classes: Vec<_> = counts.into_iter().map(|(class, count)| (class.to_owned(), count)).collect();
    classes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    classes
}

/// The clips that were filmed, under names that say what they show.
fn clips(row: &EvaluationRow, scenes: &[SceneRow]) -> Vec<(bool, Attachment)> {
    scenes
        .iter()
        .filter_map(|scene| {
            let artifact = scene.clip.clone()?;
            let how = if scene.success { "solved" } else { scene.failure.as_deref().unwrap_or("failed") };
            let attachment = Attachment {
                artifact,
                name: format!("evaluation-{}-scene-{}-{how}.gif", row.id, scene.scene),
                media_type: "image/gif".to_owned(),
                alt: format!("The loader in scene {} ({}): {}", scene.scene, scene.family, how.replace('_', " ")),
            };
            Some((scene.success, attachment))
        })
        .take(MOST_CLIPS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(number: u32, family: &str, failure: Option<&str>) -> SceneRow {
        SceneRow {
            scene: number,
            family: family.to_owned(),
            success: failure.is_none(),
            bricks: 1,
            delivered: u32::from(failure.is_none()),
            steps: 100,
            failure: failure.map(str::to_owned),
            x_m: 0.0,
            z_m: 0.0,
            clip: None,
        }
    }

    #[test]
    fn the_worst_family_and_the_most_frequent_failure_come_first() {
        let scenes = [
            scene(0, "open_floor", None),
            scene(1, "corner", Some("wall_stuck")),
            scene(2, "corner", Some("wall_stuck")),
            scene(3, "open_floor", Some("missed_scoop")),
        ];
        assert_eq!(
            per_family(&scenes),
            [("corner".to_owned(), Proportion::new(0, 2)), ("open_floor".to_owned(), Proportion::new(1, 2))]
        );
        assert_eq!(failures(&scenes), [("wall_stuck".to_owned(), 2), ("missed_scoop".to_owned(), 1)]);
    }
}

//! `/rollout …`: look at a scene of the newest evaluation, or compare two loops on the scenes that both drove.

use super::missions::NO_MISSION;
use super::reports::{clips, draw, picture};
use super::{CommandError, Commands, Reply};
use crate::base::{ArtifactId, Proportion};
use crate::cycle::summary::{LoopSummary, title_case};
use crate::report::{FamilyChange, compare_chart};
use crate::rollout::{
    FailureClass, Pairs, Pilot, RolloutError, RolloutOptions, TraceFile, drive, film_beside, first_deviation,
};
use crate::store::{EvaluationRow, SceneRow};
use std::collections::BTreeMap;

/// A clip shows at most this much of a scene.
const CLIP_SECONDS: f32 = 50.0;
/// Failed scenes that are named for watching.
const MOST_NAMED: usize = 12;

impl Commands {
    /// The newest evaluation's clips, or one of its scenes.
    pub(super) async fn watch(&self, scene: Option<u32>) -> Result<Reply, CommandError> {
        let Some(summary) = self.mission().await? else { return Ok(Reply::open(NO_MISSION)) };
        let newest = summary.loops.iter().rev().find_map(|one| Some((one.number, one.evaluation.clone()?)));
        let Some((number, evaluation)) = newest else {
            return Ok(Reply::open("No loop has been evaluated yet; `/loop status` shows how far it is."));
        };
        let scenes = self.store.scenes_of(evaluation.id).await?;
        match scene {
            None => Ok(overview(number, &evaluation, &scenes)),
            Some(scene) => match scenes.iter().find(|row| row.scene == scene) {
                Some(row) => self.watch_scene(number, &evaluation, row).await,
                None => Err(CommandError::Refused(format!(
                    "there is no scene {scene} in loop {number}'s evaluation; it has the scenes 0 to {}",
                    scenes.len().saturating_sub(1)
                ))),
            },
        }
    }

    /// One scene beside the expert, repeated from its trace.
    async fn watch_scene(
        &self,
        number: u32,
        evaluation: &EvaluationRow,
        row: &SceneRow,
    ) -> Result<Reply, CommandError> {
        let traces = evaluation.summary["traces"].as_str().map(|id| ArtifactId(id.to_owned()));
        let Some(traces) = traces else {
            return Err(CommandError::Refused(format!("loop {number}'s evaluation kept no traces to repeat")));
        };
        let (bytes, scene) = (self.artifacts.get(&traces).await?, row.scene);
        let filmed = tokio::task::spawn_blocking(move || film_scene(bytes, scene)).await;
        let Ok(filmed) = filmed else {
            return Err(CommandError::Refused("the scene was not filmed: Ralphton is stopping".to_owned()));
        };
        let (gif, deviation) = filmed?;
        let artifact = self.artifacts.put(gif, "gif").await?;
        let how = outcome(row);
        let mut text = format!("**Loop {number}, scene {scene}** ({}): {how}.", title_case(&row.family));
        if let Some(deviation) = deviation {
            text += &format!("\nFirst deviation: {deviation}.");
        }
        let mut reply = Reply::open(text);
        let alt = format!("Policy and expert side by side in scene {scene}; the policy: {how}");
        reply.attachments.push(picture(artifact, &format!("scene-{scene}-beside.gif"), "image/gif", alt));
        Ok(reply)
    }

    /// Two loops on the scenes that both drove; the last two without numbers.
    pub(super) async fn compare(&self, loops: Option<(u32, u32)>) -> Result<Reply, CommandError> {
        let Some(summary) = self.mission().await? else { return Ok(Reply::open(NO_MISSION)) };
        let measured: Vec<&LoopSummary> = summary.loops.iter().filter(|one| one.evaluation.is_some()).collect();
        let (before, after) = match (loops, measured.as_slice()) {
            (Some((first, second)), _) => (numbered(&measured, first)?, numbered(&measured, second)?),
            (None, [.., before, after]) => (*before, *after),
            (None, _) => {
                return Ok(Reply::open("Two evaluated loops are needed to compare; so far there are fewer."));
            }
        };
        let (first, second) = (self.scenes_driven(before).await?, self.scenes_driven(after).await?);
        let pairs = Pairs::of(solved(&second), solved(&first));
        if pairs.count() == 0 {
            return Err(CommandError::Refused(format!(
                "loop {} and loop {} drove no scene in common",
                before.number, after.number
            )));
        }
        let changes = changes(&first, &second);
        let text = compared(before.number, after.number, pairs, &changes);
        let names = (format!("Loop {}", before.number), format!("Loop {}", after.number));
        let alt = format!("{} against {}: {pairs}", names.1, names.0);
        let chart = draw(move || compare_chart(&changes, (&names.0, &names.1))).await?;
        let mut reply = Reply::open(text);
        reply.attachments.push(self.keep_chart("compare.png", alt, chart).await?);
        Ok(reply)
    }

    async fn scenes_driven(&self, one: &LoopSummary) -> Result<Vec<SceneRow>, CommandError> {
        match &one.evaluation {
            Some(evaluation) => Ok(self.store.scenes_of(evaluation.id).await?),
            None => Ok(Vec::new()),
        }
    }
}

fn numbered<'a>(measured: &[&'a LoopSummary], number: u32) -> Result<&'a LoopSummary, CommandError> {
    measured.iter().find(|one| one.number == number).copied().ok_or_else(|| {
        let known: Vec<String> = measured.iter().map(|one| one.number.to_string()).collect();
        let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
        CommandError::Refused(format!("loop {number} has not been evaluated; evaluated are: {known}"))
    })
}

fn overview(number: u32, evaluation: &EvaluationRow, scenes: &[SceneRow]) -> Reply {
    let mut text = format!("**Loop {number}**: {} of hidden scenes solved.\n", evaluation.scenes);
    let failed: Vec<&SceneRow> = scenes.iter().filter(|row| !row.success).collect();
    for row in failed.iter().take(MOST_NAMED) {
        text += &format!("- scene {}: {}, {}\n", row.scene, title_case(&row.family), outcome(row));
    }
    if failed.len() > MOST_NAMED {
        text += &format!("- and {} more failed scenes\n", failed.len() - MOST_NAMED);
    }
    text += "-# `/rollout watch N` shows scene N beside the expert.";
    let mut reply = Reply::open(text);
    reply.attachments = clips(scenes);
    reply
}

fn outcome(row: &SceneRow) -> String {
    if row.success {
        return format!("solved in {:.0} s", f64::from(row.steps) / 10.0);
    }
    let class = row.failure.as_deref().unwrap_or("failed");
    let known = FailureClass::ALL.iter().find(|known| known.as_str() == class);
    known.map_or_else(|| class.replace('_', " "), |known| known.title().to_owned())
}

/// Repeats and films one scene beside the expert; with it, where it first went wrong.
fn film_scene(bytes: Vec<u8>, scene: u32) -> Result<(Vec<u8>, Option<String>), CommandError> {
    let traces = TraceFile::read(bytes)?;
    let Some(run) = traces.run(scene) else {
        return Err(CommandError::Refused(format!("scene {scene} was left out of the traces to keep them small")));
    };
    let (_, start) = traces.set.scene(scene)?;
    let deviation = if run.result.success { None } else { first_deviation(&start, &run.actions)? };
    let (_, expert) = drive(&Pilot::Expert, &traces.set, scene, &RolloutOptions::default())?;
    let both = (run.actions.as_slice(), expert.actions.as_slice());
    let clip = film_beside(&traces.set, scene, both, deviation.as_ref(), CLIP_SECONDS)?;
    let gif = clip.to_gif().map_err(RolloutError::from)?;
    Ok((gif, deviation.map(|deviation| deviation.to_string())))
}

fn solved(scenes: &[SceneRow]) -> Vec<(u32, bool)> {
    scenes.iter().map(|row| (row.scene, row.success)).collect()
}

/// Family by family, the greatest loss first.
fn changes(before: &[SceneRow], after: &[SceneRow]) -> Vec<FamilyChange> {
    let count = |scenes: &[SceneRow]| {
        let mut families: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for row in scenes {
            let (solved, tried) = families.entry(row.family.clone()).or_default();
            (*solved, *tried) = (*solved + u32::from(row.success), *tried + 1);
        }
        families
    };
    let (before, after) = (count(before), count(after));
    let share = |(solved, tried): (u32, u32)| Proportion::new(solved, tried);
    let mut changes: Vec<FamilyChange> = after
        .into_iter()
        .filter_map(|(family, counts)| {
            let earlier = *before.get(&family)?;
            Some(FamilyChange { family: title_case(&family), before: share(earlier), after: share(counts) })
        })
        .collect();
    let gain = |change: &FamilyChange| change.after.rate() - change.before.rate();
    changes.sort_by(|a, b| gain(a).total_cmp(&gain(b)).then(a.family.cmp(&b.family)));
    changes
}

fn compared(before: u32, after: u32, pairs: Pairs, changes: &[FamilyChange]) -> String {
    let mut text = format!("**Loop {after} against loop {before}** on the same {} scenes: {pairs}.\n", pairs.count());
    let chance = pairs.chance();
    text += &if pairs.gained <= pairs.lost {
        format!("Loop {after} is not better.\n")
    } else {
        format!("Luck alone gives loop {after} such a lead with a chance of {:.1} %.\n", 100.0 * chance)
    };
    text += &format!("\n| family | loop {before} | loop {after} |\n|---|---:|---:|\n");
    for change in changes {
        text += &format!(
            "| {} | {}/{} | {}/{} |\n",
            change.family, change.before.successes, change.before.trials, change.after.successes, change.after.trials
        );
    }
    text.trim_end().to_owned()
}

//! `/report`: all loops in a table with the success chart, or one loop with what failed and where.

use super::missions::{NO_MISSION, classes, short};
use super::{CommandError, Commands, Reply, words};
use crate::base::ArtifactId;
use crate::cycle::summary::{LoopSummary, MissionSummary, grouped};
use crate::report::{FailureCount, FailurePoint, ReportError, SuccessPoint, failure_chart, heat_map, success_chart};
use crate::store::{ArtifactRow, Attachment, SceneRow};
use serde_json::json;

/// Loops in the table, the newest.
const MOST_LOOPS: usize = 20;
/// Clips that go with a loop's report.
const MOST_CLIPS: usize = 2;

impl Commands {
    pub(super) async fn report(&self, number: Option<u32>) -> Result<Reply, CommandError> {
        let Some(summary) = self.mission().await? else { return Ok(Reply::open(NO_MISSION)) };
        match number {
            None => self.report_of_mission(&summary).await,
            Some(number) => match summary.loops.iter().find(|one| one.number == number) {
                Some(one) => self.report_of_loop(one).await,
                None => Err(CommandError::Refused(format!(
                    "there is no loop {number}; mission {} has {} so far",
                    summary.mission.id,
                    summary.loops.len()
                ))),
            },
        }
    }

    async fn report_of_mission(&self, summary: &MissionSummary) -> Result<Reply, CommandError> {
        let mission = &summary.mission;
        let mut text = format!("**Mission {}, {}**: {}\n", mission.id, mission.state, words::sentence(&mission.goal));
        if summary.loops.is_empty() {
            text += "No loop has run yet.";
            return Ok(Reply::open(text));
        }
        text += "| loop | episodes | samples | minutes | scenes solved | top failure | cost |\n";
        text += "|---:|---:|---:|---:|---:|---|---:|\n";
        let skipped = summary.loops.len().saturating_sub(MOST_LOOPS);
        for one in summary.loops.iter().skip(skipped) {
            text += &table_line(one);
        }
        if skipped > 0 {
            text += &format!("-# {skipped} earlier loops are left out; `/report N` shows one.\n");
        }
        let points: Vec<SuccessPoint> = summary
            .loops
            .iter()
            .filter_map(|one| Some(SuccessPoint { loop_number: one.number, success: one.scenes? }))
            .collect();
        let mut reply = Reply::open(text.trim_end());
        if !points.is_empty() {
            let target = mission.target_success;
            let alt = success_in_words(&points, target);
            let chart = draw(move || success_chart(&points, Some(target))).await?;
            reply.attachments.push(self.keep_chart("success.png", alt, chart).await?);
        }
        Ok(reply)
    }

    async fn report_of_loop(&self, one: &LoopSummary) -> Result<Reply, CommandError> {
        let mut text = facts(one);
        let scenes = match &one.evaluation {
            Some(evaluation) => self.store.scenes_of(evaluation.id).await?,
            None => Vec::new(),
        };
        if !one.per_family.is_empty() {
            text += "\n| family | solved | rate |\n|---|---:|---:|\n";
            let mut families = one.per_family.clone();
            families.sort_by(|a, b| a.1.rate().total_cmp(&b.1.rate()).then_with(|| a.0.cmp(&b.0)));
            for (name, share) in &families {
                text += &format!("| {name} | {}/{} | {} |\n", share.successes, share.trials, short(Some(*share)));
            }
        }
        let mut reply = Reply::open(text.trim_end());
        if !one.failures.is_empty() {
            let counts: Vec<FailureCount> = one
                .failures
                .iter()
                .map(|(class, count)| FailureCount { class: class.clone(), count: *count })
                .collect();
            let points = failure_points(&scenes);
            let alt = format!("Failures of loop {} by class: {}", one.number, classes(&one.failures));
            let chart = draw(move || failure_chart(&counts)).await?;
            reply.attachments.push(self.keep_chart("failures.png", alt, chart).await?);
            let alt = format!("Where on the floor the {} failed scenes of loop {} ended", points.len(), one.number);
            let map = draw(move || heat_map(&points)).await?;
            reply.attachments.push(self.keep_chart("where.png", alt, map).await?);
        }
        reply.attachments.extend(clips(&scenes));
        Ok(reply)
    }

    /// Stores a chart and notes where it came from.
    pub(super) async fn keep_chart(&self, name: &str, alt: String, png: Vec<u8>) -> Result<Attachment, CommandError> {
        let bytes = png.len() as u64;
        let artifact = self.artifacts.put(png, "png").await?;
        let row = ArtifactRow {
            id: artifact.clone(),
            kind: "png".to_owned(),
            bytes,
            producer: "chart".to_owned(),
            provenance: json!({ "alt": alt }),
        };
        self.store.add_artifact(&row, self.now()).await?;
        Ok(picture(artifact, name, "image/png", alt))
    }
}

/// Drawing takes tens of milliseconds of computation: it runs where it blocks nobody.
pub(super) async fn draw<F>(chart: F) -> Result<Vec<u8>, CommandError>
where
    F: FnOnce() -> Result<Vec<u8>, ReportError> + Send + 'static,
{
    match tokio::task::spawn_blocking(chart).await {
        Ok(drawn) => Ok(drawn?),
        Err(_) => Err(CommandError::Refused("the chart was not drawn: Ralphton is stopping".to_owned())),
    }
}

pub(super) fn picture(artifact: ArtifactId, name: &str, media_type: &str, alt: String) -> Attachment {
    Attachment { artifact, name: name.to_owned(), media_type: media_type.to_owned(), alt }
}

fn table_line(one: &LoopSummary) -> String {
    let solved = match one.scenes {
        Some(scenes) => {
            let (low, high) = scenes.wilson_95();
            format!("{} ({:.0}–{:.0})", short(one.scenes), 100.0 * low, 100.0 * high)
        }
        None => one.stage.map_or("–".to_owned(), |stage| format!("in {stage}")),
    };
    format!(
        "| {}{} | {} | {} | {:.1} | {solved} | {} | {} |\n",
        one.number,
        if one.promoted == Some(true) { " ★" } else { "" },
        grouped(u64::from(one.episodes)),
        grouped(one.samples),
        one.minutes,
        one.failures.first().map_or("–".to_owned(), |(class, count)| format!("{class} ({count})")),
        one.spent,
    )
}

fn facts(one: &LoopSummary) -> String {
    let mut text = format!("**Loop {}**: {}\n", one.number, one.doing);
    if let Some(scenes) = one.scenes {
        text += &format!("- Hidden scenes solved: {scenes}\n");
    }
    if let Some(bricks) = one.bricks {
        text += &format!("- Bricks delivered: {bricks}\n");
    }
    text += &format!("- {} episodes made, {} samples trained", grouped(u64::from(one.episodes)), grouped(one.samples));
    text += &format!(", {:.1} minutes, {}\n", one.minutes, one.spent);
    if let Some(first) = one.first_number_minutes {
        text += &format!("- First closed-loop number after {first:.1} minutes\n");
    }
    if let Some(promoted) = one.promoted {
        let verdict = if promoted { "promoted" } else { "not promoted" };
        text += &format!("- Gate: {verdict}; {}\n", one.gate_reason);
    }
    for (what, path) in [("Dataset", &one.dataset), ("Checkpoint", &one.checkpoint)] {
        if let Some(path) = path {
            text += &format!("- {what}: `{path}`\n");
        }
    }
    text
}

fn failure_points(scenes: &[SceneRow]) -> Vec<FailurePoint> {
    scenes
        .iter()
        .filter_map(|scene| {
            Some(FailurePoint { x_m: scene.x_m as f32, z_m: scene.z_m as f32, class: scene.failure.clone()? })
        })
        .collect()
}

/// A failed scene's clip and a solved one's, where they were filmed.
pub(super) fn clips(scenes: &[SceneRow]) -> Vec<Attachment> {
    let filmed = |success| scenes.iter().find(|scene| scene.success == success && scene.clip.is_some());
    [false, true]
        .into_iter()
        .filter_map(filmed)
        .take(MOST_CLIPS)
        .filter_map(|scene| {
            let how = scene.failure.as_deref().unwrap_or("solved");
            let alt = format!("Scene {} ({}): {how}", scene.scene, scene.family);
            Some(picture(scene.clip.clone()?, &format!("scene-{}.gif", scene.scene), "image/gif", alt))
        })
        .collect()
}

fn success_in_words(points: &[SuccessPoint], target: f64) -> String {
    let told: Vec<String> =
        points.iter().map(|p| format!("loop {}: {:.1} %", p.loop_number, 100.0 * p.success.rate())).collect();
    format!("Closed-loop success over loops against a target of {:.0} %; {}", 100.0 * target, told.join(", "))
}

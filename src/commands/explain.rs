//! `/why`: what stands still, what is slow, and what would help, from the rows alone.

use super::missions::NO_MISSION;
use super::{CommandError, Commands, Reply, words};
use crate::base::{JobState, MissionState, Timestamp};
use crate::cycle::summary::{MissionSummary, progress_text};
use crate::store::{Activity, AgentRow, DecisionRow, JobRow};

/// A job or an agent without progress for so long is worth a word.
const QUIET_S: f64 = 180.0;
/// Incidents that are looked through for open ones.
const INCIDENTS: u32 = 50;

impl Commands {
    pub(super) async fn why(&self) -> Result<Reply, CommandError> {
        let Some(summary) = self.mission().await? else { return Ok(Reply::open(NO_MISSION)) };
        let now = self.now();
        let mut lines = vec![standing(&summary)];
        lines.extend(self.store.open_decisions().await?.iter().map(|decision| asked(decision, now)));
        lines.extend(self.store.open_jobs().await?.iter().map(|job| working(job, now)));
        lines.extend(self.store.agents().await?.iter().filter_map(|agent| silent(agent, now)));
        for incident in self.store.incidents(INCIDENTS).await?.iter().filter(|one| one.cured_at.is_none()) {
            lines.push(format!(
                "Open incident since {}: {} ({}), {}",
                words::span(incident.noticed_at, now),
                incident.kind,
                incident.subject,
                incident.evidence
            ));
        }
        let listed: Vec<String> = lines.iter().map(|line| format!("- {}", words::sentence(line))).collect();
        Ok(Reply::open(listed.join("\n")))
    }
}

fn standing(summary: &MissionSummary) -> String {
    let mission = &summary.mission;
    match mission.state {
        MissionState::Running => match summary.loops.last() {
            Some(newest) => format!("mission {} runs: loop {}, {}", mission.id, newest.number, newest.doing),
            None => format!("mission {} runs; its first loop opens in a moment", mission.id),
        },
        MissionState::Paused => format!("mission {} is paused by a person; `/loop resume` goes on", mission.id),
        MissionState::Completed | MissionState::Stopped | MissionState::Failed => {
            let ending = mission.ending.as_deref().unwrap_or("no reason was noted");
            format!("mission {} is over ({}): {ending}; `/loop start` begins another", mission.id, mission.state)
        }
    }
}

fn asked(decision: &DecisionRow, now: Timestamp) -> String {
    let left = if decision.deadline_at > now {
        format!("in {} the playbook decides as deputy", words::span(now, decision.deadline_at))
    } else {
        "its time is over, the playbook decides as deputy".to_owned()
    };
    let refusal = decision.refusal.as_ref().map_or(String::new(), |why| format!("; last proposal refused: {why}"));
    format!("{} is deciding the plan for {}; {left}{refusal}", decision.persona, decision.stage)
}

fn working(job: &JobRow, now: Timestamp) -> String {
    if job.state == JobState::Queued {
        return format!("job {} ({}) waits for a free runner", job.id, job.kind);
    }
    let since = job.progress_at.or(job.started_at).unwrap_or(job.created_at);
    let quiet = now.duration_since(since).as_secs_f64();
    let mut text = format!("job {} ({}): {}", job.id, job.kind, progress_text(job));
    if quiet > QUIET_S {
        text += &format!("; no progress for {}", words::seconds(quiet));
    }
    if job.attempts > 1 {
        text += &format!("; attempt {}, the runner before it went away", job.attempts);
    }
    text
}

fn silent(agent: &AgentRow, now: Timestamp) -> Option<String> {
    let quiet = now.duration_since(agent.progress_at).as_secs_f64();
    match agent.activity {
        Activity::Idle | Activity::Waiting => None,
        Activity::Stopped => Some(format!("{} is stopped", agent.name)),
        Activity::Starting | Activity::Thinking | Activity::UsingTool => (quiet > QUIET_S)
            .then(|| format!("{} has been silent for {} ({})", agent.name, words::seconds(quiet), agent.doing)),
    }
}

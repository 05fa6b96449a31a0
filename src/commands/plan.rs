//! `/loop plan`: what each stage of the loop was decided to do, or will be by the rules, and how long it takes.

use super::{CommandError, Commands, Reply, words};
use crate::base::{MissionState, Stage};
use crate::cycle::summary::{MissionSummary, duration, grouped};
use crate::cycle::throughput::{StageTime, outcomes, setting, time_left, usual_plan};
use crate::store::DecisionRow;
use serde_json::Value;

impl Commands {
    pub(super) async fn plan(&self) -> Result<Reply, CommandError> {
        let Some(summary) = self.mission().await? else {
            return Ok(Reply::open(self.plan_of_defaults()));
        };
        let Some(newest) = summary.loops.last() else {
            let outlook = self.coming(&summary, Stage::Generate).await?;
            return Ok(Reply::open(format!("The first loop opens in a moment; nothing is decided yet.\n{outlook}")));
        };
        let times = outcomes(&self.store, newest.id).await?;
        let mut text = format!("**Loop {}, its plan**\n", newest.number);
        for stage in Stage::ALL {
            let decision = self.store.decision_for(newest.id, *stage).await?;
            text += &decision_line(*stage, decision.as_ref());
            match times.iter().find(|time| time.stage == *stage) {
                Some(time) => text += &time_line(time),
                None if newest.ending.is_none() => text += &self.coming(&summary, *stage).await?,
                None => {}
            }
            if let Some(decision) = &decision {
                text += &self.waiting(decision).await?;
            }
        }
        if newest.ending.is_some() && summary.mission.ended_at.is_none() {
            text += "The next loop opens in a moment.\n";
        }
        if summary.mission.state == MissionState::Paused {
            text += "The mission is paused; `/loop resume` goes on.\n";
        }
        Ok(Reply::open(text.trim_end()))
    }

    /// What the preset asks for at a stage that is not decided yet, and how long that takes; nothing without a probe.
    async fn coming(&self, summary: &MissionSummary, stage: Stage) -> Result<String, CommandError> {
        let mission = &summary.mission;
        let Some(setting) = setting(&self.store, mission).await? else { return Ok(String::new()) };
        let plan = usual_plan(&setting, stage);
        if stage == Stage::Feedback {
            return Ok(String::new());
        }
        let Some(forecast) = setting.forecast(&plan) else { return Ok(String::new()) };
        let what = crate::cycle::forecast::quantity(&plan)
            .map_or(String::new(), |(count, unit)| format!("{} {unit}, ", grouped(count)));
        let left = time_left(mission, Some(&setting), stage, self.now());
        let tight = match setting.refusal(&plan, left.seconds, left.whose) {
            Some(refusal) => format!(" That is too much: {}.", refusal.words),
            None => String::new(),
        };
        Ok(format!("  by the preset: {what}{forecast}.{tight}\n"))
    }

    /// That a plan waits for a person.
    async fn waiting(&self, decision: &DecisionRow) -> Result<String, CommandError> {
        let approvals = self.store.approvals_of(decision.id).await?;
        let Some(waiting) = approvals.iter().find(|approval| approval.answer.is_none()) else {
            return Ok(String::new());
        };
        Ok(format!(
            "  waits for a person, {} more: {}. `/approve` or `/veto <reason>`\n",
            words::span(self.now(), waiting.deadline_at),
            plan_in_words(&waiting.plan)
        ))
    }
}

/// Forecast, and fact when there is one.
fn time_line(time: &StageTime) -> String {
    if let Some(words) = time.in_words() {
        return format!("  {words}\n");
    }
    match &time.forecast {
        Some(forecast) => format!(
            "  about {} ({} to {})\n",
            duration(forecast.seconds),
            duration(forecast.low_s),
            duration(forecast.high_s)
        ),
        None => String::new(),
    }
}

fn decision_line(stage: Stage, decision: Option<&DecisionRow>) -> String {
    let Some(decision) = decision else { return format!("- {stage}: not asked yet ({} decides)\n", stage.owner()) };
    match (&decision.plan, &decision.refusal) {
        (Some(plan), _) => {
            let by = decision.decided_by.as_deref().unwrap_or("unknown");
            format!("- {stage}, by {by}: {}\n", plan_in_words(plan))
        }
        (None, Some(refusal)) => {
            format!("- {stage}: {} decides again; last time: {refusal}\n", decision.persona)
        }
        (None, None) => format!("- {stage}: {} decides now\n", decision.persona),
    }
}

/// A plan's fields as "episodes 400, dagger share 0.7". Maps are told by their size: they can be long.
fn plan_in_words(plan: &Value) -> String {
    let Some(fields) = plan.as_object() else { return plan.to_string() };
    let parts: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let name = name.replace('_', " ");
            match value {
                Value::Object(map) if map.is_empty() => format!("{name} all alike"),
                Value::Object(map) => format!("{name} weighted ({})", map.len()),
                Value::Number(number) => {
                    format!("{name} {}", number.as_u64().map_or_else(|| number.to_string(), grouped))
                }
                Value::String(text) => format!("{name} {text}"),
                Value::Null | Value::Bool(_) | Value::Array(_) => format!("{name} {value}"),
            }
        })
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_reads_as_words() {
        let plan = json!({"episodes": 4000, "families": {"corner": 1.0, "open": 0.4}, "stop": null, "start": "latest"});
        assert_eq!(plan_in_words(&plan), "episodes 4,000, families weighted (2), start latest");
    }
}

//! The typed decisions of a loop: what a persona may decide at each stage, and nothing else.
//!
//! A plan is data with a JSON Schema. A model fills it in, the playbook computes it, a person may see it before it
//! runs; the program checks it the same way whoever made it.

use crate::base::Stage;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Decision at Generate: which episodes to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneratePlan {
    /// Episodes to make, 1 to 20,000.
    pub episodes: u32,
    /// Fewest bricks in an episode, 1 to 10.
    pub bricks_min: u32,
    /// Most bricks in an episode, 1 to 10.
    pub bricks_max: u32,
    /// Weight of each scenario family by name. Families left out are not made; empty means all alike.
    pub families: BTreeMap<String, f64>,
    /// Share of the expert's episodes disturbed by bursts of noise, in [0, 1].
    pub noisy_share: f64,
    /// Share of the expert's episodes that begin in a bad situation, in [0, 1].
    pub bad_start_share: f64,
    /// Share of all episodes that the policy drives while the expert labels (DAgger), in [0, 1].
    pub dagger_share: f64,
}

/// Which weights a training begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartFrom {
    /// Fresh random weights.
    Scratch,
    /// The newest checkpoint of the mission; fresh weights when there is none.
    Latest,
    /// The champion; fresh weights when there is none.
    Champion,
}

/// Decision at Train: how far and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainPlan {
    /// Samples to draw in this training.
    pub samples: u64,
    /// Peak learning rate of AdamW, above 0 and at most 0.01.
    pub learning_rate: f64,
    /// Extra probability of drawing from the newest dataset, in [0, 1].
    pub newest_share: f64,
    /// Which weights to begin with.
    pub start: StartFrom,
}

/// Decision at Evaluate: how the policy is judged. The scenes' seeds are the program's, never a persona's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluatePlan {
    /// Hidden scenes to drive, spread over all families, 13 to 2,000.
    pub scenes: u32,
    /// Bricks in each scene, 1 to 10.
    pub bricks: u32,
    /// Actions of each predicted chunk that are carried out before the policy looks again.
    pub execute_steps: u32,
}

/// Decision at Feedback: what the next loop should see more of. Promotion is the gate's, never a persona's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedbackPlan {
    /// Weight of each scenario family in the next loop's episodes.
    pub families: BTreeMap<String, f64>,
    /// Share of the next loop's episodes that the policy drives while the expert labels, in [0, 1].
    pub dagger_share: f64,
    /// Set to end the mission here, with the reason in words.
    pub stop: Option<String>,
}

/// A decision of any stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// See [`GeneratePlan`].
    Generate(GeneratePlan),
    /// See [`TrainPlan`].
    Train(TrainPlan),
    /// See [`EvaluatePlan`].
    Evaluate(EvaluatePlan),
    /// See [`FeedbackPlan`].
    Feedback(FeedbackPlan),
}

impl Plan {
    /// The stage this plan is for.
    pub fn stage(&self) -> Stage {
        match self {
            Plan::Generate(_) => Stage::Generate,
            Plan::Train(_) => Stage::Train,
            Plan::Evaluate(_) => Stage::Evaluate,
            Plan::Feedback(_) => Stage::Feedback,
        }
    }

    /// The plan as the plain object of its stage, without the stage's name around it.
    pub fn to_json(&self) -> serde_json::Value {
        let value = match self {
            Plan::Generate(plan) => serde_json::to_value(plan),
            Plan::Train(plan) => serde_json::to_value(plan),
            Plan::Evaluate(plan) => serde_json::to_value(plan),
            Plan::Feedback(plan) => serde_json::to_value(plan),
        };
        // A plan holds only numbers, strings and maps with string keys: there is nothing that JSON cannot hold.
        value.unwrap_or_default()
    }

    /// Reads the plain object of `stage` and checks every bound; the error says what to change.
    ///
    /// # Errors
    /// In words for whoever made the plan: the field, what it was, what it may be.
    pub fn from_json(stage: Stage, value: &serde_json::Value, families: &[String]) -> Result<Plan, String> {
        fn read<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T, String> {
            serde_json::from_value(value.clone()).map_err(|error| format!("the plan does not fit its schema: {error}"))
        }
        let plan = match stage {
            Stage::Generate => Plan::Generate(read(value)?),
            Stage::Train => Plan::Train(read(value)?),
            Stage::Evaluate => Plan::Evaluate(read(value)?),
            Stage::Feedback => Plan::Feedback(read(value)?),
        };
        plan.check(families)?;
        Ok(plan)
    }

    fn check(&self, families: &[String]) -> Result<(), String> {
        match self {
            Plan::Generate(plan) => {
                within("episodes", f64::from(plan.episodes), 1.0, 20_000.0)?;
                within("bricks_min", f64::from(plan.bricks_min), 1.0, 10.0)?;
                within("bricks_max", f64::from(plan.bricks_max), f64::from(plan.bricks_min), 10.0)?;
                within("noisy_share", plan.noisy_share, 0.0, 1.0)?;
                within("bad_start_share", plan.bad_start_share, 0.0, 1.0)?;
                within("dagger_share", plan.dagger_share, 0.0, 1.0)?;
                known_families(&plan.families, families)
            }
            Plan::Train(plan) => {
                within("samples", plan.samples as f64, 1.0, 1e9)?;
                within("learning_rate", plan.learning_rate, 1e-7, 1e-2)?;
                within("newest_share", plan.newest_share, 0.0, 1.0)
            }
            Plan::Evaluate(plan) => {
                within("scenes", f64::from(plan.scenes), 13.0, 2_000.0)?;
                within("bricks", f64::from(plan.bricks), 1.0, 10.0)?;
                within("execute_steps", f64::from(plan.execute_steps), 1.0, 100.0)
            }
            Plan::Feedback(plan) => {
                within("dagger_share", plan.dagger_share, 0.0, 1.0)?;
                known_families(&plan.families, families)
            }
        }
    }
}

/// The JSON Schema of a stage's plan, as shown to models.
pub fn plan_schema(stage: Stage) -> serde_json::Value {
    let schema = match stage {
        Stage::Generate => schemars::schema_for!(GeneratePlan),
        Stage::Train => schemars::schema_for!(TrainPlan),
        Stage::Evaluate => schemars::schema_for!(EvaluatePlan),
        Stage::Feedback => schemars::schema_for!(FeedbackPlan),
    };
    schema.to_value()
}

fn within(field: &str, value: f64, low: f64, high: f64) -> Result<(), String> {
    if value.is_finite() && (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(format!("{field} is {value}; it must lie between {low} and {high}"))
    }
}

fn known_families(weights: &BTreeMap<String, f64>, families: &[String]) -> Result<(), String> {
    for (name, weight) in weights {
        if !families.contains(name) {
            let nearest =
                families.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            return Err(format!(
                "there is no scenario family \"{name}\"; the nearest is \"{}\"",
                nearest.map_or("none", String::as_str)
            ));
        }
        within(&format!("the weight of {name}"), *weight, 0.0, 1_000.0)?;
    }
    if !weights.is_empty() && weights.values().sum::<f64>() <= 0.0 {
        return Err("all weights of scenario families are 0; give at least one a weight".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn families() -> Vec<String> {
        vec!["open_floor".to_owned(), "brick_at_wall".to_owned()]
    }

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let plan = Plan::Evaluate(EvaluatePlan { scenes: 200, bricks: 1, execute_steps: 10 });
        assert_eq!(Plan::from_json(Stage::Evaluate, &plan.to_json(), &families()), Ok(plan));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_bounds() {
        let error =
            Plan::from_json(Stage::Evaluate, &json!({"scenes": 5, "bricks": 1, "execute_steps": 10}), &families());
        assert_eq!(error, Err("scenes is 5; it must lie between 13 and 2000".to_owned()));
        let error = Plan::from_json(
            Stage::Feedback,
            &json!({"families": {"brick_at_wal": 1.0}, "dagger_share": 0.5, "stop": null}),
            &families(),
        );
        assert!(error.unwrap_err().contains("the nearest is \"brick_at_wall\""));
    }

    #[test]
    fn unknown_fields_are_refused() {
        let value = json!({"scenes": 50, "bricks": 1, "execute_steps": 10, "seed": 3});
        assert!(Plan::from_json(Stage::Evaluate, &value, &families()).unwrap_err().contains("seed"));
    }

    #[test]
    fn every_stage_has_a_closed_schema() {
        for stage in Stage::ALL {
            assert_eq!(plan_schema(*stage)["additionalProperties"], json!(false));
        }
    }
}

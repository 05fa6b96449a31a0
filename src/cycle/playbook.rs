//! The playbook: rules that make each stage's decision. It is the embedded default's brain and every LLM's deputy.

use super::evidence::{EvaluationEvidence, Evidence};
use super::plan::{EvaluatePlan, FeedbackPlan, GeneratePlan, Plan, StartFrom, TrainPlan};
use super::remedy;
use crate::base::Stage;
use std::collections::BTreeMap;

/// Weight that a family keeps although the policy never fails in it: what works must not be forgotten.
const BASE_WEIGHT: f64 = 0.4;

/// The plan for the stage that asks, and the reason in one sentence for the channel.
pub fn decide(evidence: &Evidence) -> (Plan, String) {
    let (plan, reason) = match evidence.stage {
        Stage::Generate => generate(evidence),
        Stage::Train => train(evidence),
        Stage::Evaluate => evaluate(evidence),
        Stage::Feedback => feedback(evidence),
    };
    match &evidence.set_back {
        Some(set_back) => remedy::apply(plan, reason, set_back, &evidence.families),
        None => (plan, reason),
    }
}

fn generate(evidence: &Evidence) -> (Plan, String) {
    let sizes = &evidence.preset.generate;
    let (episodes, families, dagger_share, reason) = match &evidence.advice {
        None => (
            sizes.first_episodes,
            evidence.families.iter().map(|name| (name.clone(), 1.0)).collect(),
            0.0,
            "first loop: all scenario families alike, with noise and bad starts from the beginning".to_owned(),
        ),
        Some(advice) => {
            let most = heaviest(&advice.families, 3);
            (
                sizes.later_episodes,
                advice.families.clone(),
                advice.dagger_share,
                format!("more of where the policy failed ({most}), partly on the states it gets itself into"),
            )
        }
    };
    let plan = GeneratePlan {
        episodes,
        bricks_min: sizes.bricks_min,
        bricks_max: sizes.bricks_max,
        families,
        noisy_share: sizes.noisy_share,
        bad_start_share: sizes.bad_start_share,
        dagger_share,
    };
    (Plan::Generate(plan), reason)
}

fn train(evidence: &Evidence) -> (Plan, String) {
    let sizes = &evidence.preset.train;
    let first = evidence.samples_trained == 0;
    let plan = TrainPlan {
        samples: if first { sizes.first_samples } else { sizes.later_samples },
        learning_rate: sizes.learning_rate,
        newest_share: if first { 0.0 } else { sizes.newest_share },
        start: if first { StartFrom::Scratch } else { StartFrom::Latest },
    };
    let reason = if first {
        "from scratch; success comes as a step, so no verdict before the samples are used".to_owned()
    } else {
        format!("on from {} samples, the newest data drawn more often", evidence.samples_trained)
    };
    (Plan::Train(plan), reason)
}

fn evaluate(evidence: &Evidence) -> (Plan, String) {
    let sizes = &evidence.preset.evaluate;
    let plan = EvaluatePlan { scenes: sizes.scenes, bricks: sizes.bricks, execute_steps: sizes.execute_steps };
    (Plan::Evaluate(plan), "hidden scenes from every family, the same ones in every loop".to_owned())
}

fn feedback(evidence: &Evidence) -> (Plan, String) {
    let Some(evaluation) = &evidence.last_evaluation else {
        let families = evidence.families.iter().map(|name| (name.clone(), 1.0)).collect();
        let plan = FeedbackPlan { families, dagger_share: evidence.preset.generate.dagger_share, stop: None };
        return (Plan::Feedback(plan), "no evaluation to read; all families alike".to_owned());
    };
    let families = weights_by_failure(evaluation, &evidence.families);
    let most = heaviest(&families, 3);
    let plan = FeedbackPlan { families, dagger_share: evidence.preset.generate.dagger_share, stop: None };
    let reason = match evaluation.failures.first() {
        Some((class, count)) => {
            format!("most frequent failure is {} ({count}); next episodes lean towards {most}", class.replace('_', " "))
        }
        None => "no scene failed; the mix stays even".to_owned(),
    };
    (Plan::Feedback(plan), reason)
}

/// A family's weight grows with the share of its scenes that failed.
fn weights_by_failure(evaluation: &EvaluationEvidence, families: &[String]) -> BTreeMap<String, f64> {
    families
        .iter()
        .map(|name| {
            let measured = evaluation.per_family.iter().find(|(family, _)| family == name);
            let failed = measured.map_or(1.0, |(_, solved)| 1.0 - solved.rate());
            (name.clone(), ((BASE_WEIGHT + failed) * 100.0).round() / 100.0)
        })
        .collect()
}

/// The names of the `count` heaviest families, heaviest first.
fn heaviest(weights: &BTreeMap<String, f64>, count: usize) -> String {
    let mut sorted: Vec<_> = weights.iter().collect();
    sorted.sort_by(|a, b| b.1.total_cmp(a.1).then(a.0.cmp(b.0)));
    sorted.iter().take(count).map(|(name, _)| name.replace('_', " ")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Proportion;
    use crate::cycle::preset::LoopPreset;

    fn case(stage: Stage) -> Evidence {
        Evidence {
            stage,
            goal: "put every brick in the box".to_owned(),
            target_success: 0.9,
            loop_number: 1,
            planned_loops: 3,
            preset: LoopPreset::default(),
            families: vec!["corner".to_owned(), "open".to_owned()],
            champion: None,
            last_evaluation: None,
            advice: None,
            samples_stored: 0,
            samples_trained: 0,
            time: None,
            set_back: None,
        }
    }

    #[test]
    fn every_decision_passes_its_own_check() {
        for stage in Stage::ALL {
            let evidence = case(*stage);
            let (plan, reason) = decide(&evidence);
            assert_eq!(plan.stage(), *stage);
            assert_eq!(Plan::from_json(*stage, &plan.to_json(), &evidence.families), Ok(plan));
            assert!(!reason.is_empty());
        }
    }

    #[test]
    fn feedback_leans_towards_the_family_that_fails() {
        let mut evidence = case(Stage::Feedback);
        evidence.last_evaluation = Some(EvaluationEvidence {
            scenes: Proportion::new(11, 20),
            bricks: Proportion::new(11, 20),
            per_family: vec![
                ("corner".to_owned(), Proportion::new(1, 10)),
                ("open".to_owned(), Proportion::new(10, 10)),
            ],
            failures: vec![("wall_stuck".to_owned(), 9)],
        });
        let (plan, reason) = decide(&evidence);
        let Plan::Feedback(plan) = plan else { panic!("another stage's plan: {plan:?}") };
        assert!((plan.families["corner"] - 1.3).abs() < 1e-9);
        assert!((plan.families["open"] - 0.4).abs() < 1e-9);
        assert!(reason.contains("wall stuck (9)"), "{reason}");
    }

    #[test]
    fn later_loops_follow_the_advice_and_train_on() {
        let mut evidence = case(Stage::Generate);
        evidence.advice = Some(FeedbackPlan {
            families: BTreeMap::from([("corner".to_owned(), 2.0)]),
            dagger_share: 0.5,
            stop: None,
        });
        let (Plan::Generate(plan), _) = decide(&evidence) else { panic!("another stage's plan") };
        assert_eq!(plan.families.len(), 1);
        assert_eq!(plan.dagger_share, 0.5);
        evidence.stage = Stage::Train;
        evidence.samples_trained = 80_000;
        let (Plan::Train(plan), _) = decide(&evidence) else { panic!("another stage's plan") };
        assert_eq!(plan.start, StartFrom::Latest);
    }
}

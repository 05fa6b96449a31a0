//! What the loop does about a fault: how often a stage is decided again, and how the playbook's next plan differs.

use super::evidence::SetBack;
use super::plan::{Plan, StartFrom};
use crate::base::{Fault, Stage};

/// Scenes that an evaluation keeps at least when it is made smaller.
const FEWEST_SCENES: u32 = 26;

/// How often a stage may be set back by a fault within one loop before the loop fails. A full disk is waited for by a
/// pause, so it may come back any number of times.
pub fn most_set_backs(fault: Fault) -> u32 {
    match fault {
        Fault::Diverged => 2,
        Fault::ExpertGate | Fault::EmptyData | Fault::Certificate | Fault::Overdue | Fault::Crashed => 1,
        Fault::DiskFull => u32::MAX,
        Fault::NothingFits | Fault::Other => 0,
    }
}

/// The stage that is decided again after `stage` failed: a checkpoint that fails its certificate when it is evaluated
/// has to be trained again, and a training without data needs data.
pub fn back_to(stage: Stage, fault: Fault) -> Stage {
    match (stage, fault) {
        (Stage::Evaluate, Fault::Certificate) => Stage::Train,
        (Stage::Train, Fault::EmptyData) => Stage::Generate,
        (
            Stage::Generate | Stage::Train | Stage::Evaluate | Stage::Feedback,
            Fault::Diverged
            | Fault::EmptyData
            | Fault::ExpertGate
            | Fault::Certificate
            | Fault::DiskFull
            | Fault::Overdue
            | Fault::NothingFits
            | Fault::Crashed
            | Fault::Other,
        ) => stage,
    }
}

/// A fault as people call it.
pub fn title(fault: Fault) -> &'static str {
    match fault {
        Fault::Diverged => "the training diverged",
        Fault::EmptyData => "there was nothing to learn from",
        Fault::ExpertGate => "the expert could not solve its own scenes",
        Fault::Certificate => "a checkpoint failed its certificate",
        Fault::DiskFull => "the disk is full",
        Fault::Overdue => "it took longer than it may",
        Fault::NothingFits => "no plan fits into the time that is left",
        Fault::Crashed => "the work crashed",
        Fault::Other => "it failed",
    }
}

/// The playbook's plan after a fault: changed where the rules know what helps, the same where trying again is all
/// there is to do.
pub fn apply(plan: Plan, reason: String, set_back: &SetBack, families: &[String]) -> (Plan, String) {
    let because = title(set_back.fault);
    match (plan, set_back.fault) {
        (Plan::Train(mut plan), Fault::Diverged) => {
            plan.learning_rate *= 0.5_f64.powi(i32::try_from(set_back.times).unwrap_or(8));
            // What diverged may have begun from weights that were far gone already.
            if set_back.times > 1 && plan.start == StartFrom::Latest {
                plan.start = StartFrom::Champion;
            }
            let reason = format!("{because}, so the learning rate is {} now", plan.learning_rate);
            (Plan::Train(plan), reason)
        }
        (Plan::Generate(mut plan), Fault::ExpertGate | Fault::EmptyData) => {
            plan.families = families.iter().map(|name| (name.clone(), 1.0)).collect();
            (Plan::Generate(plan), format!("{because}, so all scenario families alike"))
        }
        (Plan::Evaluate(mut plan), Fault::Overdue) => {
            plan.scenes = (plan.scenes / 2).max(FEWEST_SCENES.min(plan.scenes));
            (Plan::Evaluate(plan), format!("{because}, so half of the scenes"))
        }
        (plan, _) => (plan, format!("{reason}; once more, since {because}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cycle::plan::{EvaluatePlan, TrainPlan};

    fn set_back(fault: Fault, times: u32) -> SetBack {
        SetBack { fault, error: "…".to_owned(), plan: serde_json::Value::Null, times }
    }

    #[test]
    fn each_divergence_halves_the_learning_rate() {
        let plan = TrainPlan { samples: 9, learning_rate: 8e-4, newest_share: 0.0, start: StartFrom::Latest };
        let after =
            |times| match apply(Plan::Train(plan.clone()), String::new(), &set_back(Fault::Diverged, times), &[]) {
                (Plan::Train(plan), reason) => (plan.learning_rate, plan.start, reason),
                other => panic!("{other:?}"),
            };
        assert_eq!(
            after(1),
            (4e-4, StartFrom::Latest, "the training diverged, so the learning rate is 0.0004 now".into())
        );
        assert_eq!((after(2).0, after(2).1), (2e-4, StartFrom::Champion));
    }

    #[test]
    fn an_evaluation_that_took_too_long_drives_fewer_scenes() {
        let plan = |scenes| Plan::Evaluate(EvaluatePlan { scenes, bricks: 1, execute_steps: 10 });
        let after = |scenes| apply(plan(scenes), String::new(), &set_back(Fault::Overdue, 1), &[]).0;
        assert_eq!((after(130), after(40), after(13)), (plan(65), plan(26), plan(13)));
    }

    #[test]
    fn a_damaged_checkpoint_is_trained_again_and_everything_is_bounded_but_the_disk() {
        assert_eq!(back_to(Stage::Evaluate, Fault::Certificate), Stage::Train);
        assert_eq!(back_to(Stage::Feedback, Fault::Certificate), Stage::Feedback);
        for fault in Fault::ALL {
            assert!(most_set_backs(*fault) <= 2 || *fault == Fault::DiskFull);
        }
    }
}

//! `ralphton train`: datasets into a checkpoint, its curve beside it. Killed at any instant, the same command goes on
//! from the last saved state and ends with the same weights.

use super::cli::{TrainArgs, say};
use super::rollouts::state_of;
use super::standalone::{ProgressLine, preset};
use super::{Ending, threads};
use crate::base::{Cancel, EvaluationSeed, Progress, Proportion, Seed};
use crate::config::Config;
use crate::cycle::preset::LoopPreset;
use crate::cycle::summary::grouped;
use crate::dataset::load_mixture;
use crate::policy::{ActConfig, HoldOut, Policy, TrainEvent, TrainOutcome, TrainPlan};
use crate::report::{CanaryPoint, Curve, ErrorPoint, HoldOutPoint, LossPoint, training_curve};
use crate::rollout::{Pilot, RolloutOptions, SceneSet, evaluate};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// What an action's numbers are called.
const ACTION_NAMES: [&str; 4] = ["steering", "throttle", "bucket", "lift"];

pub fn train(config: &Config, args: &TrainArgs) -> anyhow::Result<Ending> {
    let preset = preset(config, args.preset.as_deref())?;
    let work_dir = args.out.with_extension("training");
    if args.out.exists() {
        if !work_dir.exists() {
            bail!("{} exists already; name a new folder with --out", args.out.display());
        }
        // Interrupted between its last two steps: a checkpoint that is there is complete.
        remove(&work_dir)?;
        say(&format!("checkpoint: {} (this training had ended)", args.out.display()));
        return Ok(Ending::Done);
    }
    if !args.weight.is_empty() && args.weight.len() != args.dataset.len() {
        let (weights, datasets) = (args.weight.len(), args.dataset.len());
        bail!("{weights} --weight for {datasets} --dataset; give one for each dataset, or none");
    }
    let set = load_mixture(&args.dataset, &args.weight, preset.chunk, Some(preset.train.memory_samples))?;
    say(&format!("{} samples of {}×{} pixels", grouped(set.len() as u64), set.width, set.height));
    let plan = plan(preset, args);
    let act = ActConfig::preset(&preset.policy, set.height, set.width, set.state_dim, preset.chunk)?;
    let mut bar = ProgressLine::new("train");
    let mut failure: Option<anyhow::Error> = None;
    let cancel = Cancel::default();
    let outcome =
        crate::policy::train(&set, &act, args.start.as_deref(), &plan, &work_dir, &cancel, &mut |event| match event {
            TrainEvent::Step { samples, l1, kl, samples_per_s, seconds_left, .. } => {
                let loss = if kl > 0.0 { format!("loss {l1:.3} + KL {kl:.3}") } else { format!("loss {l1:.3}") };
                let note = format!("{loss}, {samples_per_s:.0} samples/s, {seconds_left:.0} s left");
                bar.show_as_told(&Progress { done: samples, total: plan.samples, unit: "samples", note });
            }
            TrainEvent::HoldOut(found) => {
                bar.end();
                say(&held_out(found));
            }
            TrainEvent::Snapshot { samples, policy, scenes } => match drive(preset, args, policy, &cancel) {
                Ok(solved) => {
                    bar.end();
                    say(&format!("{:>9} samples: canary {solved}", grouped(samples)));
                    *scenes = Some(solved);
                }
                Err(error) => {
                    failure.get_or_insert(error);
                    cancel.cancel();
                }
            },
        })?;
    bar.end();
    if let Some(error) = failure {
        return Err(error);
    }
    let curve = args.curve.clone().unwrap_or_else(|| args.out.with_extension("png"));
    draw(&outcome, &curve)?;
    outcome.policy.save(&args.out)?;
    remove(&work_dir)?;
    tell(&outcome, &args.out, &curve);
    Ok(Ending::Done)
}

fn plan(preset: &LoopPreset, args: &TrainArgs) -> TrainPlan {
    TrainPlan {
        samples: args.samples.unwrap_or(preset.train.first_samples),
        batch: preset.train.batch,
        learning_rate: args.learning_rate.unwrap_or(preset.train.learning_rate),
        dataset_weights: args.weight.clone(),
        newest_share: if args.dataset.len() > 1 { preset.train.newest_share } else { 0.0 },
        checkpoint_every_samples: args.save_every,
        snapshots: args.canaries.unwrap_or(preset.train.canaries),
        threads: args.threads.unwrap_or_else(threads),
        seed: Seed(args.seed),
        ..TrainPlan::default()
    }
}

fn remove(work_dir: &Path) -> anyhow::Result<()> {
    std::fs::remove_dir_all(work_dir).with_context(|| format!("{} cannot be removed", work_dir.display()))
}

/// Closed-loop rollouts of a snapshot, always on the same scenes.
fn drive(preset: &LoopPreset, args: &TrainArgs, policy: &Policy, cancel: &Cancel) -> anyhow::Result<Proportion> {
    let set = SceneSet {
        seed: EvaluationSeed(Seed(args.seed).child("canary", 0).0),
        families: Vec::new(),
        bricks: 1,
        scenes: preset.train.canary_scenes,
    };
    let options = RolloutOptions {
        seconds_per_brick: preset.evaluate.seconds_per_brick,
        threads: args.threads.unwrap_or_else(threads),
        ..RolloutOptions::default()
    };
    let pilot = Pilot::Policy { policy, state: state_of(policy)?, execute_steps: preset.evaluate.execute_steps };
    Ok(evaluate(&pilot, &set, &options, cancel, &mut |_| {})?.scenes())
}

fn held_out(found: &HoldOut) -> String {
    let HoldOut { samples, loss, blank_image, shuffled_images, previous_action, mean_action, .. } = found;
    format!(
        "{:>9} samples: held-out loss {loss:.3}; blank image {blank_image:.3}, other images {shuffled_images:.3}; \
         repeating the last action {previous_action:.3}, mean action {mean_action:.3}",
        grouped(*samples)
    )
}

fn draw(outcome: &TrainOutcome, path: &PathBuf) -> anyhow::Result<()> {
    let curve = Curve {
        losses: outcome.losses.iter().map(|l| LossPoint { samples: l.samples, loss: l.l1 }).collect(),
        divergences: outcome.losses.iter().map(|l| LossPoint { samples: l.samples, loss: l.kl }).collect(),
        held_out: outcome
            .held_out
            .iter()
            .map(|m| HoldOutPoint {
                samples: m.samples,
                loss: m.loss,
                blank_image: m.blank_image,
                previous_action: m.previous_action,
            })
            .collect(),
        errors: outcome
            .held_out
            .iter()
            .map(|m| ErrorPoint { samples: m.samples, by_action: m.error_by_action().to_vec() })
            .collect(),
        action_names: ACTION_NAMES.iter().map(|name| (*name).to_owned()).collect(),
        canaries: outcome.canaries.iter().map(|c| CanaryPoint { samples: c.samples, success: c.scenes }).collect(),
        best_samples: outcome.best.map(|best| best.samples),
    };
    let png = training_curve(&curve)?;
    std::fs::write(path, png).with_context(|| format!("{} cannot be written", path.display()))
}

fn tell(outcome: &TrainOutcome, out: &Path, curve: &Path) {
    say(&format!(
        "{} samples in {:.1} s ({:.0} samples/s), final loss {:.4}",
        grouped(outcome.samples),
        outcome.seconds,
        outcome.samples as f64 / outcome.seconds.max(1e-3),
        outcome.final_loss
    ));
    if let Some(stop) = &outcome.stopped {
        say(&format!("stopped early: {stop}"));
    }
    if let Some(found) = outcome.held_out.last() {
        let by_action: Vec<String> =
            ACTION_NAMES.iter().zip(found.error_by_action()).map(|(name, e)| format!("{name} {e:.3}")).collect();
        let steps = found.error_by_step();
        let (first, last) = (steps.first().copied().unwrap_or(0.0), steps.last().copied().unwrap_or(0.0));
        say(&format!(
            "held-out error: {}; {first:.3} at the first step of a chunk, {last:.3} at the last",
            by_action.join(", ")
        ));
    }
    match outcome.best {
        Some(best) => say(&format!(
            "checkpoint: {} (the weights after {} samples drove best: {})",
            out.display(),
            grouped(best.samples),
            best.scenes
        )),
        None => say(&format!(
            "checkpoint: {} (loss does not rank policies: drive it with `ralphton rollout`)",
            out.display()
        )),
    }
    say(&format!("curve: {}", curve.display()));
}

//! Specifications of a training: it learns, repeats, resumes, refuses.

use super::*;
use crate::base::{Proportion, Seed};
use crate::policy::Observation;
use crate::policy::config::ACTION_DIM;
use rand::Rng as _;

/// 32 images with a bright column; the action says where it is.
fn set() -> TrainingSet {
    let mut set = TrainingSet::new(16, 16, 3, 4, ACTION_DIM);
    let mut rng = Seed(5).rng();
    for sample in 0..32_usize {
        let column = sample % 16;
        let image: Vec<u8> =
            (0..16 * 16 * 3).map(|i| if (i / 3) % 16 == column { 220 } else { rng.random_range(0..60) }).collect();
        let place = column as f32 / 8.0 - 1.0;
        let actions = [place, -place, 0.5 * place, 0.25].repeat(1 + sample % 4);
        set.push(&image, &[place * 3.0, 7.0, sample as f32], &actions);
    }
    set.sources = vec![0..20, 20..32];
    set
}

fn config() -> ActConfig {
    let mut config = ActConfig::preset("quick", 16, 16, 3, 4).unwrap();
    config.backbone = crate::policy::Backbone::GroupNormCnn { channels: vec![8, 8, 16], groups: 4 };
    (config.dim_model, config.n_heads, config.dim_feedforward) = (16, 2, 32);
    config
}

fn plan(samples: u64) -> TrainPlan {
    TrainPlan {
        samples,
        batch: 6,
        learning_rate: 3e-3,
        warmup_updates: 10,
        checkpoint_every_samples: 60,
        seed: Seed(9),
        ..TrainPlan::default()
    }
}

fn run(config: &ActConfig, plan: &TrainPlan, dir: &Path) -> Result<TrainOutcome, PolicyError> {
    train(&set(), config, None, plan, dir, &Cancel::default(), &mut |_| {})
}

fn weights(policy: &Policy) -> Vec<Vec<f32>> {
    policy.parameters().values().map(|t| t.flatten_all().unwrap().to_vec1().unwrap()).collect()
}

#[test]
fn the_loss_falls_and_the_saved_policy_acts_alike() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run(&config(), &plan(3600), &dir.path().join("work")).unwrap();
    assert!(outcome.finished && outcome.samples == 3600);
    let first = outcome.losses[0].loss();
    assert!(outcome.final_loss < 0.5 * first, "{first} -> {}", outcome.final_loss);

    let checkpoint = dir.path().join("checkpoint");
    outcome.policy.save(&checkpoint).unwrap();
    outcome.policy.save(&checkpoint).unwrap();
    let loaded = Policy::load(&checkpoint).unwrap();
    let set = set();
    let seen: Vec<Observation<'_>> =
        (0..set.len()).map(|i| Observation { image: set.image(i), state: set.state(i) }).collect();
    let actions = loaded.act(&seen).unwrap();
    assert_eq!(actions, outcome.policy.act(&seen).unwrap());
    assert_eq!((actions.len(), actions[0].len()), (32, 4));
    assert!(actions.iter().flatten().flatten().all(|a| (-1.0..=1.0).contains(a)));
}

#[test]
fn a_cancelled_or_killed_training_goes_on_bit_by_bit() {
    let mut config = config();
    (config.use_vae, config.dropout) = (true, 0.1);
    let plan = TrainPlan { snapshots: 3, measure_every_samples: 60, hold_out_share: 0.2, ..plan(180) };
    let dir = tempfile::tempdir().unwrap();
    // The second of three snapshots drives best.
    let mut drive = |event: TrainEvent<'_>| {
        if let TrainEvent::Snapshot { samples, scenes, .. } = event {
            *scenes = Some(Proportion::new(if samples == 96 { 5 } else { 4 }, 9));
        }
    };
    let work_dir = dir.path().join("whole");
    let whole = train(&set(), &config, None, &plan, &work_dir, &Cancel::default(), &mut drive).unwrap();
    assert_eq!(whole.best.map(|best| best.samples), Some(96));

    let (cancelled, killed) = (dir.path().join("cancelled"), dir.path().join("killed"));
    let cancel = Cancel::default();
    let part = train(&set(), &config, None, &plan, &cancelled, &cancel, &mut |event| {
        if let TrainEvent::Snapshot { samples: 96, .. } = event {
            // What a kill at this instant would leave behind: the state of sample 60.
            std::fs::create_dir(&killed).unwrap();
            for file in std::fs::read_dir(&cancelled).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), killed.join(file.file_name())).unwrap();
            }
            cancel.cancel();
        }
        drive(event);
    })
    .unwrap();
    assert!(!part.finished && part.samples == 96);
    for folder in [cancelled, killed] {
        let rest = train(&set(), &config, None, &plan, &folder, &Cancel::default(), &mut drive).unwrap();
        assert!(rest.finished);
        assert_eq!(weights(&whole.policy), weights(&rest.policy));
        assert_eq!((&whole.losses, &whole.held_out), (&rest.losses, &rest.held_out));
        assert_eq!((&whole.canaries, whole.best), (&rest.canaries, rest.best));
    }
}

#[test]
fn a_snapshot_is_chosen_by_its_rollouts_and_of_equals_the_latest() {
    let dir = tempfile::tempdir().unwrap();
    let best_of = |rates: &'static [u32], name: &str| {
        let plan = TrainPlan { snapshots: 3, ..plan(120) };
        let (mut seen, mut at) = (Vec::new(), rates.iter());
        let outcome = train(&set(), &config(), None, &plan, &dir.path().join(name), &Cancel::default(), &mut |event| {
            if let TrainEvent::Snapshot { policy, scenes, .. } = event {
                seen.push(weights(policy));
                *scenes = at.next().map(|solved| Proportion::new(*solved, 26));
            }
        })
        .unwrap();
        seen.iter().position(|w| *w == weights(&outcome.policy))
    };
    assert_eq!(best_of(&[3, 7, 5], "middle"), Some(1));
    assert_eq!(best_of(&[7, 7, 5], "equal"), Some(1));
    assert_eq!(best_of(&[0, 1, 2], "rising"), Some(2));
}

#[test]
fn events_tell_both_parts_of_the_loss_and_the_time_left() {
    let mut config = config();
    config.use_vae = true;
    let dir = tempfile::tempdir().unwrap();
    let mut steps = Vec::new();
    let plan = TrainPlan { hold_out_share: 0.2, measure_every_samples: 300, ..plan(600) };
    let outcome = train(&set(), &config, None, &plan, dir.path(), &Cancel::default(), &mut |event| {
        if let TrainEvent::Step { samples, loss, l1, kl, seconds_left, .. } = event {
            steps.push((samples, loss, l1, kl, seconds_left));
        }
    })
    .unwrap();
    assert_eq!(steps.iter().map(|s| s.0).collect::<Vec<_>>(), [300, 600]);
    for (_, loss, l1, kl, _) in &steps {
        assert!(*l1 > 0.0 && *kl > 0.0 && (l1 + kl - loss).abs() < 1e-12);
    }
    assert!(steps[0].4 > 0.0 && steps[1].4 == 0.0);
    let held_out: Vec<u64> = outcome.held_out.iter().map(|m| m.samples).collect();
    assert_eq!(held_out, [300, 600]);
    assert_eq!((outcome.held_out[0].error.len(), outcome.held_out[0].error_by_step().len()), (4, 4));
}

#[test]
fn a_policy_that_cannot_see_is_stopped_and_says_why() {
    let mut blind = set();
    blind.images.fill(90);
    let plan = TrainPlan { hold_out_share: 0.2, measure_every_samples: 300, judge_after_samples: 300, ..plan(6000) };
    let dir = tempfile::tempdir().unwrap();
    let outcome = train(&blind, &config(), None, &plan, dir.path(), &Cancel::default(), &mut |_| {}).unwrap();
    assert!(outcome.finished && outcome.samples == 900, "{}", outcome.samples);
    assert!(outcome.stopped.unwrap().to_string().contains("ignores its image"), "{:?}", outcome.stopped);
}

#[test]
fn a_folder_of_another_training_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    run(&config(), &plan(12), dir.path()).unwrap();
    let error = run(&config(), &plan(18), dir.path()).unwrap_err().to_string();
    assert!(error.contains("the plan differs"), "{error}");
}

#[test]
fn a_second_round_starts_from_a_checkpoint_and_keeps_its_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let first = run(&config(), &plan(60), &dir.path().join("1")).unwrap();
    let checkpoint = dir.path().join("checkpoint");
    first.policy.save(&checkpoint).unwrap();
    let mut wider = set();
    wider.states.iter_mut().for_each(|s| *s *= 2.0);
    let start = Some(checkpoint.as_path());
    let second =
        train(&wider, &config(), start, &plan(12), &dir.path().join("2"), &Cancel::default(), &mut |_| {}).unwrap();
    assert_eq!(second.policy.statistics(), first.policy.statistics());
    assert_eq!(second.policy.samples(), 72);
}

#[test]
fn every_variable_gets_a_gradient() {
    let mut config = config();
    (config.use_vae, config.n_decoder_layers) = (true, 2);
    let set = set();
    let weights = Weights::new(&config, &plan(12), None).unwrap();
    // Some biases begin at zero, which blocks gradients that flow later.
    let mut rng = Seed(2).rng();
    weights.set(&weights.flat().unwrap().iter().map(|w| w + rng.random_range(-0.1..0.1)).collect::<Vec<_>>()).unwrap();
    let statistics = Statistics::of(&set);
    let worker = Worker::new(&config, &set, &statistics, &weights.vars, &weights.named).unwrap();
    let scale = LossScale { numbers: 48.0, samples: 12.0, kl_weight: 10.0 };
    let share = Share { samples: (0..12).collect(), scale, noise: Seed(1), gradient: vec![0.0; weights.count()] };
    let gradient = weights.split(&worker.run(share).unwrap().gradient).unwrap();
    for (name, gradient) in gradient {
        let largest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        // The first decoder layer attends to zeros: queries, keys and the value weights cannot matter.
        let zero = name == "model.decoder.layers.0.self_attn.in_proj_weight";
        assert_eq!(largest == 0.0, zero, "{name}: {largest}");
    }
}

#[test]
fn a_diverging_loss_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = dir.path().join("checkpoint");
    run(&config(), &plan(6), &dir.path().join("1")).unwrap().policy.save(&checkpoint).unwrap();
    let mut set = set();
    set.chunks.iter_mut().for_each(|a| *a = 1e38);
    let start = Some(checkpoint.as_path());
    let result = train(&set, &config(), start, &plan(60), &dir.path().join("2"), &Cancel::default(), &mut |_| {});
    assert!(matches!(result, Err(PolicyError::Diverged { samples: 0, what: "loss", .. })), "{result:?}");
}

#[test]
fn sets_of_another_shape_are_refused() {
    let other = TrainingSet::new(16, 16, 3, 4, ACTION_DIM);
    let dir = tempfile::tempdir().unwrap();
    let result = train(&other, &config(), None, &plan(12), dir.path(), &Cancel::default(), &mut |_| {});
    assert!(matches!(result, Err(PolicyError::NoSamples)));
    let mut wide = set();
    wide.state_dim = 1;
    let result = train(&wide, &config(), None, &plan(12), dir.path(), &Cancel::default(), &mut |_| {});
    assert!(matches!(result, Err(PolicyError::Shape { .. })));
}

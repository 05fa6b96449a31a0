//! `ralphton bench policy`: how fast policies train and act here, beside PyTorch on the same network where it is
//! installed. Both are measured in turns in one run, since machines are noisy: only ratios of one run mean anything.

use super::bench::{Figure, median_of};
use super::cli::say_error;
use super::threads;
use crate::base::{Cancel, Seed};
use crate::dataset::TrainingSet;
use crate::policy::{ActConfig, Observation, PolicyError, TrainPlan};
use anyhow::{Context, bail};
use rand::Rng as _;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The same networks in PyTorch; needs nothing beside a Python with torch.
const TORCH_SCRIPT: &str = include_str!("../../scripts/bench_torch.py");

/// A preset with the size of its images and what is timed of it.
struct Subject {
    preset: &'static str,
    height: usize,
    width: usize,
    batch: usize,
    updates: u64,
    rounds: usize,
}

const SUBJECTS: [Subject; 3] = [
    Subject { preset: "quick", height: 72, width: 96, batch: 12, updates: 60, rounds: 5 },
    Subject { preset: "standard", height: 72, width: 96, batch: 32, updates: 3, rounds: 3 },
    Subject { preset: "seed", height: 224, width: 224, batch: 64, updates: 1, rounds: 2 },
];

/// Samples per second and milliseconds of one inference.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Rates {
    samples_per_s: f64,
    inference_ms: f64,
}

pub fn figures(python: &Path, scratch: &Path, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let torch = match torch_version(python) {
        Ok(version) => {
            say_error(&format!("comparing with PyTorch {version} ({})", python.display()));
            true
        }
        Err(error) => {
            say_error(&format!(
                "PyTorch is not compared: {error:#}. Name a Python that has it with --python, for example after \
                 `python3 -m venv torch && torch/bin/pip install torch`"
            ));
            false
        }
    };
    for subject in &SUBJECTS {
        let config = match ActConfig::preset(subject.preset, subject.height, subject.width, 10, 20) {
            Ok(config) => config,
            Err(PolicyError::UnknownPreset { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let set = random_set(subject, &config, subject.batch.max(24));
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..subject.rounds {
            ours.push(measure(subject, &config, &set, &scratch.join(format!("{}-{round}", subject.preset)))?);
            if torch {
                theirs.push(measure_torch(python, subject, &config)?);
            }
        }
        tell(subject.preset, &ours, &theirs, figures);
        if subject.preset == "quick"
            && let Some(mib) = super::doctor::peak_memory_mib()
        {
            let frames = set.images.len() as f64 / f64::from(1 << 20);
            figures.push(Figure::new("quick: peak memory above the frames", mib - frames, "MiB"));
        }
    }
    Ok(())
}

fn tell(preset: &str, ours: &[Rates], theirs: &[Rates], figures: &mut Vec<Figure>) {
    let rate = |rates: &[Rates]| median_of(rates.iter().map(|r| r.samples_per_s).collect());
    let latency = |rates: &[Rates]| median_of(rates.iter().map(|r| r.inference_ms).collect());
    figures.push(Figure::new(&format!("{preset}: training"), rate(ours), "samples/s"));
    figures.push(Figure::new(&format!("{preset}: inference of one observation"), latency(ours), "ms"));
    if !theirs.is_empty() {
        figures.push(Figure::new(&format!("{preset}: training in PyTorch"), rate(theirs), "samples/s"));
        figures.push(Figure::new(&format!("{preset}: inference in PyTorch"), latency(theirs), "ms"));
        figures.push(Figure::new(&format!("{preset}: training over PyTorch's"), rate(ours) / rate(theirs), "×"));
        figures.push(Figure::new(&format!("{preset}: latency over PyTorch's"), latency(ours) / latency(theirs), "×"));
    }
}

fn random_set(subject: &Subject, config: &ActConfig, count: usize) -> TrainingSet {
    let mut set = TrainingSet::new(subject.height, subject.width, config.state_dim, config.chunk_size, 4);
    let mut rng = Seed(7).rng();
    for _ in 0..count {
        let image: Vec<u8> = (0..set.image_len()).map(|_| rng.random()).collect();
        let state: Vec<f32> = (0..config.state_dim).map(|_| rng.random()).collect();
        let actions: Vec<f32> = (0..config.chunk_size * 4).map(|_| rng.random_range(-1.0..1.0)).collect();
        set.push(&image, &state, &actions);
    }
    set
}

fn measure(subject: &Subject, config: &ActConfig, set: &TrainingSet, work_dir: &Path) -> anyhow::Result<Rates> {
    let plan = TrainPlan {
        samples: subject.updates * subject.batch as u64,
        batch: subject.batch,
        threads: threads(),
        measure_every_samples: 0,
        hold_out_share: 0.0,
        ..TrainPlan::default()
    };
    let outcome = crate::policy::train(set, config, None, &plan, work_dir, &Cancel::default(), &mut |_| {})?;
    let one = [Observation { image: set.image(0), state: set.state(0) }];
    let mut times = Vec::new();
    for _ in 0..30 {
        let started = Instant::now();
        std::hint::black_box(outcome.policy.act(&one)?);
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Rates { samples_per_s: outcome.samples as f64 / outcome.seconds.max(1e-9), inference_ms: median_of(times) })
}

fn torch_version(python: &Path) -> anyhow::Result<String> {
    run(Command::new(python).args(["-c", "import torch; print(torch.__version__)"]))
}

fn measure_torch(python: &Path, subject: &Subject, config: &ActConfig) -> anyhow::Result<Rates> {
    let order = serde_json::json!({
        "config": config,
        "height": subject.height,
        "width": subject.width,
        "batch": subject.batch,
        "updates": subject.updates,
        "threads": threads(),
    });
    let text = run(Command::new(python).args(["-c", TORCH_SCRIPT, &order.to_string()]))?;
    serde_json::from_str(&text).with_context(|| format!("the PyTorch measurement answered {text:?}"))
}

/// What a command prints; its last line of complaint when it fails.
fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("{name} cannot be run"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}", complaint.trim().lines().last().unwrap_or("it failed without a word"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

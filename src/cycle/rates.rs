//! How fast a machine was measured to be, and what makes one measurement valid for another run.

use super::preset::LoopPreset;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// What the probe measured with a preset's sizes. 0 where nothing could be measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// Threads that were used.
    pub threads: usize,
    /// Control steps of the simulator with the expert, in a second of one thread.
    pub physics_steps_per_s: f64,
    /// Frames of the cab camera, in a second of one thread.
    pub render_frames_per_s: f64,
    /// Frames encoded for a dataset, in a second of one thread.
    pub encode_frames_per_s: f64,
    /// Episodes that the expert drives to the end, on all threads, written to disk.
    pub expert_episodes_per_s: f64,
    /// Short episodes from bad starts, on all threads.
    pub bad_start_episodes_per_s: f64,
    /// Episodes that a policy drives while the expert labels, on all threads.
    pub dagger_episodes_per_s: f64,
    /// Samples read from disk into memory, on all threads.
    pub load_samples_per_s: f64,
    /// Samples trained, on all threads.
    pub train_samples_per_s: f64,
    /// Observations answered in batches, in a second of one thread.
    pub infer_observations_per_s: f64,
    /// Control steps of rollouts by a policy, on all threads.
    pub rollout_steps_per_s: f64,
    /// Seconds of work for one second of a filmed scene.
    pub film_s_per_scene_s: f64,
}

impl Rates {
    /// The rates with their names and units, in the order of a loop.
    pub fn lines(&self) -> Vec<(&'static str, f64, &'static str)> {
        vec![
            ("physics with the expert, 1 thread", self.physics_steps_per_s, "steps/s"),
            ("render the cab camera, 1 thread", self.render_frames_per_s, "frames/s"),
            ("encode a frame, 1 thread", self.encode_frames_per_s, "frames/s"),
            ("expert episodes into a dataset", self.expert_episodes_per_s, "episodes/s"),
            ("episodes from bad starts", self.bad_start_episodes_per_s, "episodes/s"),
            ("DAgger episodes", self.dagger_episodes_per_s, "episodes/s"),
            ("load samples", self.load_samples_per_s, "samples/s"),
            ("train", self.train_samples_per_s, "samples/s"),
            ("infer, 1 thread", self.infer_observations_per_s, "observations/s"),
            ("roll out", self.rollout_steps_per_s, "steps/s"),
            ("film", self.film_s_per_scene_s, "s per second of scene"),
        ]
    }
}

/// The machine in words, as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Threads it runs at once.
    pub threads: usize,
}

impl Machine {
    /// This machine, looked at once.
    pub fn here() -> &'static Machine {
        static HERE: OnceLock<Machine> = OnceLock::new();
        HERE.get_or_init(|| Machine {
            processor: processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        })
    }

    /// What makes two measurements comparable: processor, threads, system, and how the program was built.
    pub fn key(&self) -> String {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        format!("{} · {} threads · {} · {build}", self.processor, self.threads, std::env::consts::OS)
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        write!(f, "{}, {} {threads}", self.processor, self.threads)
    }
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let name = line.split_once(':')?.1.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The hash of everything in a preset that its rates depend on. How many episodes, samples or scenes are asked for
/// does not belong to it: that is what the rates are multiplied with.
pub fn preset_hash(preset: &LoopPreset) -> String {
    let (generate, train, evaluate) = (&preset.generate, &preset.train, &preset.evaluate);
    let sizes = serde_json::json!([
        preset.policy,
        preset.state,
        preset.width,
        preset.height,
        preset.chunk,
        generate.bricks_min,
        generate.bricks_max,
        generate.label_every,
        train.batch,
        evaluate.execute_steps,
        evaluate.seconds_per_brick,
        versions(),
    ]);
    blake3::hash(sizes.to_string().as_bytes()).to_hex()[..16].to_owned()
}

/// Versions of what is measured.
pub fn versions() -> serde_json::Value {
    serde_json::json!({
        "ralphton": env!("CARGO_PKG_VERSION"),
        "sim": crate::sim::SIM_VERSION,
        "rapier3d": crate::sim::RAPIER_VERSION,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_change_the_hash_and_quantities_do_not() {
        let preset = LoopPreset::default();
        let mut more = preset.clone();
        more.generate.first_episodes *= 2;
        more.train.first_samples *= 2;
        assert_eq!(preset_hash(&preset), preset_hash(&more));
        let wider = LoopPreset { width: 128, ..preset.clone() };
        assert_ne!(preset_hash(&preset), preset_hash(&wider));
    }

    #[test]
    fn a_machine_has_a_name() {
        let machine = Machine::here();
        assert!(machine.threads >= 1 && !machine.processor.is_empty());
        assert!(machine.key().contains("threads"), "{}", machine.key());
    }
}

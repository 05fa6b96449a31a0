//! The data factory: an order in, a dataset out.
//!
//! Workers make lots of episodes and encode them; one writer appends them in the order of the plan. So memory is
//! bounded by the lots under way, and the bytes on disk do not depend on the number of threads.

use super::lane::{Ended, Lane};
use super::order::{Order, Planned, Strategy};
use super::{EXPERT_GATE, EpisodesError, GATE_EPISODES};
use crate::base::{Cancel, Progress, Proportion};
use crate::dataset::{DatasetSpec, DatasetSummary, DatasetWriter};
use crate::policy::Policy;
use crate::rollout::FamilyMix;
use crate::rollout::lockstep::{self, Driver, Eye, Rider};
use crate::rollout::lots::{self, Event};
use crate::sim;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Episodes that share the policy's batches. Fixed, so that the batches do not depend on the number of threads.
const EPISODES_PER_LOT: usize = 12;

/// What came of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whether every episode of the order was made; false after a cancellation.
    pub finished: bool,
    /// What lies on disk.
    pub summary: DatasetSummary,
    /// Episodes made: those in the dataset and those discarded. An order goes on by skipping as many more.
    pub made: u32,
    /// Episodes in the dataset.
    pub episodes: u32,
    /// Frames with a label.
    pub labelled_frames: u32,
    /// Wall-clock time it took.
    pub seconds: f64,
    /// Success of the complete episodes that the expert drove, disturbed or not.
    pub success: Proportion,
    /// Such episodes that failed, and are not in the dataset.
    pub discarded: u32,
}

/// Makes the episodes of an order and writes them as one dataset to `dir`, which must not exist yet.
///
/// `policy` drives the DAgger episodes, each time for the given number of steps of its chunk. A cancelled order leaves
/// a valid dataset of the episodes complete by then.
///
/// # Errors
/// [`EpisodesError`]; there is nothing in `dir` then.
pub fn generate(
    order: &Order,
    policy: Option<(&Policy, u32)>,
    dir: &Path,
    cancel: &Cancel,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, EpisodesError> {
    let began = Instant::now();
    order.validate()?;
    let driver = policy.map(|(policy, execute_steps)| Driver { policy, state: order.state, execute_steps });
    check_driver(order, driver.as_ref())?;
    let plan = order.plan();
    let spec = dataset_spec(order);
    let mix = FamilyMix::new(&order.families)?;
    let writer = DatasetWriter::create(dir, spec.clone(), provenance(order, policy.map(|(_, steps)| steps))?)?;
    let made = AtomicU64::new(0);
    let work = |lot: usize| -> Result<Vec<Ended>, EpisodesError> {
        let planned = plan.iter().skip(lot * EPISODES_PER_LOT).take(EPISODES_PER_LOT);
        let lanes = planned.map(|planned| Lane::new(planned.clone(), order, &mix, &spec));
        let mut lanes = lanes.collect::<Result<Vec<_>, _>>()?;
        let mut eye = Eye::new(order.width, order.height);
        lockstep::run(&mut lanes, driver.as_ref(), &mut eye, cancel)?;
        let ended: Vec<Lane> = lanes.into_iter().filter(|lane| !lane.is_under_way()).collect();
        made.fetch_add(ended.len() as u64, Ordering::Relaxed);
        ended.into_iter().map(Lane::finish).collect()
    };
    let mut tally = Tally::new(writer, &plan);
    lots::in_order(plan.len().div_ceil(EPISODES_PER_LOT), order.threads, cancel, work, |event| {
        if let Event::Lot(episodes) = event {
            tally.take(episodes)?;
        }
        let done = made.load(Ordering::Relaxed);
        let rate = done as f64 / began.elapsed().as_secs_f64().max(1e-3);
        let note = format!("{rate:.1} episodes/s, {} labelled frames", tally.labelled_frames);
        on_progress(Progress { done, total: plan.len() as u64, unit: "episodes", note });
        Ok::<(), EpisodesError>(())
    })?;
    tally.finish(plan.len() as u32, cancel, began)
}

/// Writes what the workers made, and keeps count of it.
struct Tally {
    writer: DatasetWriter,
    /// Clean expert episodes of the whole order.
    gate_episodes: u32,
    clean: Proportion,
    success: Proportion,
    seen: u32,
    episodes: u32,
    discarded: u32,
    labelled_frames: u32,
}

impl Tally {
    fn new(writer: DatasetWriter, plan: &[Planned]) -> Self {
        let clean = plan.iter().filter(|planned| planned.strategy == Strategy::Expert).count();
        Self {
            writer,
            gate_episodes: clean as u32,
            clean: Proportion::default(),
            success: Proportion::default(),
            seen: 0,
            episodes: 0,
            discarded: 0,
            labelled_frames: 0,
        }
    }

    fn take(&mut self, episodes: Vec<Ended>) -> Result<(), EpisodesError> {
        for ended in episodes {
            self.seen += 1;
            let complete = match ended.strategy {
                Strategy::Expert | Strategy::Noise => true,
                Strategy::BadStart | Strategy::Dagger => false,
            };
            if complete {
                add(&mut self.success, ended.success);
            }
            if ended.strategy == Strategy::Expert {
                add(&mut self.clean, ended.success);
            }
            self.check_expert()?;
            if complete && !ended.success {
                self.discarded += 1;
                continue;
            }
            self.episodes += 1;
            self.labelled_frames += ended.episode.labelled_frames() as u32;
            self.writer.append(ended.episode)?;
        }
        Ok(())
    }

    /// Refuses as soon as the gate can no longer be passed.
    fn check_expert(&self) -> Result<(), EpisodesError> {
        let failed = f64::from(self.clean.trials - self.clean.successes);
        let allowed = (1.0 - EXPERT_GATE) * f64::from(self.gate_episodes);
        if self.gate_episodes >= GATE_EPISODES && failed > allowed + 1e-9 {
            return Err(EpisodesError::ExpertBelowGate(self.clean));
        }
        Ok(())
    }

    fn finish(self, planned: u32, cancel: &Cancel, began: Instant) -> Result<Outcome, EpisodesError> {
        if self.episodes == 0 {
            return Err(if cancel.is_cancelled() {
                EpisodesError::Cancelled
            } else {
                EpisodesError::NothingKept(self.discarded)
            });
        }
        Ok(Outcome {
            finished: self.seen == planned,
            summary: self.writer.finish()?,
            made: self.seen,
            episodes: self.episodes,
            labelled_frames: self.labelled_frames,
            seconds: began.elapsed().as_secs_f64(),
            success: self.success,
            discarded: self.discarded,
        })
    }
}

fn add(proportion: &mut Proportion, success: bool) {
    *proportion = Proportion::new(proportion.successes + u32::from(success), proportion.trials + 1);
}

fn check_driver(order: &Order, driver: Option<&Driver<'_>>) -> Result<(), EpisodesError> {
    let Some(driver) = driver else {
        return if order.dagger_share > 0.0 {
            let why = "DAgger episodes need a policy; train one first or set dagger_share to 0";
            Err(EpisodesError::Order(why.to_owned()))
        } else {
            Ok(())
        };
    };
    driver.check()?;
    let config = driver.policy.config();
    if (config.width, config.height) != (order.width, order.height) {
        return Err(EpisodesError::Order(format!(
            "images of {}×{} pixels, but the policy that should drive sees {}×{}",
            order.width, order.height, config.width, config.height
        )));
    }
    Ok(())
}

pub(super) fn dataset_spec(order: &Order) -> DatasetSpec {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    DatasetSpec {
        fps: order.fps(),
        robot_type: "wheel_loader".to_owned(),
        camera: "observation.images.ego".to_owned(),
        height: order.height,
        width: order.width,
        state_names: names(order.state.names()),
        action_names: names(&["steering", "throttle", "bucket", "lift"]),
        chunk: order.chunk,
    }
}

/// What made the dataset. The number of threads is left out, as it changes nothing.
fn provenance(order: &Order, execute_steps: Option<u32>) -> Result<Value, EpisodesError> {
    let mut order = serde_json::to_value(order).map_err(|error| EpisodesError::Order(error.to_string()))?;
    if let Some(fields) = order.as_object_mut() {
        fields.remove("threads");
    }
    Ok(json!({
        "order": order,
        "policy_execute_steps": execute_steps,
        "sim_version": sim::SIM_VERSION,
        "rapier_version": sim::RAPIER_VERSION,
        "program_version": env!("CARGO_PKG_VERSION"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use crate::dataset::{check, load_training_set};
    use crate::rollout::testing::{CHUNK, HEIGHT, WIDTH, green_policy};
    use std::collections::BTreeMap;

    fn small() -> Order {
        let (height, width, chunk) = (HEIGHT, WIDTH, CHUNK);
        let base = Order { height, width, chunk, bricks: (1, 1), bad_start_seconds: 3.0, ..Order::default() };
        Order { episodes: 14, label_every: 5, noisy_share: 0.2, bad_start_share: 0.6, seed: Seed(5), ..base }
    }

    fn make(order: &Order, policy: Option<(&Policy, u32)>, dir: &Path) -> Result<Outcome, EpisodesError> {
        generate(order, policy, dir, &Cancel::default(), &mut |_| ())
    }

    fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![dir.to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(dir).unwrap().display().to_string();
                    found.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_thread_count() {
        let root = tempfile::tempdir().unwrap();
        let policy = green_policy();
        let order = Order { dagger_share: 0.2, seconds_per_brick: 40.0, ..small() };
        let (one, three) = (root.path().join("one"), root.path().join("three"));
        let outcome = make(&order, Some((&policy, 3)), &one).unwrap();
        make(&Order { threads: 3, ..order }, Some((&policy, 3)), &three).unwrap();
        assert!(outcome.finished && outcome.episodes + outcome.discarded == 14, "{outcome:?}");
        let (one_files, three_files) = (files(&one), files(&three));
        assert!(one_files.len() > 5);
        for (name, bytes) in &one_files {
            assert!(three_files.get(name) == Some(bytes), "{name} differs");
        }
    }

    #[test]
    fn a_dataset_is_sound_and_every_frame_is_a_sample() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("set");
        let mut last = None;
        let outcome = generate(&small(), None, &dir, &Cancel::default(), &mut |p| last = Some(p)).unwrap();
        assert_eq!(check(&dir).unwrap(), vec![]);
        let set = load_training_set(&[dir], CHUNK, None).unwrap();
        assert_eq!(set.len(), outcome.labelled_frames as usize);
        assert!(set.valid.iter().all(|valid| usize::from(*valid) == CHUNK));
        assert_eq!((outcome.summary.frames, outcome.summary.fps), (set.len(), 2));
        assert_eq!(last.map(|p| (p.done, p.total)), Some((14, 14)));
    }

    #[test]
    fn an_expert_below_its_gate_is_refused_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("set");
        let order = Order { noisy_share: 0.0, bad_start_share: 0.0, episodes: 24, seconds_per_brick: 1.0, ..small() };
        assert!(matches!(make(&order, None, &dir), Err(EpisodesError::ExpertBelowGate(_))));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_cannot_be_made_is_refused_before_anything_is_written() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("set");
        let dagger = Order { dagger_share: 0.2, ..small() };
        assert!(matches!(make(&dagger, None, &dir), Err(EpisodesError::Order(_))));
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(matches!(generate(&small(), None, &dir, &cancel, &mut |_| ()), Err(EpisodesError::Cancelled)));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}

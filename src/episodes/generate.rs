//! The data factory: an order in, a dataset out.
//!
//! Workers make lots of episodes and encode them; one writer appends them in the order of the plan. So memory is
//! bounded by the lots under way, and the bytes on disk do not depend on the number of threads.

use super::lane::{Ended, Lane};
use super::notes;
use super::order::{Order, Planned, Strategy};
use super::{EXPERT_GATE, EpisodesError, GATE_EPISODES};
use crate::base::{Cancel, Progress, Proportion};
use crate::dataset::{self, DatasetSpec, DatasetSummary, DatasetWriter, Finished};
use crate::policy::Policy;
use crate::render::RENDER_VERSION;
use crate::rollout::Execution;
use crate::rollout::lockstep::{self, Driver, Eye, Rider};
use crate::rollout::lots::{self, Event};
use crate::sim;
use serde::{Deserialize, Serialize};
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
    /// Whether the same order had been carried out before, and nothing was done now.
    pub already_there: bool,
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

/// Makes the episodes of an order and writes them as one dataset to `dir`.
///
/// The same order into the same folder is made once: what is complete stays as it is, and what a killed process left is
/// gone on with, to the same bytes. `policy` drives the DAgger episodes, each time for the given number of steps of its
/// chunk. A cancelled order leaves a valid dataset of the episodes complete by then.
///
/// # Errors
/// [`EpisodesError`]; no dataset is called `dir` then that was not there before. Another dataset in `dir` is refused.
pub fn generate(
    order: &Order,
    policy: Option<(&Policy, u32)>,
    dir: &Path,
    cancel: &Cancel,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, EpisodesError> {
    let began = Instant::now();
    order.validate()?;
    let driver =
        policy.map(|(policy, steps)| Driver { policy, state: order.state, execution: Execution::Steps(steps) });
    check_driver(order, driver.as_ref())?;
    let plan = order.plan();
    let spec = dataset_spec(order);
    let mix = order.mix()?;
    let provenance = provenance(order, policy.map(|(_, steps)| steps))?;
    if let Some(finished) = dataset::finished(dir, &spec, &provenance)? {
        return already_there(finished, plan.len() as u32);
    }
    super::gate::check_expert(mix.all(), order.episodes, order.threads)?;
    let mut tally = Tally::new(DatasetWriter::create(dir, spec.clone(), &provenance)?, &plan)?;
    let before = tally.counts.seen as usize;
    // Lots are cut as they always are, so that the policy's batches are the same; what is known of the first is dropped.
    let (first_lot, mut known) = (before / EPISODES_PER_LOT, before % EPISODES_PER_LOT);
    let made = AtomicU64::new((before - known) as u64);
    let work = |lot: usize| -> Result<Vec<Ended>, EpisodesError> {
        let planned = plan.iter().skip((first_lot + lot) * EPISODES_PER_LOT).take(EPISODES_PER_LOT);
        let lanes = planned.map(|planned| Lane::new(planned.clone(), order, &mix, &spec));
        let mut lanes = lanes.collect::<Result<Vec<_>, _>>()?;
        let mut eye = Eye::new(order.width, order.height);
        lockstep::run(&mut lanes, driver.as_ref(), &mut eye, cancel)?;
        let ended: Vec<Lane> = lanes.into_iter().filter(|lane| !lane.is_under_way()).collect();
        made.fetch_add(ended.len() as u64, Ordering::Relaxed);
        ended.into_iter().map(Lane::finish).collect()
    };
    let lots = plan.len().div_ceil(EPISODES_PER_LOT).saturating_sub(first_lot);
    lots::in_order(lots, order.threads, cancel, work, |event| {
        if let Event::Lot(mut episodes) = event {
            episodes.drain(..std::mem::take(&mut known).min(episodes.len()));
            tally.take(episodes)?;
        }
        let done = made.load(Ordering::Relaxed);
        let rate = done.saturating_sub(before as u64) as f64 / began.elapsed().as_secs_f64().max(1e-3);
        let note = format!("{rate:.1} episodes/s, {} labelled frames", tally.counts.labelled_frames);
        on_progress(Progress { done, total: plan.len() as u64, unit: "episodes", note });
        Ok::<(), EpisodesError>(())
    })?;
    tally.finish(plan.len() as u32, cancel, began)
}

fn already_there(finished: Finished, planned: u32) -> Result<Outcome, EpisodesError> {
    let counts = Counts::from_value(&finished.result)?;
    Ok(counts.outcome(finished.summary, planned, 0.0, true))
}

/// How far an order is. Kept with the dataset, so that it can be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    clean: Proportion,
    success: Proportion,
    seen: u32,
    episodes: u32,
    discarded: u32,
    labelled_frames: u32,
}

impl Counts {
    /// From what was kept; null is the beginning.
    fn from_value(value: &Value) -> Result<Self, EpisodesError> {
        let counts: Option<Self> = serde_json::from_value(value.clone())
            .map_err(|error| EpisodesError::Order(format!("what is known of the data made before: {error}")))?;
        Ok(counts.unwrap_or_default())
    }

    fn to_value(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn outcome(self, summary: DatasetSummary, planned: u32, seconds: f64, already_there: bool) -> Outcome {
        Outcome {
            finished: self.seen == planned,
            already_there,
            summary,
            made: self.seen,
            episodes: self.episodes,
            labelled_frames: self.labelled_frames,
            seconds,
            success: self.success,
            discarded: self.discarded,
        }
    }
}

/// Writes what the workers made, and keeps count of it.
struct Tally {
    writer: DatasetWriter,
    /// Clean expert episodes of the whole order.
    gate_episodes: u32,
    counts: Counts,
}

impl Tally {
    /// Goes on from what the writer knows of an earlier run.
    fn new(writer: DatasetWriter, plan: &[Planned]) -> Result<Self, EpisodesError> {
        let clean = plan.iter().filter(|planned| planned.strategy == Strategy::Expert).count();
        let counts = Counts::from_value(writer.progress())?;
        Ok(Self { writer, gate_episodes: clean as u32, counts })
    }

    fn take(&mut self, episodes: Vec<Ended>) -> Result<(), EpisodesError> {
        for ended in episodes {
            self.counts.seen += 1;
            let complete = match ended.strategy {
                Strategy::Expert | Strategy::Noise => true,
                Strategy::BadStart | Strategy::Dagger => false,
            };
            if complete {
                add(&mut self.counts.success, ended.success);
            }
            if ended.strategy == Strategy::Expert {
                add(&mut self.counts.clean, ended.success);
            }
            self.check_expert()?;
            if complete && !ended.success {
                self.counts.discarded += 1;
            } else {
                self.counts.episodes += 1;
                self.counts.labelled_frames += ended.episode.labelled_frames() as u32;
                self.writer.append(ended.episode)?;
            }
            self.writer.note_progress(self.counts.to_value());
        }
        Ok(())
    }

    /// Refuses as soon as the gate can no longer be passed.
    fn check_expert(&self) -> Result<(), EpisodesError> {
        let clean = self.counts.clean;
        let failed = f64::from(clean.trials - clean.successes);
        let allowed = (1.0 - EXPERT_GATE) * f64::from(self.gate_episodes);
        if self.gate_episodes >= GATE_EPISODES && failed > allowed + 1e-9 {
            return Err(EpisodesError::ExpertBelowGate(clean));
        }
        Ok(())
    }

    fn finish(self, planned: u32, cancel: &Cancel, began: Instant) -> Result<Outcome, EpisodesError> {
        if self.counts.episodes == 0 {
            return Err(if cancel.is_cancelled() {
                EpisodesError::Cancelled
            } else {
                EpisodesError::NothingKept(self.counts.discarded)
            });
        }
        let summary = self.writer.finish(self.counts.to_value())?;
        Ok(self.counts.outcome(summary, planned, began.elapsed().as_secs_f64(), false))
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
    let (height, width) = driver.policy.config().image_size().unwrap_or_default();
    if (width, height) != (order.width, order.height) {
        return Err(EpisodesError::Order(format!(
            "images of {}×{} pixels, but the policy that should drive sees {width}×{height}",
            order.width, order.height
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
        "privileged": { "loader": notes::LOADER_NAMES, "each_brick": notes::BRICK_NAMES },
        "sim_version": sim::SIM_VERSION,
        "render_version": RENDER_VERSION,
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
    fn the_same_order_is_carried_out_once_and_another_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("set");
        let order = Order { episodes: 3, ..small() };
        let first = make(&order, None, &dir).unwrap();
        let before = files(&dir);
        let second = make(&Order { threads: 2, ..order.clone() }, None, &dir).unwrap();
        assert_eq!(second, Outcome { already_there: true, seconds: 0.0, ..first });
        assert!(files(&dir) == before);
        let error = make(&Order { seed: Seed(6), ..order }, None, &dir).unwrap_err().to_string();
        assert!(error.contains("seed is 5 there, 6 is asked for"), "{error}");
        assert!(files(&dir) == before);
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

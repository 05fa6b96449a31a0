//! Datasets on disk → one [`TrainingSet`] in memory.
//!
//! First the plan, from the small columns alone: which frames become samples, with which labels. Then
//! the images are decoded on all cores, each row group straight into its own part of the one image
//! array, so that the result does not depend on which thread was faster.

use super::image_file::decode_image;
use super::reader::{Frames, Labels, Opened, image_files};
use super::training_set::Moment;
use super::videos::VideoCamera;
use super::{ACTION_DIM, DatasetError, TrainingSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Loads datasets one after another into one set of samples with chunks of `chunk` actions.
///
/// A dataset with expert labels gives its labelled frames, with the label as the chunk; one without
/// gives every frame, with the actions that followed in the episode. Where `limit_samples` is smaller
/// than what is there, samples are taken at even distances over everything.
///
/// # Errors
/// A dataset cannot be read, is damaged, or has another shape than the first one.
pub fn load_training_set(
    dirs: &[PathBuf],
    chunk: usize,
    limit_samples: Option<usize>,
) -> Result<TrainingSet, DatasetError> {
    load_mixture(dirs, &[], chunk, limit_samples)
}

/// The same for a mixture: where memory does not hold everything, each dataset gets room by its weight in
/// `weights` (as many as `dirs`, or none for weights by size), since that is how often it will be drawn from. One
/// of weight 0 is not read.
///
/// # Errors
/// As [`load_training_set`]; also when the weights do not fit the datasets or hold nothing above 0.
pub fn load_mixture(
    dirs: &[PathBuf],
    weights: &[f64],
    chunk: usize,
    limit_samples: Option<usize>,
) -> Result<TrainingSet, DatasetError> {
    if !(1..=usize::from(u8::MAX)).contains(&chunk) {
        return Err(DatasetError::Spec(format!("chunks of {chunk} actions; 1 to 255 are possible")));
    }
    let opened = dirs.iter().map(|dir| Opened::open(dir)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = opened.first() else {
        return Err(DatasetError::Spec("no dataset was named to train on".into()));
    };
    for other in &opened[1..] {
        check_same_shape(first, other)?;
    }
    let mut sources = Vec::with_capacity(opened.len());
    for dataset in &opened {
        sources.push(Samples::of(dataset.frames()?, dataset.labels()?));
    }
    let sizes: Vec<usize> = sources.iter().map(Samples::len).collect();
    let quotas = quotas(&sizes, weights, limit_samples)?;
    let mut set = TrainingSet::new(first.height, first.width, first.state_dim, chunk, ACTION_DIM);
    let mut wanted = Vec::with_capacity(opened.len());
    for (source, quota) in sources.iter().zip(quotas) {
        let (begin, total) = (set.valid.len(), source.len());
        let mut frames = Vec::with_capacity(quota);
        // Sample number n is kept when quota·n/total steps to a new whole number.
        for sample in (0..total).filter(|n| (n + 1) * quota / total > n * quota / total) {
            source.push_numbers(sample, &mut set);
            frames.push(source.frame(sample));
        }
        set.sources.push(begin..set.valid.len());
        wanted.push(frames);
    }
    drop(sources);
    set.images = vec![0; set.len() * set.image_len()];
    decode_images(&opened, &wanted, &mut set.images)?;
    Ok(set)
}

/// Samples to keep of datasets of these sizes: all of them where the limit allows; else each dataset's part of the
/// limit by its weight, and what a small dataset leaves over goes to the others.
fn quotas(sizes: &[usize], weights: &[f64], limit: Option<usize>) -> Result<Vec<usize>, DatasetError> {
    let by_size: Vec<f64> = sizes.iter().map(|size| *size as f64).collect();
    let weights = if weights.is_empty() { &by_size[..] } else { weights };
    let usable = weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().any(|w| *w > 0.0);
    if weights.len() != sizes.len() || (!usable && sizes.iter().any(|size| *size > 0)) {
        return Err(DatasetError::Spec(format!(
            "weights {weights:?} for {} dataset(s); one each is needed, none negative, one above 0",
            sizes.len()
        )));
    }
    let mut quotas: Vec<usize> = sizes.iter().zip(weights).map(|(n, w)| if *w > 0.0 { *n } else { 0 }).collect();
    let mut left = limit.unwrap_or(usize::MAX) as f64;
    let mut open: Vec<usize> = (0..sizes.len()).filter(|i| quotas[*i] > 0).collect();
    loop {
        let total: f64 = open.iter().map(|i| weights[*i]).sum();
        let share = |i: usize| left * weights[i] / total;
        let (whole, cut): (Vec<usize>, Vec<usize>) = open.iter().partition(|i| quotas[**i] as f64 <= share(**i));
        if whole.is_empty() {
            cut.iter().for_each(|i| quotas[*i] = share(*i) as usize);
            return Ok(quotas);
        }
        left -= whole.iter().map(|i| quotas[*i] as f64).sum::<f64>();
        open = cut;
    }
}

fn check_same_shape(first: &Opened, other: &Opened) -> Result<(), DatasetError> {
    let shape = |set: &Opened| (set.height, set.width, set.state_dim);
    if shape(first) == shape(other) && first.info.fps == other.info.fps {
        return Ok(());
    }
    let words = |set: &Opened| {
        format!("{}×{} pixels, {} state numbers, {} frames/s", set.width, set.height, set.state_dim, set.info.fps)
    };
    Err(DatasetError::Mismatch {
        path: other.dir.clone(),
        problem: format!("it has {}, {} has {}", words(other), first.dir.display(), words(first)),
    })
}

/// What a dataset offers: its labelled frames, or all of them.
struct Samples {
    frames: Frames,
    labels: Labels,
    state_dim: usize,
    /// Of each frame, the first one after its episode.
    ends: Vec<usize>,
}

impl Samples {
    fn of(frames: Frames, labels: Labels) -> Self {
        let total = frames.episodes.len();
        let state_dim = frames.states.len() / total.max(1);
        let mut ends = vec![total; total];
        for frame in (1..total).rev() {
            let same = frames.episodes[frame - 1] == frames.episodes[frame];
            ends[frame - 1] = if same { ends[frame] } else { frame };
        }
        Self { frames, labels, state_dim, ends }
    }

    fn len(&self) -> usize {
        if self.labels.frames.is_empty() { self.frames.episodes.len() } else { self.labels.frames.len() }
    }

    /// The frame of a sample.
    fn frame(&self, sample: usize) -> usize {
        self.labels.frames.get(sample).copied().unwrap_or(sample)
    }

    fn push_numbers(&self, sample: usize, set: &mut TrainingSet) {
        let frame = self.frame(sample);
        let state = &self.frames.states[frame * self.state_dim..(frame + 1) * self.state_dim];
        let actions = if self.labels.frames.is_empty() {
            let end = self.ends[frame].min(frame + set.chunk);
            &self.frames.actions[frame * ACTION_DIM..end * ACTION_DIM]
        } else {
            let begin = sample * self.labels.chunk * ACTION_DIM;
            &self.labels.numbers[begin..begin + self.labels.chunk.min(set.chunk) * ACTION_DIM]
        };
        let episodes = &self.frames.episodes;
        let before = frame.checked_sub(1).filter(|before| episodes[*before] == episodes[frame]);
        let moment = Moment {
            episode: u32::try_from(episodes[frame]).unwrap_or(u32::MAX),
            previous: before.map(|before| &self.frames.actions[before * ACTION_DIM..][..ACTION_DIM]),
        };
        set.push_numbers(state, actions, moment);
    }
}

/// A row group from which some frames are wanted, and where their pixels belong.
struct Work<'a> {
    dataset: &'a Opened,
    file: usize,
    group: usize,
    first_frame: usize,
    wanted: &'a [usize],
    pixels: &'a mut [u8],
}

/// Fills `images` with the wanted frames of all datasets, in order.
fn decode_images(opened: &[Opened], wanted: &[Vec<usize>], images: &mut [u8]) -> Result<(), DatasetError> {
    let mut work = plan(opened, wanted, images);
    work.reverse();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(work.len().max(1));
    let open = Mutex::new(work);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // The lock is held for the `pop` alone.
                let next = || open.lock().unwrap_or_else(PoisonError::into_inner).pop();
                while let Some(work) = next() {
                    let place = (work.dataset.dir.clone(), work.first_frame);
                    if let Err(error) = work.run() {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push((place, error));
                        open.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by(|(a, _), (b, _)| a.cmp(b));
    failures.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

fn plan<'a>(opened: &'a [Opened], wanted: &'a [Vec<usize>], mut images: &'a mut [u8]) -> Vec<Work<'a>> {
    let mut work = Vec::new();
    for (dataset, mut wanted) in opened.iter().zip(wanted.iter().map(Vec::as_slice)) {
        let image_len = dataset.height * dataset.width * 3;
        if dataset.video {
            // A video is decoded from its beginning: one piece of work.
            let (pixels, rest) = images.split_at_mut(wanted.len() * image_len);
            work.push(Work { dataset, file: 0, group: 0, first_frame: 0, wanted, pixels });
            images = rest;
            continue;
        }
        let mut first_frame = 0;
        for (file, source) in dataset.data.iter().enumerate() {
            for (group, rows) in source.group_rows().into_iter().enumerate() {
                let (here, later) = wanted.split_at(wanted.partition_point(|&frame| frame < first_frame + rows));
                let (pixels, rest) = images.split_at_mut(here.len() * image_len);
                if !here.is_empty() {
                    work.push(Work { dataset, file, group, first_frame, wanted: here, pixels });
                }
                (wanted, images) = (later, rest);
                first_frame += rows;
            }
        }
    }
    work
}

impl Work<'_> {
    fn run(self) -> Result<(), DatasetError> {
        let (width, height) = (self.dataset.width, self.dataset.height);
        if self.dataset.video {
            let Opened { dir, camera, info, .. } = self.dataset;
            return VideoCamera::open(dir, camera, (width, height), info.fps)?.read(self.wanted, self.pixels);
        }
        let source = &self.dataset.data[self.file];
        let mut slots = self.wanted.iter().zip(self.pixels.chunks_exact_mut(width * height * 3)).peekable();
        let mut first = self.first_frame;
        for batch in source.read(&[&self.dataset.camera], Some(self.group))? {
            let batch = batch?;
            let files = image_files(&batch, &self.dataset.camera, &source.path)?;
            while let Some((frame, pixels)) = slots.next_if(|(frame, _)| **frame < first + batch.num_rows()) {
                decode_image(files.file(frame - first), width, height, pixels)
                    .map_err(|problem| DatasetError::malformed(&source.path, format!("frame {frame}: {problem}")))?;
            }
            first += batch.num_rows();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::quotas;

    #[test]
    fn memory_is_shared_by_weight_and_what_a_small_dataset_leaves_goes_to_the_others() {
        let of = |sizes: &[usize], weights: &[f64], limit| quotas(sizes, weights, limit).unwrap();
        assert_eq!(of(&[12, 4], &[], None), [12, 4]);
        assert_eq!(of(&[12, 4], &[], Some(8)), [6, 2]);
        assert_eq!(of(&[100, 100], &[1.0, 3.0], Some(80)), [20, 60]);
        assert_eq!(of(&[100, 10, 100], &[1.0, 2.0, 1.0], Some(80)), [35, 10, 35]);
        assert_eq!(of(&[100, 50], &[0.0, 1.0], None), [0, 50]);
        assert_eq!(of(&[0, 0], &[], Some(5)), [0, 0]);
        for wrong in [&[1.0][..], &[0.0, 0.0], &[1.0, -1.0], &[f64::NAN, 1.0]] {
            assert!(quotas(&[5, 5], wrong, None).is_err(), "{wrong:?}");
        }
    }
}

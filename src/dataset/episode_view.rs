//! One episode read whole, for people: its numbers, who acted, and a few of its frames.

use super::image_file::decode_image;
use super::reader::{Opened, floats, image_files, int64s};
use super::side_table::SideTable;
use super::spec::{ACTION, STATE};
use super::videos::VideoCamera;
use super::{ACTION_DIM, Actor, DatasetError, layout, origins};
use super::{EpisodeOrigin, parquet_file::ParquetSource};
use arrow_array::{Array, StringArray};
use std::path::Path;

/// An episode as people look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct EpisodeView {
    /// Its number.
    pub episode: usize,
    /// Frames per second.
    pub fps: u32,
    /// The task in words; empty when nobody wrote it.
    pub task: String,
    /// Where it came from; nothing for datasets from elsewhere.
    pub origin: Option<EpisodeOrigin>,
    /// Names of the state numbers.
    pub state_names: Vec<String>,
    /// Names of the action numbers.
    pub action_names: Vec<String>,
    /// One row of state numbers per frame.
    pub states: Vec<Vec<f32>>,
    /// One row of action numbers per frame.
    pub actions: Vec<Vec<f32>>,
    /// Who acted and in which phase, per frame; empty for datasets from elsewhere.
    pub notes: Vec<(Option<Actor>, String)>,
    /// Image width and height in pixels.
    pub size: (usize, usize),
    /// Some frames: their number in the episode and their RGB bytes.
    pub key_frames: Vec<(usize, Vec<u8>)>,
}

/// Reads an episode with `key_frames` of its frames, the first and the last among them.
///
/// # Errors
/// There is no such episode, or a file cannot be read.
pub fn read_episode(dir: &Path, episode: usize, key_frames: usize) -> Result<EpisodeView, DatasetError> {
    let opened = Opened::open(dir)?;
    if episode >= opened.info.total_episodes {
        let problem =
            format!("no episode {episode}: it has episodes 0 to {}", opened.info.total_episodes.saturating_sub(1));
        return Err(DatasetError::malformed(dir, problem));
    }
    let mut view = EpisodeView {
        episode,
        fps: opened.info.fps,
        task: String::new(),
        origin: origins(dir)?.into_iter().nth(episode).map(|row| row.origin),
        state_names: opened.names(STATE, opened.state_dim),
        action_names: opened.names(ACTION, ACTION_DIM),
        states: Vec::new(),
        actions: Vec::new(),
        notes: Vec::new(),
        size: (opened.width, opened.height),
        key_frames: Vec::new(),
    };
    let (from, task) = numbers(&opened, episode, &mut view)?;
    view.task = task_text(dir, task);
    if dir.join(layout::SIDE).is_dir() {
        let notes = &mut view.notes;
        SideTable::open(dir)?.part(from, from + view.states.len(), &mut |frame| {
            notes.push((frame.actor, frame.phase.to_owned()));
        })?;
    }
    let wanted = evenly(view.states.len(), key_frames);
    view.key_frames = if opened.video {
        let camera = VideoCamera::open(dir, &opened.camera, view.size, view.fps)?;
        let (mut frames, mut at) = (Vec::new(), 0);
        camera.episode(episode, &mut |rgb| {
            if wanted.contains(&at) {
                frames.push((at, rgb.to_vec()));
            }
            at += 1;
        })?;
        frames
    } else {
        images(&opened, from, &wanted)?
    };
    Ok(view)
}

/// At most `count` of `len` numbers, at even distances, the first and the last among them.
fn evenly(len: usize, count: usize) -> Vec<usize> {
    if len <= count {
        return (0..len).collect();
    }
    (0..count).map(|i| i * (len - 1) / (count.max(2) - 1)).collect()
}

/// Reads the numbers of an episode; tells its first frame over the dataset and its task.
fn numbers(opened: &Opened, episode: usize, view: &mut EpisodeView) -> Result<(usize, i64), DatasetError> {
    let (mut row, mut first, mut task) = (0, None, 0);
    for source in &opened.data {
        for batch in source.read(&[STATE, ACTION, "episode_index", "task_index"], None)? {
            let batch = batch?;
            let episodes = int64s(&batch, "episode_index", &source.path)?;
            if episodes.iter().any(|&number| usize::try_from(number) == Ok(episode)) {
                let states = floats(&batch, STATE, opened.state_dim, &source.path)?;
                let actions = floats(&batch, ACTION, ACTION_DIM, &source.path)?;
                let tasks = int64s(&batch, "task_index", &source.path)?;
                for (at, _) in episodes.iter().enumerate().filter(|(_, n)| usize::try_from(**n) == Ok(episode)) {
                    first = first.or(Some(row + at));
                    task = tasks[at];
                    view.states.push(states[at * opened.state_dim..(at + 1) * opened.state_dim].to_vec());
                    view.actions.push(actions[at * ACTION_DIM..(at + 1) * ACTION_DIM].to_vec());
                }
            } else if first.is_some() {
                return Ok((first.unwrap_or(0), task));
            }
            row += batch.num_rows();
        }
    }
    match first {
        Some(first) => Ok((first, task)),
        None => Err(DatasetError::malformed(&opened.dir.join("data"), format!("episode {episode} has no frames"))),
    }
}

fn images(opened: &Opened, from: usize, wanted: &[usize]) -> Result<Vec<(usize, Vec<u8>)>, DatasetError> {
    let mut found = Vec::new();
    let mut row = 0;
    for source in &opened.data {
        for (group, rows) in source.group_rows().into_iter().enumerate() {
            let here = |frame: &&usize| (row..row + rows).contains(&(from + **frame));
            if wanted.iter().any(|frame| here(&frame)) {
                let mut first = row;
                for batch in source.read(&[&opened.camera], Some(group))? {
                    let batch = batch?;
                    let files = image_files(&batch, &opened.camera, &source.path)?;
                    for &frame in wanted.iter().filter(|f| (first..first + batch.num_rows()).contains(&(from + **f))) {
                        let mut rgb = vec![0; opened.width * opened.height * 3];
                        decode_image(files.file(from + frame - first), opened.width, opened.height, &mut rgb).map_err(
                            |problem| DatasetError::malformed(&source.path, format!("frame {frame}: {problem}")),
                        )?;
                        found.push((frame, rgb));
                    }
                    first += batch.num_rows();
                }
            }
            row += rows;
        }
    }
    Ok(found)
}

/// The text of a task; empty when it is not there.
fn task_text(dir: &Path, task: i64) -> String {
    let read = || -> Result<Option<String>, DatasetError> {
        let source = ParquetSource::open(&dir.join(layout::TASKS))?;
        let text = source.schema().fields().iter().map(|field| field.name().clone()).find(|name| name != "task_index");
        let Some(text) = text else { return Ok(None) };
        let mut row = 0_i64;
        for batch in source.read(&[&text], None)? {
            let batch = batch?;
            let texts = batch.column_by_name(&text).and_then(|column| column.as_any().downcast_ref::<StringArray>());
            let at = usize::try_from(task - row).ok();
            if let (Some(texts), Some(at)) = (texts, at)
                && at < texts.len()
            {
                return Ok(Some(texts.value(at).to_owned()));
            }
            row += batch.num_rows() as i64;
        }
        Ok(None)
    };
    read().ok().flatten().unwrap_or_default()
}

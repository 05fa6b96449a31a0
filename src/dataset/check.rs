//! Whether a dataset can be trusted: every file is read, every number looked at, every image decoded.
//!
//! Nothing stops at the first defect, so that one look shows everything; what cannot be judged because
//! something before it is broken is left out.

mod declaration;
mod episodes;
mod frames;
mod side_tables;
mod truth;
mod videos;

use super::DatasetError;
use super::layout;
use super::reader::read_info;
use super::spec::Info;
use std::fmt;
use std::path::{Path, PathBuf};

/// Defects listed at most; a dataset with more is lost anyway.
const MAX_DEFECTS: usize = 200;
/// Of one file at most.
const MAX_IN_FILE: usize = 20;

/// One thing that is wrong with a dataset, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

/// What an examination found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// What is wrong, in the order of the files.
    pub defects: Vec<Defect>,
    /// What could not be judged here, and why.
    pub unjudged: Vec<String>,
    /// Episodes declared.
    pub episodes: usize,
    /// Frames read.
    pub frames: usize,
}

/// Examines the dataset in `dir` with all processor cores; no defects means that nothing is wrong.
///
/// # Errors
/// `dir` is not a folder. Everything wrong inside it is a defect, not an error.
pub fn examine(dir: &Path) -> Result<Findings, DatasetError> {
    if !dir.is_dir() {
        return Err(DatasetError::malformed(dir, "no such folder"));
    }
    let info = match read_info(dir) {
        Ok(info) => info,
        Err(error) => {
            let defect = Defect { path: dir.join(layout::INFO), problem: without_path(&error) };
            return Ok(Findings { defects: vec![defect], ..Findings::default() });
        }
    };
    let findings = Findings { episodes: info.total_episodes, ..Findings::default() };
    let mut examination = Examination { dir, info, findings };
    examination.declaration();
    examination.try_part(layout::TASKS, Examination::tasks);
    let mut bounds = Vec::new();
    examination.try_part("meta/episodes", |this| {
        bounds = this.episodes()?;
        Ok(())
    });
    let mut truth = None;
    examination.try_part("data", |this| {
        truth = this.frames(&bounds)?;
        Ok(())
    });
    examination.try_part(layout::STATS, |this| this.statistics(truth.as_ref()));
    examination.try_part("videos", Examination::videos);
    // Datasets from elsewhere have none of these.
    if dir.join(layout::SIDE).is_dir() || dir.join(layout::ORIGINS).exists() {
        examination.try_part(layout::SIDE, |this| this.side_tables(&bounds));
    }
    if dir.join("ralphton").is_dir() {
        examination.try_part(layout::PROVENANCE, |this| this.provenance());
    }
    Ok(examination.findings)
}

/// The defects of the dataset in `dir`; see [`examine`].
///
/// # Errors
/// As [`examine`].
pub fn check(dir: &Path) -> Result<Vec<Defect>, DatasetError> {
    examine(dir).map(|findings| findings.defects)
}

struct Examination<'a> {
    dir: &'a Path,
    info: Info,
    findings: Findings,
}

impl Examination<'_> {
    fn path(&self, relative: &str) -> PathBuf {
        self.dir.join(relative)
    }

    fn note(&mut self, path: &Path, problem: impl Into<String>) {
        self.add(Defect { path: path.to_path_buf(), problem: problem.into() });
    }

    fn add(&mut self, defect: Defect) {
        let defects = &mut self.findings.defects;
        let in_file = defects.iter().filter(|other| other.path == defect.path).count();
        if defects.len() < MAX_DEFECTS && in_file < MAX_IN_FILE {
            defects.push(defect);
        } else if in_file == MAX_IN_FILE {
            let problem = "more of it; these are the first".to_owned();
            defects.push(Defect { path: defect.path, problem });
        }
    }

    /// Runs a part of the examination; what keeps it from going on is a defect too.
    fn try_part(&mut self, relative: &str, part: impl FnOnce(&mut Self) -> Result<(), DatasetError>) {
        if let Err(error) = part(self) {
            let defect = defect_of(&error, &self.path(relative));
            self.add(defect);
        }
    }
}

/// An error as a defect; of `fallback` when it names no file.
fn defect_of(error: &DatasetError, fallback: &Path) -> Defect {
    let path = match error {
        DatasetError::Exists(path) | DatasetError::Busy(path) | DatasetError::NoFfmpeg(path) => Some(path),
        DatasetError::NoSpace { path, .. }
        | DatasetError::Io { path, .. }
        | DatasetError::Parquet { path, .. }
        | DatasetError::Malformed { path, .. }
        | DatasetError::Different { path, .. }
        | DatasetError::Mismatch { path, .. } => Some(path),
        DatasetError::Spec(_) | DatasetError::Episode(_) => None,
    };
    Defect { path: path.map_or(fallback, PathBuf::as_path).to_path_buf(), problem: without_path(error) }
}

/// The error without its path, which the defect names already.
fn without_path(error: &DatasetError) -> String {
    match error {
        DatasetError::Io { doing, source, .. } => format!("cannot {doing} it: {source}"),
        DatasetError::Parquet { source, .. } => format!("truncated or damaged parquet: {source}"),
        DatasetError::Malformed { problem, .. } | DatasetError::Mismatch { problem, .. } => problem.clone(),
        DatasetError::Exists(_)
        | DatasetError::Busy(_)
        | DatasetError::Different { .. }
        | DatasetError::NoFfmpeg(_)
        | DatasetError::NoSpace { .. }
        | DatasetError::Spec(_)
        | DatasetError::Episode(_) => error.to_string(),
    }
}

//! What can go wrong with a dataset on disk. Every message names the file and what to do about it.

use parquet::errors::ParquetError;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why a dataset could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The folder a new dataset should get is taken.
    #[error("{} exists already; choose another folder or remove it", .0.display())]
    Exists(PathBuf),
    /// The folder holds a dataset, finished or begun, that is made from something else.
    #[error("{} holds data made from something else ({differences}); choose another folder or remove it", .path.display())]
    Different {
        /// The folder.
        path: PathBuf,
        /// What differs, by name.
        differences: String,
    },
    /// Another process holds the unfinished folder of the same dataset.
    #[error("{} is being written by another process; wait for it or choose another folder", .0.display())]
    Busy(PathBuf),
    /// The disk is full.
    #[error("no space left on {} (needs {needed_bytes} bytes more for this write); free some or choose another --data folder", .path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
        /// What the failed write asked for, at least.
        needed_bytes: u64,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// The verb: "create", "read", "rename".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Video cannot be read or written here.
    #[error("{} is video, and ffmpeg is not installed; install it (Debian, Ubuntu: apt-get install ffmpeg; macOS: brew install ffmpeg) or use a dataset of images", .0.display())]
    NoFfmpeg(PathBuf),
    /// A parquet file is truncated, damaged or of an unknown kind.
    #[error("{} cannot be read or written as parquet: {source}", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the parquet library said.
        source: ParquetError,
    },
    /// A file can be read but does not say what it must.
    #[error("{}: {problem}", .path.display())]
    Malformed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The shape asked for cannot be a dataset.
    #[error("no dataset can have this shape: {0}")]
    Spec(String),
    /// An episode does not fit the dataset, or holds numbers that no policy should learn from.
    #[error("episode refused: {0}")]
    Episode(String),
    /// Datasets that should be trained on together differ.
    #[error("{} cannot be joined with the datasets before it: {problem}", .path.display())]
    Mismatch {
        /// The dataset that differs.
        path: PathBuf,
        /// In what.
        problem: String,
    },
}

impl DatasetError {
    /// Wraps what the operating system said about `path`; `needed_bytes` is shown when the disk is full.
    pub(super) fn io(doing: &'static str, path: &Path, needed_bytes: u64, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::NoSpace { path: path.to_path_buf(), needed_bytes };
        }
        Self::Io { doing, path: path.to_path_buf(), source }
    }

    /// Wraps what the parquet library said about `path`, and finds a full disk in it.
    pub(super) fn parquet(path: &Path, needed_bytes: u64, source: ParquetError) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::StorageFull) {
                return Self::NoSpace { path: path.to_path_buf(), needed_bytes };
            }
            cause = error.source();
        }
        Self::Parquet { path: path.to_path_buf(), source }
    }

    /// A readable file that does not say what it must.
    pub(super) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_path_buf(), problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_what_to_do_even_from_inside_parquet() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = DatasetError::parquet(Path::new("/data/a.parquet"), 4096, ParquetError::External(Box::new(full)));
        assert_eq!(
            error.to_string(),
            "no space left on /data/a.parquet (needs 4096 bytes more for this write); free some or choose another --data folder"
        );
    }
}

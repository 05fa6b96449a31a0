//! What can go wrong with an artefact. Every message names the artefact or the file.

use crate::base::ArtifactId;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why an artefact could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The disk is full.
    #[error("no space left on {} (needs {needed_bytes} bytes); free some or choose another --data folder", .path.display())]
    NoSpace {
        /// The file or folder that could not grow.
        path: PathBuf,
        /// Bytes the write needed.
        needed_bytes: u64,
    },
    /// Nothing is stored under this hash.
    #[error("artefact {0} is not stored here")]
    Missing(ArtifactId),
    /// What is stored no longer has the hash it is named by.
    #[error("artefact {id} is damaged: {} {problem}; restore it or make it again", .path.display())]
    Damaged {
        /// The artefact.
        id: ArtifactId,
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A name that cannot be part of a path here.
    #[error("{0:?} cannot name an artefact: {1}")]
    Name(String, &'static str),
    /// A folder cannot be adopted as it is.
    #[error("{} cannot be stored: {problem}", .path.display())]
    Refused {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The object store refused.
    #[error("cannot {doing} {path} in the artefact store: {source}")]
    Store {
        /// The verb.
        doing: &'static str,
        /// The object.
        path: String,
        /// What the store said.
        source: object_store::Error,
    },
}

impl ArtifactError {
    /// Wraps what the operating system said about `path`; `needed_bytes` is shown when the disk is full.
    pub(super) fn io(doing: &'static str, path: &Path, needed_bytes: u64, source: io::Error) -> Self {
        let path = path.to_path_buf();
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::NoSpace { path, needed_bytes };
        }
        if source.kind() == io::ErrorKind::CrossesDevices {
            let problem = "it lies on another disk than the artefacts; make it below the same --data folder".into();
            return Self::Refused { path, problem };
        }
        Self::Io { doing, path, source }
    }

    /// Wraps what the object store said about an object below `root`, and finds a full disk in it.
    pub(super) fn store(
        doing: &'static str,
        root: &Path,
        path: &object_store::path::Path,
        needed_bytes: u64,
        source: object_store::Error,
    ) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::StorageFull) {
                return Self::NoSpace { path: root.to_path_buf(), needed_bytes };
            }
            cause = error.source();
        }
        Self::Store { doing, path: path.to_string(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let text = "no space left on /data (needs 7 bytes); free some or choose another --data folder";
        assert_eq!(ArtifactError::io("write", Path::new("/data"), 7, full()).to_string(), text);
        let stored = object_store::Error::Generic { store: "local", source: Box::new(full()) };
        let path = object_store::path::Path::from("files/ab");
        assert_eq!(ArtifactError::store("put", Path::new("/data"), &path, 7, stored).to_string(), text);
    }
}

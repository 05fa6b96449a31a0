//! Where everything lies inside a dataset folder, and how a folder comes to be: whole or not at all.
//!
//! ```text
//! meta/info.json  meta/stats.json  meta/tasks.parquet
//! meta/episodes/chunk-000/file-000.parquet
//! data/chunk-000/file-000.parquet …
//! ralphton/provenance.json  ralphton/episodes.parquet
//! ralphton/frames/chunk-000/file-000.parquet …
//! ```

use super::DatasetError;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) const INFO: &str = "meta/info.json";
pub(super) const STATS: &str = "meta/stats.json";
pub(super) const TASKS: &str = "meta/tasks.parquet";
pub(super) const EPISODES: &str = "meta/episodes/chunk-000/file-000.parquet";
pub(super) const PROVENANCE: &str = "ralphton/provenance.json";
pub(super) const ORIGINS: &str = "ralphton/episodes.parquet";
/// Folder of the side table of frames; its files have the numbers of the data files.
pub(super) const SIDE: &str = "ralphton/frames";
/// What is written when all frames are.
pub(super) const MADE_AT_THE_END: [&str; 6] = [INFO, STATS, TASKS, EPISODES, PROVENANCE, ORIGINS];
/// Locked by the process that writes the folder; gone from finished datasets.
const LOCK: &str = "writing.lock";
/// Files listed of one folder at most: LeRobot's own bound is 1000 a chunk folder.
const MAX_FILES: usize = 100_000;

/// Chunk folder and file in it, LeRobot's way of numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub(super) struct FileNumber {
    pub chunk: usize,
    pub file: usize,
}

impl FileNumber {
    /// The number after this one.
    pub fn next(self, files_per_chunk: usize) -> Self {
        if self.file + 1 < files_per_chunk {
            Self { file: self.file + 1, ..self }
        } else {
            Self { chunk: self.chunk + 1, file: 0 }
        }
    }

    /// The data file of this number.
    pub fn data_path(self) -> String {
        format!("data/chunk-{:03}/file-{:03}.parquet", self.chunk, self.file)
    }

    /// The file of the side table of frames.
    pub fn side_path(self) -> String {
        format!("{SIDE}/chunk-{:03}/file-{:03}.parquet", self.chunk, self.file)
    }
}

/// `<root>/<folder>/*/*.parquet` sorted by name, which is index order.
pub(super) fn parquet_files(root: &Path, folder: &str) -> Result<Vec<PathBuf>, DatasetError> {
    let mut files = Vec::new();
    for chunk in list(&root.join(folder))? {
        if chunk.is_dir() {
            let parquet = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
            files.extend(list(&chunk)?.into_iter().filter(parquet));
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(DatasetError::malformed(&root.join(folder), "no parquet file in it"));
    }
    Ok(files)
}

/// Bytes of all files below `dir`.
pub(super) fn folder_bytes(dir: &Path) -> Result<u64, DatasetError> {
    let (mut bytes, mut open) = (0, vec![dir.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for path in list(&folder)? {
            let metadata = fs::symlink_metadata(&path).map_err(|error| DatasetError::io("read", &path, 0, error))?;
            if metadata.is_dir() {
                open.push(path);
            } else {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let refused = |error: io::Error| DatasetError::io("read folder", dir, 0, error);
    fs::read_dir(dir).map_err(refused)?.take(MAX_FILES).map(|entry| Ok(entry.map_err(refused)?.path())).collect()
}

/// Writes a file and brings it to the disk.
pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DatasetError> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| DatasetError::io("write", path, bytes.len() as u64, error))
}

/// Removes a file, if there is one.
pub(super) fn remove_if_there(path: &Path) -> Result<(), DatasetError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DatasetError::io("remove", path, 0, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A folder beside the final one in which a dataset grows. Dropped unfinished, it is removed unless it should be kept;
/// after a crash it stays, and the next writer of the same dataset, finding its lock free, goes on in it or clears it.
#[derive(Debug)]
pub(super) struct Building {
    target: PathBuf,
    dir: PathBuf,
    lock: Option<File>,
    /// Whether what is complete stays when this is dropped unfinished.
    pub keep: bool,
}

impl Building {
    /// Takes `<target>.tmp-writing`: as a killed writer left it, or new.
    ///
    /// # Errors
    /// [`DatasetError::Exists`] when `target` is there, [`DatasetError::Busy`] when another process writes it.
    pub fn take(target: &Path) -> Result<Self, DatasetError> {
        if fs::symlink_metadata(target).is_ok() {
            return Err(DatasetError::Exists(target.to_path_buf()));
        }
        let dir = unfinished(target)?;
        let failed = |error| DatasetError::io("create", &dir, 0, error);
        fs::create_dir_all(&dir).map_err(failed)?;
        let lock = File::options().create(true).append(true).open(dir.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { target: target.to_path_buf(), dir, lock: Some(lock), keep: false }),
            Err(TryLockError::WouldBlock) => Err(DatasetError::Busy(dir)),
            Err(TryLockError::Error(error)) => Err(DatasetError::io("lock", &dir, 0, error)),
        }
    }

    /// Removes all that lies in the folder.
    pub fn clear(&self) -> Result<(), DatasetError> {
        for path in list(&self.dir)? {
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else if path.file_name().is_some_and(|name| name == LOCK) {
                Ok(())
            } else {
                fs::remove_file(&path)
            };
            removed.map_err(|error| DatasetError::io("clear away", &path, 0, error))?;
        }
        Ok(())
    }

    /// Removes the files of frames numbered after `last`, which nobody completed.
    pub fn clear_after(&self, last: FileNumber) -> Result<(), DatasetError> {
        for (folder, path_of) in
            [("data", FileNumber::data_path as fn(FileNumber) -> String), (SIDE, FileNumber::side_path)]
        {
            let last = self.dir.join(path_of(last));
            for path in parquet_files(&self.dir, folder)?.into_iter().filter(|path| *path > last) {
                fs::remove_file(&path).map_err(|error| DatasetError::io("clear away", &path, 0, error))?;
            }
        }
        Ok(())
    }

    /// The folder in which to write.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a folder inside, with its parents.
    pub fn folder(&self, relative: &str) -> Result<(), DatasetError> {
        let path = self.dir.join(relative);
        fs::create_dir_all(&path).map_err(|error| DatasetError::io("create", &path, 0, error))
    }

    /// Removes a file inside.
    pub fn remove(&self, relative: &str) -> Result<(), DatasetError> {
        remove_if_there(&self.dir.join(relative))
    }

    /// Gives the folder its final name; before that everything in it is on the disk.
    pub fn finish(mut self) -> Result<PathBuf, DatasetError> {
        let failed = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |error| DatasetError::io(doing, &path, 0, error)
        };
        if fs::symlink_metadata(&self.target).is_ok() {
            return Err(DatasetError::Exists(self.target.clone()));
        }
        fs::remove_file(self.dir.join(LOCK)).map_err(failed("remove the lock in", &self.dir))?;
        sync_folders(&self.dir)?;
        fs::rename(&self.dir, &self.target).map_err(failed("rename into", &self.target))?;
        self.lock = None;
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(failed("sync", parent))?;
        Ok(self.target.clone())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if self.lock.take().is_some() && !self.keep {
            // Best effort: what stays behind is removed by the next writer of this dataset.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The folder in which the dataset `target` grows.
///
/// # Errors
/// `target` does not end in a name.
pub(super) fn unfinished(target: &Path) -> Result<PathBuf, DatasetError> {
    let Some(name) = target.file_name() else {
        return Err(DatasetError::malformed(target, "this is not the name of a folder"));
    };
    let mut name = name.to_owned();
    name.push(".tmp-writing");
    Ok(target.with_file_name(name))
}

fn sync_folders(dir: &Path) -> Result<(), DatasetError> {
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        let synced = File::open(&folder).and_then(|file| file.sync_all());
        synced.map_err(|error| DatasetError::io("sync", &folder, 0, error))?;
        open.extend(list(&folder)?.into_iter().filter(|path| path.is_dir()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_folder_is_taken_over_and_a_living_one_respected() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("set");
        let mut building = Building::take(&target).unwrap();
        assert!(matches!(Building::take(&target), Err(DatasetError::Busy(_))));
        fs::write(building.dir().join("half.parquet"), b"half").unwrap();
        building.folder("data/chunk-000").unwrap();
        building.keep = true;
        drop(building);
        let again = Building::take(&target).unwrap();
        let dir = again.dir().to_path_buf();
        assert!(dir.join("half.parquet").exists());
        again.clear().unwrap();
        assert!(!dir.join("half.parquet").exists() && !dir.join("data").exists());
        assert_eq!(again.finish().unwrap(), target);
        assert!(target.is_dir() && !dir.exists() && !target.join(LOCK).exists());
        assert!(matches!(Building::take(&target), Err(DatasetError::Exists(_))));
    }

    #[test]
    fn data_files_are_numbered_as_lerobot_does() {
        assert_eq!(FileNumber { chunk: 0, file: 999 }.next(1000), FileNumber { chunk: 1, file: 0 });
        assert_eq!(FileNumber { chunk: 1, file: 7 }.data_path(), "data/chunk-001/file-007.parquet");
    }
}

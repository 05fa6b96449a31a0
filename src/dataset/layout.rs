//! Where everything lies inside a dataset folder, and how a folder comes to be: whole or not at all.
//!
//! ```text
//! meta/info.json  meta/stats.json  meta/tasks.parquet
//! meta/episodes/chunk-000/file-000.parquet
//! data/chunk-000/file-000.parquet …
//! ralphton/provenance.json  ralphton/episodes.parquet  ralphton/frames.parquet
//! ```

use super::DatasetError;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) const INFO: &str = "meta/info.json";
pub(super) const STATS: &str = "meta/stats.json";
pub(super) const TASKS: &str = "meta/tasks.parquet";
pub(super) const EPISODES: &str = "meta/episodes/chunk-000/file-000.parquet";
pub(super) const PROVENANCE: &str = "ralphton/provenance.json";
pub(super) const ORIGINS: &str = "ralphton/episodes.parquet";
pub(super) const LABELS: &str = "ralphton/frames.parquet";
/// Locked by the process that writes the folder; gone from finished datasets.
const LOCK: &str = "writing.lock";
/// Files listed of one folder at most: LeRobot's own bound is 1000 a chunk folder.
const MAX_FILES: usize = 100_000;

/// Chunk folder and file in it, LeRobot's way of numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// A folder beside the final one in which a dataset grows. Dropped unfinished, it is removed; after a
/// crash it stays, and the next writer of the same dataset, finding its lock free, removes it.
#[derive(Debug)]
pub(super) struct Building {
    target: PathBuf,
    dir: PathBuf,
    lock: Option<File>,
}

impl Building {
    /// Makes `<target>.tmp-writing`.
    ///
    /// # Errors
    /// [`DatasetError::Exists`] when `target` is there, [`DatasetError::Busy`] when another process writes it.
    pub fn begin(target: &Path) -> Result<Self, DatasetError> {
        if fs::symlink_metadata(target).is_ok() {
            return Err(DatasetError::Exists(target.to_path_buf()));
        }
        let Some(name) = target.file_name() else {
            return Err(DatasetError::malformed(target, "this is not the name of a folder"));
        };
        let mut name = name.to_owned();
        name.push(".tmp-writing");
        let dir = target.with_file_name(name);
        remove_abandoned(&dir)?;
        let created = fs::create_dir_all(&dir).and_then(|()| File::create(dir.join(LOCK)));
        let lock = created.map_err(|error| DatasetError::io("create", &dir, 0, error))?;
        lock.lock().map_err(|error| DatasetError::io("lock", &dir, 0, error))?;
        Ok(Self { target: target.to_path_buf(), dir, lock: Some(lock) })
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
        if self.lock.take().is_some() {
            // Best effort: what stays behind is removed by the next writer of this dataset.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

fn remove_abandoned(dir: &Path) -> Result<(), DatasetError> {
    let failed = |error| DatasetError::io("clear away", dir, 0, error);
    match File::open(dir.join(LOCK)) {
        Ok(lock) => match lock.try_lock() {
            Ok(()) => fs::remove_dir_all(dir).map_err(failed),
            Err(TryLockError::WouldBlock) => Err(DatasetError::Busy(dir.to_path_buf())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        },
        Err(_) if dir.is_dir() => fs::remove_dir_all(dir).map_err(failed),
        Err(_) => Ok(()),
    }
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
    fn an_abandoned_folder_is_cleared_and_a_living_one_respected() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("set");
        let building = Building::begin(&target).unwrap();
        assert!(matches!(Building::begin(&target), Err(DatasetError::Busy(_))));
        fs::write(building.dir().join("half.parquet"), b"half").unwrap();
        // What a killed process leaves: the folder, with nobody holding its lock.
        let dir = building.dir().to_path_buf();
        let copy = root.path().join("copy");
        fs::rename(&dir, &copy).unwrap();
        drop(building);
        fs::rename(&copy, &dir).unwrap();
        let again = Building::begin(&target).unwrap();
        assert!(!dir.join("half.parquet").exists());
        assert_eq!(again.finish().unwrap(), target);
        assert!(target.is_dir() && !dir.exists() && !target.join(LOCK).exists());
        assert!(matches!(Building::begin(&target), Err(DatasetError::Exists(_))));
    }

    #[test]
    fn data_files_are_numbered_as_lerobot_does() {
        assert_eq!(FileNumber { chunk: 0, file: 999 }.next(1000), FileNumber { chunk: 1, file: 0 });
        assert_eq!(FileNumber { chunk: 1, file: 7 }.data_path(), "data/chunk-001/file-007.parquet");
    }
}

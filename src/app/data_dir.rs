//! The data folder: one process at a time, opened only when it can be understood.

use crate::artifacts::Artifacts;
use crate::store::Store;
use anyhow::{Context, bail};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A loop needs about this much room: a dataset, its training state, a checkpoint, clips.
const ROOM_BYTES: u64 = 1 << 30;

/// An opened data folder. The lock is given back when this is dropped, also when the process dies.
pub struct DataDir {
    /// The folder.
    pub path: PathBuf,
    /// Rows.
    pub store: Store,
    /// Files.
    pub artifacts: Artifacts,
    _lock: File,
}

/// Opens `path` for a team, making it when it is not there.
///
/// # Errors
/// When another process holds it, it is of a newer version, or the disk is full; nothing is changed then.
pub async fn open(path: &Path) -> anyhow::Result<DataDir> {
    std::fs::create_dir_all(path)
        .with_context(|| format!("the data folder {} cannot be made; choose another with --data", path.display()))?;
    let lock = lock(path)?;
    let free = free_bytes(path)?;
    if free < ROOM_BYTES {
        bail!(
            "only {} MiB are free on the disk of {}; a loop needs about {} MiB. Free some, or choose another folder with --data",
            free >> 20,
            path.display(),
            ROOM_BYTES >> 20
        );
    }
    let store = Store::open(&path.join("ralphton.db")).await?;
    let artifacts = Artifacts::local(&path.join("artifacts"))?;
    Ok(DataDir { path: path.to_owned(), store, artifacts, _lock: lock })
}

/// Opens the rows of an existing data folder beside a running team.
///
/// # Errors
/// When there is no such folder, or it is of a newer version.
pub async fn open_store(path: &Path) -> anyhow::Result<Store> {
    let database = path.join("ralphton.db");
    if !database.exists() {
        bail!(
            "there is no ralphton data in {}; start a team with `ralphton up`, or name its folder with --data",
            path.display()
        );
    }
    Ok(Store::open(&database).await?)
}

/// Bytes free on the disk of `path`.
///
/// # Errors
/// When the file system cannot say.
pub fn free_bytes(path: &Path) -> anyhow::Result<u64> {
    let stat = rustix::fs::statvfs(path).with_context(|| format!("how full is the disk of {}", path.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file_path = path.join("ralphton.lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file_path)
        .with_context(|| format!("{} cannot be opened", file_path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a courtesy; the refusal stands without it.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            let who = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            bail!(
                "another ralphton{who} is running on {}; stop it first, or choose another folder with --data",
                path.display()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("{} cannot be locked", file_path.display()));
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    file.flush()?;
    Ok(file)
}

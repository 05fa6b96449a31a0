//! [`Artifacts`]: the store, its single files, and the room left on its disk.
//!
//! A file lies at `files/<first two digits>/<hash>/content.<extension>`: the extension is for people and
//! browsers, the hash alone finds it.

use super::ArtifactError;
use crate::base::ArtifactId;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest kind or extension.
const MAX_KIND_LEN: usize = 32;

/// A store of artefacts. Clones share it.
#[derive(Debug, Clone)]
pub struct Artifacts {
    pub(super) root: PathBuf,
    objects: Arc<dyn ObjectStore>,
}

impl Artifacts {
    /// The store in the folder `root`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made or opened.
    pub fn local(root: &Path) -> Result<Self, ArtifactError> {
        let made = fs::create_dir_all(root).and_then(|()| root.canonicalize());
        let root = made.map_err(|error| ArtifactError::io("create", root, 0, error))?;
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(|error| ArtifactError::store("open", &root, &ObjectPath::default(), 0, error))?
            .with_fsync(true);
        Ok(Self { root, objects: Arc::new(objects) })
    }

    /// Stores a file and tells its hash. `extension` has no dot: `gif`, `png`, `json`.
    /// What is stored already is left alone; what is stored damaged is replaced.
    ///
    /// # Errors
    /// [`ArtifactError::Name`] for an impossible extension, [`ArtifactError::NoSpace`], or what the store refuses.
    pub async fn put(&self, bytes: Vec<u8>, extension: &str) -> Result<ArtifactId, ArtifactError> {
        check_kind(extension)?;
        let id = ArtifactId(blake3::hash(&bytes).to_hex().to_string());
        match self.get(&id).await {
            Ok(_) => return Ok(id),
            Err(ArtifactError::Missing(_) | ArtifactError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        let needed_bytes = bytes.len() as u64;
        if self.free_bytes()? < needed_bytes {
            return Err(ArtifactError::NoSpace { path: self.root.clone(), needed_bytes });
        }
        let path = folder(&id)?.join(format!("content.{extension}"));
        // The store writes beside the final name and renames.
        let put = self.objects.put(&path, bytes.into()).await;
        put.map_err(|error| ArtifactError::store("store", &self.root, &path, needed_bytes, error))?;
        Ok(id)
    }

    /// Reads a file and checks that it is what its hash says.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], [`ArtifactError::Damaged`], or what the store refuses.
    pub async fn get(&self, id: &ArtifactId) -> Result<Vec<u8>, ArtifactError> {
        let mut damaged = None;
        for path in self.contents(id).await? {
            let failed = |error| ArtifactError::store("read", &self.root, &path, 0, error);
            let bytes = self.objects.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
            if blake3::hash(&bytes).to_hex().as_str() == id.0 {
                return Ok(bytes.into());
            }
            damaged = Some(path);
        }
        Err(match damaged {
            Some(path) => ArtifactError::Damaged {
                id: id.clone(),
                path: self.root.join(path.as_ref()),
                problem: "has another hash".into(),
            },
            None => ArtifactError::Missing(id.clone()),
        })
    }

    /// The extension a file was stored with.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], or what the store refuses.
    pub async fn extension(&self, id: &ArtifactId) -> Result<String, ArtifactError> {
        let contents = self.contents(id).await?;
        let extension = contents.iter().find_map(|path| path.extension());
        extension.map(str::to_owned).ok_or_else(|| ArtifactError::Missing(id.clone()))
    }

    /// Bytes that may still be written to the disk of the store.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn free_bytes(&self) -> Result<u64, ArtifactError> {
        let disk = rustix::fs::statvfs(&self.root)
            .map_err(|error| ArtifactError::io("measure the disk of", &self.root, 0, error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// What lies under a hash, sorted: more than one entry when it was stored with several extensions.
    async fn contents(&self, id: &ArtifactId) -> Result<Vec<ObjectPath>, ArtifactError> {
        let folder = folder(id)?;
        let listed: Result<Vec<_>, _> = self.objects.list(Some(&folder)).try_collect().await;
        let listed = listed.map_err(|error| ArtifactError::store("list", &self.root, &folder, 0, error))?;
        let mut paths: Vec<_> = listed.into_iter().map(|object| object.location).collect();
        paths.sort();
        Ok(paths)
    }
}

fn folder(id: &ArtifactId) -> Result<ObjectPath, ArtifactError> {
    check_id(id)?;
    Ok(ObjectPath::from_iter(["files", &id.0[..2], id.0.as_str()]))
}

/// Refuses what is not a BLAKE3 hash in lower-case hex, before it becomes part of a path.
pub(super) fn check_id(id: &ArtifactId) -> Result<(), ArtifactError> {
    let hex = id.0.len() == 64 && id.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hex { Ok(()) } else { Err(ArtifactError::Name(id.0.clone(), "it is not a hash of 64 hex digits")) }
}

/// Refuses kinds and extensions that could leave their folder.
pub(super) fn check_kind(kind: &str) -> Result<(), ArtifactError> {
    let plain = kind.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if plain && (1..=MAX_KIND_LEN).contains(&kind.len()) {
        return Ok(());
    }
    Err(ArtifactError::Name(kind.to_owned(), "1 to 32 of a-z, 0-9, '_' and '-' are needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Artifacts) {
        let root = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::local(&root.path().join("artifacts")).unwrap();
        (root, artifacts)
    }

    fn files_below(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
        }
        found
    }

    #[tokio::test]
    async fn equal_content_is_stored_once_and_read_back() {
        let (_root, artifacts) = store();
        let id = artifacts.put(b"a clip".to_vec(), "gif").await.unwrap();
        assert_eq!(artifacts.put(b"a clip".to_vec(), "gif").await.unwrap(), id);
        assert_eq!(id.0, blake3::hash(b"a clip").to_hex().as_str());
        assert_eq!(artifacts.get(&id).await.unwrap(), b"a clip");
        assert_eq!(artifacts.extension(&id).await.unwrap(), "gif");
        assert_eq!(files_below(&artifacts.root).len(), 1);
    }

    #[tokio::test]
    async fn a_damaged_file_is_named_and_healed_by_the_next_put() {
        let (_root, artifacts) = store();
        let id = artifacts.put(b"a clip".to_vec(), "gif").await.unwrap();
        fs::write(&files_below(&artifacts.root)[0], b"a clap").unwrap();
        let error = artifacts.get(&id).await.unwrap_err().to_string();
        assert!(error.contains("content.gif") && error.contains("is damaged"), "{error}");
        artifacts.put(b"a clip".to_vec(), "gif").await.unwrap();
        assert_eq!(artifacts.get(&id).await.unwrap(), b"a clip");
    }

    #[tokio::test]
    async fn unknown_hashes_and_paths_in_disguise_are_refused() {
        let (_root, artifacts) = store();
        let id = ArtifactId("0".repeat(64));
        assert!(matches!(artifacts.get(&id).await, Err(ArtifactError::Missing(_))));
        let path = ArtifactId("../../etc/passwd".into());
        assert!(matches!(artifacts.get(&path).await, Err(ArtifactError::Name(..))));
        assert!(matches!(artifacts.put(vec![], "a/b").await, Err(ArtifactError::Name(..))));
        assert!(artifacts.free_bytes().unwrap() > 0);
    }
}

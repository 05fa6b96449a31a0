//! Folders as artefacts: datasets and checkpoints, adopted by a rename and opened where they lie.
//!
//! A folder's hash is that of its manifest: one line per file, sorted by path, with hash and size. The
//! manifest is kept beside the folder, so that a damaged file can be named.
//!
//! All of this reads and hashes whole folders: call it where blocking is allowed.

use super::files::{check_id, check_kind};
use super::{ArtifactError, Artifacts};
use crate::base::ArtifactId;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Files in one folder artefact at most.
const MAX_FILES: usize = 100_000;

impl Artifacts {
    /// Takes over a finished folder: hashes it and moves it to its place, which must be on the same
    /// disk. When the same content is stored already, `from` is removed; stored damaged, it is replaced.
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] for links, odd names, an empty folder or another disk, or what the system refuses.
    pub fn adopt_dir(&self, from: &Path, kind: &str) -> Result<(ArtifactId, PathBuf), ArtifactError> {
        check_kind(kind)?;
        let manifest = manifest(from)?;
        let id = ArtifactId(blake3::hash(manifest.as_bytes()).to_hex().to_string());
        let place = self.tree_path(kind, &id)?;
        if place.exists() {
            if self.verify_tree(kind, &id).is_ok() {
                fs::remove_dir_all(from).map_err(|error| ArtifactError::io("remove", from, 0, error))?;
                return Ok((id, place));
            }
            fs::remove_dir_all(&place).map_err(|error| ArtifactError::io("replace", &place, 0, error))?;
        }
        let trees = self.root.join("trees").join(kind);
        fs::create_dir_all(&trees).map_err(|error| ArtifactError::io("create", &trees, 0, error))?;
        write_whole(&manifest_path(&place), manifest.as_bytes())?;
        fs::rename(from, &place).map_err(|error| ArtifactError::io("move", from, 0, error))?;
        let synced = File::open(&trees).and_then(|folder| folder.sync_all());
        synced.map_err(|error| ArtifactError::io("sync", &trees, 0, error))?;
        Ok((id, place))
    }

    /// Where a folder of this hash lies or would lie: `trees/<kind>/<hash>`.
    ///
    /// # Errors
    /// [`ArtifactError::Name`] when kind or hash cannot be part of a path.
    pub fn tree_path(&self, kind: &str, id: &ArtifactId) -> Result<PathBuf, ArtifactError> {
        check_kind(kind)?;
        check_id(id)?;
        Ok(self.root.join("trees").join(kind).join(&id.0))
    }

    /// Reads a whole folder again and checks that it is what its hash says.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], or [`ArtifactError::Damaged`] naming the first file that differs.
    pub fn verify_tree(&self, kind: &str, id: &ArtifactId) -> Result<(), ArtifactError> {
        let place = self.tree_path(kind, id)?;
        if !place.is_dir() {
            return Err(ArtifactError::Missing(id.clone()));
        }
        let found = manifest(&place)?;
        if blake3::hash(found.as_bytes()).to_hex().as_str() == id.0 {
            return Ok(());
        }
        let known = fs::read_to_string(manifest_path(&place)).unwrap_or_default();
        let (path, problem) = first_difference(&known, &found);
        Err(ArtifactError::Damaged { id: id.clone(), path: place.join(path), problem: problem.into() })
    }
}

fn manifest_path(place: &Path) -> PathBuf {
    place.with_extension("manifest")
}

/// `<hash> <size> <path>` for every file below `dir`, sorted by path.
fn manifest(dir: &Path) -> Result<String, ArtifactError> {
    let mut lines = Vec::new();
    let mut open = vec![(dir.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        let failed = |error| ArtifactError::io("read", &folder, 0, error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let refuse =
                |problem: &str| Err(ArtifactError::Refused { path: path.clone(), problem: problem.to_owned() });
            let Some(name) =
                entry.file_name().to_str().filter(|name| !name.contains(char::is_control)).map(str::to_owned)
            else {
                return refuse("its name is not plain text");
            };
            let relative = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                open.push((path, format!("{relative}/")));
            } else if kind.is_file() {
                if lines.len() >= MAX_FILES {
                    return refuse("the folder has too many files");
                }
                let (hash, size) = hash_file(&path)?;
                lines.push((relative, hash, size));
            } else {
                return refuse("it is neither file nor folder");
            }
        }
    }
    if lines.is_empty() {
        return Err(ArtifactError::Refused { path: dir.to_path_buf(), problem: "there is no file in it".into() });
    }
    lines.sort();
    Ok(lines.into_iter().map(|(path, hash, size)| format!("{hash} {size} {path}\n")).collect())
}

fn hash_file(path: &Path) -> Result<(String, u64), ArtifactError> {
    let mut hasher = blake3::Hasher::new();
    let read = File::open(path).and_then(|file| hasher.update_reader(file).map(drop));
    read.map_err(|error| ArtifactError::io("read", path, 0, error))?;
    Ok((hasher.finalize().to_hex().to_string(), hasher.count()))
}

/// The path of the first line that is not in both manifests, and what that means.
fn first_difference<'a>(known: &'a str, found: &'a str) -> (&'a str, &'static str) {
    fn path(line: &str) -> &str {
        line.splitn(3, ' ').nth(2).unwrap_or("")
    }
    if let Some(line) = known.lines().find(|line| !found.lines().any(|other| other == *line)) {
        let present = found.lines().any(|other| path(other) == path(line));
        return (path(line), if present { "has other content" } else { "is missing" });
    }
    let extra = found.lines().find(|line| !known.lines().any(|other| other == *line));
    extra.map_or(("", "has a damaged manifest"), |line| (path(line), "does not belong there"))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| ArtifactError::io("write", path, bytes.len() as u64, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_and_folder() -> (tempfile::TempDir, Artifacts, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::local(&root.path().join("artifacts")).unwrap();
        let from = root.path().join("made");
        make(&from);
        (root, artifacts, from)
    }

    fn make(dir: &Path) {
        fs::create_dir_all(dir.join("meta")).unwrap();
        fs::write(dir.join("meta/info.json"), b"{}").unwrap();
        fs::write(dir.join("data"), b"rows").unwrap();
    }

    #[test]
    fn equal_folders_become_one_artefact() {
        let (_root, artifacts, from) = store_and_folder();
        let (id, place) = artifacts.adopt_dir(&from, "dataset").unwrap();
        assert!(!from.exists());
        assert_eq!(fs::read(place.join("meta/info.json")).unwrap(), b"{}");
        make(&from);
        assert_eq!(artifacts.adopt_dir(&from, "dataset").unwrap(), (id.clone(), place.clone()));
        assert!(!from.exists());
        assert_eq!(artifacts.tree_path("dataset", &id).unwrap(), place);
        artifacts.verify_tree("dataset", &id).unwrap();
        assert!(matches!(artifacts.verify_tree("checkpoint", &id), Err(ArtifactError::Missing(_))));
    }

    #[test]
    fn the_hash_depends_on_names_and_content() {
        let (_root, artifacts, from) = store_and_folder();
        let (first, _) = artifacts.adopt_dir(&from, "dataset").unwrap();
        make(&from);
        fs::rename(from.join("data"), from.join("date")).unwrap();
        let (second, _) = artifacts.adopt_dir(&from, "dataset").unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn damage_is_named_by_file_and_healed_by_adopting_again() {
        let (_root, artifacts, from) = store_and_folder();
        let (id, place) = artifacts.adopt_dir(&from, "dataset").unwrap();
        fs::write(place.join("data"), b"raws").unwrap();
        let error = artifacts.verify_tree("dataset", &id).unwrap_err().to_string();
        assert!(error.contains("data has other content"), "{error}");
        fs::write(place.join("data"), b"rows").unwrap();
        fs::remove_file(place.join("meta/info.json")).unwrap();
        let error = artifacts.verify_tree("dataset", &id).unwrap_err().to_string();
        assert!(error.contains("meta/info.json is missing"), "{error}");
        make(&from);
        artifacts.adopt_dir(&from, "dataset").unwrap();
        artifacts.verify_tree("dataset", &id).unwrap();
        fs::write(place.join("more"), b"!").unwrap();
        let error = artifacts.verify_tree("dataset", &id).unwrap_err().to_string();
        assert!(error.contains("more does not belong there"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_empty_folders_are_refused() {
        let (root, artifacts, from) = store_and_folder();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        let error = artifacts.adopt_dir(&from, "dataset").unwrap_err().to_string();
        assert!(error.contains("neither file nor folder"), "{error}");
        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert!(artifacts.adopt_dir(&empty, "dataset").unwrap_err().to_string().contains("no file in it"));
        assert!(matches!(artifacts.adopt_dir(&from, "../x"), Err(ArtifactError::Name(..))));
    }
}

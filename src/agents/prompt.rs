//! The personas' prompts: prose in `prompts/`, built in, and replaceable by a folder with files of the same names.

use crate::base::Persona;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The team's rules.
const COMMON: &str = include_str!("../../prompts/common.md");
/// Longest prompt file that is read, in bytes.
const MOST_BYTES: usize = 64 * 1024;

fn built_in(persona: Persona) -> &'static str {
    match persona {
        Persona::Watcher => include_str!("../../prompts/watcher.md"),
        Persona::DomainExpert => include_str!("../../prompts/domain-expert.md"),
        Persona::Developer => include_str!("../../prompts/developer.md"),
        Persona::Training => include_str!("../../prompts/training.md"),
        Persona::Evaluation => include_str!("../../prompts/evaluation.md"),
    }
}

/// A prompt file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// It cannot be read.
    #[error("cannot read the prompt {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is empty or too long.
    #[error("the prompt {} has {bytes} bytes; it must have 1 to {MOST_BYTES}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
}

/// What each persona is told before anything else: the team's rules, then its own part.
#[derive(Debug, Clone)]
pub struct Prompts {
    texts: BTreeMap<Persona, String>,
}

impl Prompts {
    /// The prompts that come with the program.
    pub fn built_in() -> Self {
        Self { texts: Persona::ALL.iter().map(|persona| (*persona, join(COMMON, built_in(*persona)))).collect() }
    }

    /// Those in `folder` (`common.md`, `watcher.md`, …); a file that is not there leaves the built-in one.
    ///
    /// # Errors
    /// When a file is there and cannot be read, is empty, or is longer than 64 KiB.
    pub fn from_folder(folder: &Path) -> Result<Self, PromptError> {
        let common = read(folder, "common")?;
        let common = common.as_deref().unwrap_or(COMMON);
        let mut texts = BTreeMap::new();
        for persona in Persona::ALL {
            let own = read(folder, persona.as_str())?;
            texts.insert(*persona, join(common, own.as_deref().unwrap_or(built_in(*persona))));
        }
        Ok(Self { texts })
    }

    /// The whole prompt of `persona`.
    pub fn of(&self, persona: Persona) -> &str {
        self.texts.get(&persona).map_or("", String::as_str)
    }
}

fn read(folder: &Path, name: &str) -> Result<Option<String>, PromptError> {
    let path = folder.join(format!("{name}.md"));
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() || text.len() > MOST_BYTES => {
            Err(PromptError::Size { path, bytes: text.len() })
        }
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PromptError::Read { path, source }),
    }
}

fn join(common: &str, own: &str) -> String {
    format!("{}\n\n{}\n", common.trim_end(), own.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_persona_has_the_rules_and_a_part_of_its_own() {
        let prompts = Prompts::built_in();
        for persona in Persona::ALL {
            let text = prompts.of(*persona);
            assert!(text.starts_with("# How this team works"), "{persona}");
            assert!(text.matches("\n# ").count() >= 1, "{persona} has no part of its own");
        }
    }

    #[test]
    fn files_are_short_enough_to_be_read() {
        for text in [COMMON].into_iter().chain(Persona::ALL.iter().map(|persona| built_in(*persona))) {
            assert!(text.lines().count() <= 60);
        }
    }

    #[test]
    fn a_folder_replaces_what_it_has_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("watcher.md"), "# Somebody else\n").unwrap();
        let prompts = Prompts::from_folder(folder.path()).unwrap();
        assert!(prompts.of(Persona::Watcher).contains("Somebody else"));
        assert_eq!(prompts.of(Persona::Training), Prompts::built_in().of(Persona::Training));
        std::fs::write(folder.path().join("training.md"), " ").unwrap();
        assert!(Prompts::from_folder(folder.path()).is_err());
    }
}

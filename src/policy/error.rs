//! What can go wrong with a policy, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No preset has this name.
    #[error("unknown policy preset \"{name}\"; known are: {known}")]
    UnknownPreset {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A configuration that cannot be built.
    #[error("impossible policy configuration: {0}")]
    Config(String),
    /// A training plan that cannot be carried out.
    #[error("impossible training plan: {0}")]
    Plan(String),
    /// Data of another shape than the policy's.
    #[error("{what}: the policy takes {wanted}, got {got}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// What the configuration says.
        wanted: String,
        /// What came.
        got: String,
    },
    /// There is nothing to train on.
    #[error("the training set holds no sample; generate episodes first")]
    NoSamples,
    /// The loss or the gradient is no longer a number.
    #[error("training diverged after {samples} samples: {what} is {value}; lower the learning rate")]
    Diverged {
        /// Samples seen until then.
        samples: u64,
        /// "loss" or "gradient norm".
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// The working folder holds the state of a different training.
    #[error("{path} holds the state of another training ({what} differs); give each training its own folder")]
    ForeignState {
        /// The state file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// A tensor that the configuration needs is not in the file.
    #[error("{path} lacks tensor \"{name}\"")]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor that the configuration does not know.
    #[error("{path} holds tensor \"{name}\", which this configuration does not have")]
    ExtraTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape or type than the configuration's.
    #[error("{path}: tensor \"{name}\" is {got}, wanted {wanted}")]
    WrongTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What the configuration says.
        wanted: String,
        /// What the file holds.
        got: String,
    },
    /// A normalisation statistic is missing: nothing is ever normalised by a guess.
    #[error("{path} lacks statistic \"{name}\"; the checkpoint cannot be used without it")]
    MissingStatistic {
        /// The file.
        path: PathBuf,
        /// `feature.statistic`.
        name: String,
    },
    /// The loaded policy does not see or act as its certificate recorded.
    #[error("{path} is not what was trained: step \"{step}\" differs: {why}")]
    Golden {
        /// The checkpoint folder.
        path: PathBuf,
        /// The first step that differs.
        step: super::golden::Step,
        /// How it differs.
        why: String,
    },
    /// A policy that cannot drive the wheel loader, or may not.
    #[error("the policy cannot drive: {0}")]
    NotDrivable(String),
    /// A file larger than what it should hold can be.
    #[error("{path} has {bytes} bytes, more than the {most} that it can need")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// Inputs to compare with another program that do not fit the policy.
    #[error("{path}: {why}")]
    Exchange {
        /// The file of inputs.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file that is not what its name says.
    #[error("{path} cannot be read: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Threads run already, so the thread settings can no longer be made.
    #[error("{0}")]
    Threads(String),
    /// A file system error.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A worker thread died.
    #[error("a training thread ended unexpectedly")]
    WorkerLost,
    /// An error of the tensor library.
    #[error("tensor operation: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl PolicyError {
    /// For `map_err` at a file operation.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> PolicyError + '_ {
        move |source| PolicyError::Io { path: path.to_owned(), source }
    }

    /// For `map_err` at a parser.
    pub(super) fn malformed<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> PolicyError + '_ {
        move |error| PolicyError::Malformed { path: path.to_owned(), why: error.to_string() }
    }
}

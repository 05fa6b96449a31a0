//! Content-addressed files and folders: an artefact's name is the BLAKE3 hash of what it holds.
//!
//! Equal content is stored once, and damage cannot go unseen: whatever is read is hashed again. Small
//! things (clips, charts, reports) are files behind `object_store`; datasets and checkpoints are
//! folders ("trees") that are adopted by a rename and opened in place.

mod error;
mod files;
mod tree;

pub use error::ArtifactError;
pub use files::Artifacts;

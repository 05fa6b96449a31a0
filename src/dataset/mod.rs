//! Episodes on disk in LeRobot v3 form, their statistics, and samples in memory.
//!
//! Writing: [`EpisodeEncoder`] in many threads makes [`EncodedEpisode`]s, one [`DatasetWriter`] appends
//! them. Reading: [`load_training_set`] for training, [`summary`] for people, [`check`] before trust.
//! What LeRobot has no place for (labels, origins, provenance) lies beside it under `ralphton/`.

mod check;
mod columns;
mod episode;
mod episode_table;
mod error;
mod feature_statistics;
mod layout;
mod load;
mod parquet_file;
mod png_image;
mod reader;
#[cfg(test)]
mod round_trip;
mod spec;
mod statistics;
mod summary;
mod training_set;
mod writer;

pub use check::{Defect, check};
pub use episode::{EncodedEpisode, EpisodeData, EpisodeEncoder, EpisodeOrigin, FrameData, encode_episode};
pub use error::DatasetError;
pub use load::load_training_set;
pub use png_image::encode_png;
pub use spec::{ACTION_DIM, DatasetSpec};
pub use statistics::{SetStatistics, statistics};
pub use summary::{DatasetSummary, OriginRow, Share, origins, summary};
pub use training_set::TrainingSet;
pub use writer::DatasetWriter;

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
#[allow(dead_code, reason = "the export to video uses the rest")]
mod ffmpeg;
mod frame_files;
mod identity;
mod image_file;
mod journal;
mod layout;
mod lenient;
mod load;
mod notes;
mod parquet_file;
mod reader;
#[cfg(test)]
mod round_trip;
#[allow(dead_code, reason = "showing an episode uses the rest")]
mod side_table;
mod spec;
mod state_table;
mod statistics;
mod summary;
mod training_set;
#[allow(dead_code, reason = "showing an episode uses the rest")]
mod videos;
mod writer;

pub use check::{Defect, Findings, check, examine};
pub use episode::{EncodedEpisode, EpisodeData, EpisodeEncoder, EpisodeOrigin, FrameData, encode_episode};
pub use error::DatasetError;
pub use ffmpeg::{Codec, ffmpeg_is_there};
pub use identity::{Finished, finished};
pub use image_file::encode_png;
pub use load::{load_mixture, load_training_set};
pub use notes::{Actor, FrameNotes};
pub use spec::{ACTION_DIM, DatasetSpec};
pub use state_table::{StateTable, load_states};
pub use statistics::{SetStatistics, statistics};
pub use summary::{DatasetSummary, OriginRow, Share, origins, summary};
pub use training_set::TrainingSet;
pub use writer::DatasetWriter;

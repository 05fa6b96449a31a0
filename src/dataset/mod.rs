//! Episodes on disk in LeRobot v3 form, their statistics, and samples in memory.
//!
//! Writing: [`EpisodeEncoder`] in many threads makes [`EncodedEpisode`]s, one [`DatasetWriter`] appends
//! them. Reading: [`load_training_set`] for training, [`summary`] for people, [`check`] before trust.
//! What LeRobot has no place for (labels, origins, provenance) lies beside it under `ralphton/`.

mod check;
mod columns;
mod episode;
mod episode_table;
mod episode_view;
mod error;
mod export;
mod feature_statistics;
mod ffmpeg;
mod frame_files;
#[cfg(test)]
mod from_lerobot;
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
mod side_table;
mod spec;
mod state_table;
mod statistics;
mod summary;
mod training_set;
mod videos;
mod writer;

pub use check::{Defect, Findings, check, examine};
pub use episode::{EncodedEpisode, EpisodeData, EpisodeEncoder, EpisodeOrigin, FrameData, encode_episode};
pub use episode_view::{EpisodeView, read_episode};
pub use error::DatasetError;
pub use export::export_video;
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

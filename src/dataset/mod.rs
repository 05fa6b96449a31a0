//! Episodes on disk in LeRobot v3 form, their statistics, and samples in memory.

mod training_set;

pub use training_set::TrainingSet;

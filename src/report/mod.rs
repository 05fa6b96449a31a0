//! Numbers to text, tables and pictures: what people read of a run.
//!
//! Pure: plain values in, strings and PNG bytes out; no queries, no clock. Charts are dark and large for a phone,
//! tables are monospaced and narrow for a chat, and a success rate is never shown without how often it was tried.

mod axes;
mod charts;
mod compare_chart;
mod cost_chart;
mod curve;
mod diagnosis;
mod distance_chart;
mod episode_sheet;
mod heat_map;
mod run_report;
mod sheet;
mod sweep_table;
mod table;
mod times;
mod twins;

pub use charts::{CanaryPoint, FailureCount, LossPoint, SuccessPoint, failure_chart, success_chart, training_chart};
pub use compare_chart::{FamilyChange, compare_chart};
pub use cost_chart::{CostBar, cost_chart};
pub use curve::{Curve, ErrorPoint, HoldOutPoint, training_curve};
pub use diagnosis::{AuditLine, DiagnosisReport, FailedLine, diagnosis_markdown};
pub use distance_chart::{DistanceGroup, distance_chart};
pub use episode_sheet::{EpisodeSheet, episode_sheet};
pub use heat_map::{FailurePoint, deviation_map, heat_map};
pub use run_report::{RunReport, run_report_markdown};
pub use sweep_table::{SweepLine, sweep_table};
pub use table::{LoopLine, TABLE_COLUMNS, loops_table};
pub use times::{StageTimeLine, hits, times_chart};
pub use twins::{TwinView, twin_picture};

/// What can go wrong when a picture is drawn.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Font or encoding.
    #[error(transparent)]
    Picture(#[from] crate::render::RenderError),
    /// The plotting backend refused.
    #[error("cannot draw the chart: {0}")]
    Drawing(String),
}

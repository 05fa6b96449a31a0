//! Numbers to text, tables and pictures: what people read of a run.
//!
//! Pure: plain values in, strings and PNG bytes out; no queries, no clock. Charts are dark and large for a phone,
//! tables are monospaced and narrow for a chat, and a success rate is never shown without how often it was tried.

mod axes;
mod charts;
mod curve;
mod heat_map;
mod run_report;
mod sheet;
mod table;
mod times;

pub use charts::{CanaryPoint, FailureCount, LossPoint, SuccessPoint, failure_chart, success_chart, training_chart};
pub use curve::{Curve, ErrorPoint, HoldOutPoint, training_curve};
pub use heat_map::{FailurePoint, heat_map};
pub use run_report::{RunReport, run_report_markdown};
pub use table::{LoopLine, TABLE_COLUMNS, loops_table};
pub use times::{StageTimeLine, hits, times_chart};

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

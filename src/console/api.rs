//! The JSON API: thin handlers over the store and the commands.

use super::view::{AgentView, MessageView, StatusView, TrainingView};
use super::{Console, board};
use crate::artifacts::ArtifactError;
use crate::base::{ArtifactId, JobId, MessageId};
use crate::commands::{Asker, CommandInfo, Reply};
use crate::store::StoreError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

/// Messages in one answer.
const MAX_MESSAGES: u32 = 200;
/// Points of a curve in one answer; a longer curve is thinned evenly.
const MAX_POINTS: usize = 600;
/// The longest name of a channel.
const MAX_CHANNEL: usize = 64;

/// A refusal as JSON: `{"error": "…"}`.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    words: String,
}

impl ApiError {
    /// A refusal with this status and these words.
    pub(super) fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into() }
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({ "error": self.words }))).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the console could not read the store");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(error: JsonRejection) -> Self {
        ApiError::new(error.status(), error.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(error: QueryRejection) -> Self {
        ApiError::new(error.status(), error.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(error: PathRejection) -> Self {
        ApiError::new(error.status(), error.body_text())
    }
}

pub(super) async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is nothing here; the page is at /, the API at /api/v1")
}

pub(super) async fn status(State(console): State<Console>) -> Result<Json<StatusView>, ApiError> {
    Ok(Json(board::status(&console).await?))
}

pub(super) async fn agents(State(console): State<Console>) -> Result<Json<Vec<AgentView>>, ApiError> {
    Ok(Json(board::agents(&console).await?))
}

pub(super) async fn catalogue() -> Json<&'static [CommandInfo]> {
    Json(crate::commands::catalogue())
}

/// Which messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    channel: Option<String>,
    after: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn messages(
    State(console): State<Console>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Vec<MessageView>>, ApiError> {
    let Query(Which { channel, after, limit }) = which?;
    let limit = limit.unwrap_or(MAX_MESSAGES).clamp(1, MAX_MESSAGES);
    let rows = match after {
        Some(after) => console.store.messages(channel.as_deref(), MessageId(after), limit).await?,
        None => console.store.latest_messages(channel.as_deref(), limit).await?,
    };
    Ok(Json(rows.into_iter().map(MessageView::from).collect()))
}

pub(super) async fn training(
    State(console): State<Console>,
    job: Result<Path<i64>, PathRejection>,
) -> Result<Json<TrainingView>, ApiError> {
    let Path(job) = job?;
    let Some(row) = console.store.job(JobId(job)).await? else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("there is no job {job}")));
    };
    let points = thinned(console.store.training_points(row.id).await?);
    Ok(Json(TrainingView { job, total: row.total, points }))
}

/// At most [`MAX_POINTS`] of the points, evenly, the last always among them.
fn thinned(points: Vec<(u64, f64)>) -> Vec<(u64, f64)> {
    let last = points.len().saturating_sub(1);
    if last < MAX_POINTS {
        return points;
    }
    (0..MAX_POINTS).map(|i| points[i * last / (MAX_POINTS - 1)]).collect()
}

pub(super) async fn artifact(
    State(console): State<Console>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = ArtifactId(id?.0);
    let extension = console.artifacts.extension(&id).await.map_err(no_artifact)?;
    let bytes = console.artifacts.get(&id).await.map_err(no_artifact)?;
    let (media_type, disposition) = match extension.as_str() {
        "png" => ("image/png", "inline"),
        "gif" => ("image/gif", "inline"),
        "jpg" | "jpeg" => ("image/jpeg", "inline"),
        "webp" => ("image/webp", "inline"),
        "json" => ("application/json", "attachment"),
        "md" | "txt" | "csv" => ("text/plain; charset=utf-8", "attachment"),
        _ => ("application/octet-stream", "attachment"),
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_DISPOSITION, disposition),
        // The address is the content's own hash: what is behind it never changes.
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ];
    Ok((headers, bytes).into_response())
}

fn no_artifact(error: ArtifactError) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, error.to_string())
}

/// A line that a person typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    line: String,
    #[serde(default)]
    channel: String,
}

pub(super) async fn command(
    State(console): State<Console>,
    line: Result<Json<Line>, JsonRejection>,
) -> Result<Json<Reply>, ApiError> {
    let Json(Line { line, channel }) = line?;
    let asker = Asker {
        id: "console".to_owned(),
        name: "operator".to_owned(),
        front: "console",
        channel: channel.chars().take(MAX_CHANNEL).collect(),
        rights: console.rights,
    };
    Ok(Json(console.commands.run(&asker, &line).await))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_ends() {
        let points: Vec<(u64, f64)> = (0..10_000).map(|i| (i, 1.0)).collect();
        let thin = thinned(points);
        assert_eq!(thin.len(), MAX_POINTS);
        assert_eq!((thin[0].0, thin[MAX_POINTS - 1].0), (0, 9_999));
        assert_eq!(thinned(vec![(1, 0.5)]), [(1, 0.5)]);
        assert!(thinned(Vec::new()).is_empty());
    }
}

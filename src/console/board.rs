//! The live state card: computed once for all open pages, and only while somebody looks.

use super::Console;
use super::view::{AgentView, StatusView};
use crate::cycle::summary::mission_summary;
use crate::store::{Change, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Rows may change hundreds of times a second; the card follows at most so often.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);
/// A wake-up can be lost and time left runs on: the card is looked at this often anyway.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// The newest state, as JSON. Equal texts mean that nothing changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Board {
    /// `/api/v1/status`.
    pub(super) status: Option<Arc<str>>,
    /// `/api/v1/agents`.
    pub(super) agents: Option<Arc<str>>,
}

/// Keeps the board fresh until the console stops.
pub(super) async fn keep(console: Console) {
    let mut changes = console.store.changes();
    loop {
        if console.board.receiver_count() > 0 {
            match read(&console).await {
                Ok(fresh) => {
                    console.board.send_if_modified(|board| {
                        let modified = *board != fresh;
                        *board = fresh;
                        modified
                    });
                }
                Err(error) => tracing::warn!(%error, "the state card could not be read"),
            }
        }
        tokio::select! {
            () = console.stop.cancelled() => return,
            () = async {
                tokio::time::sleep(AT_MOST_EVERY).await;
                let _ = tokio::time::timeout(AT_LEAST_EVERY - AT_MOST_EVERY, changed(&mut changes)).await;
            } => {}
        }
    }
}

async fn changed(changes: &mut Receiver<Change>) {
    match changes.recv().await {
        Ok(_) | Err(RecvError::Lagged(_)) => {}
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

async fn read(console: &Console) -> Result<Board, StoreError> {
    Ok(Board { status: Some(json(&status(console).await?)), agents: Some(json(&agents(console).await?)) })
}

fn json<T: serde::Serialize>(view: &T) -> Arc<str> {
    // Views are structs of numbers and strings: there is nothing in them that JSON cannot hold.
    serde_json::to_string(view).unwrap_or_default().into()
}

/// The newest mission in figures.
pub(super) async fn status(console: &Console) -> Result<StatusView, StoreError> {
    let Some(mission) = console.store.latest_mission().await? else { return Ok(StatusView::default()) };
    let summary = mission_summary(&console.store, mission.id, console.clock.now()).await?;
    Ok(summary.map(StatusView::from).unwrap_or_default())
}

/// What each agent does.
pub(super) async fn agents(console: &Console) -> Result<Vec<AgentView>, StoreError> {
    let rows = console.store.agents().await?;
    Ok(rows.into_iter().map(|row| AgentView::new(row, &console.titles)).collect())
}

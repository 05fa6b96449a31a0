//! Server-sent events for one open page: messages in order, the state card and the agents whenever they change.
//!
//! A message's number is its event's id, so a page that was cut off names the last one it saw and misses none.

use super::Console;
use super::api::ApiError;
use super::board::Board;
use super::view::MessageView;
use crate::base::MessageId;
use crate::store::{Change, Store, StoreError};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

/// Messages read at once.
const BATCH: u32 = 100;
/// A lost wake-up delays a message by this much at most.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);
/// Silence after which a comment tells that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where a page wants to go on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    after: Option<i64>,
}

pub(super) async fn follow(
    State(console): State<Console>,
    from: Result<Query<From>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let permit = console
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open; close some"))?;
    let changes = console.store.changes();
    let newest = console.store.latest_messages(None, 1).await?.last().map_or(0, |message| message.id.0);
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let after = last_seen.or(from?.0.after).unwrap_or(newest).clamp(0, newest);
    let follower = Follower {
        store: console.store,
        after: MessageId(after),
        changes,
        board: console.board.subscribe(),
        sent: Board::default(),
        queue: VecDeque::new(),
        stop: console.stop,
        _permit: permit,
    };
    let events = unfold(follower, |mut follower| async {
        follower.next().await.map(|event| (Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One page's place in the stream.
struct Follower {
    store: Store,
    /// The newest message that was sent.
    after: MessageId,
    changes: broadcast::Receiver<Change>,
    board: watch::Receiver<Board>,
    /// The board as it was last sent.
    sent: Board,
    /// Events that are ready to go; never more than one batch of messages and the board.
    queue: VecDeque<Event>,
    stop: CancellationToken,
    /// Frees the page's place when it goes.
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; none when the console stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if let Err(error) = self.look().await {
                // The page reconnects and goes on from the last message it saw.
                tracing::warn!(%error, "a page's stream ends: the store could not be read");
                return None;
            }
            if !self.queue.is_empty() {
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = message_written(&mut self.changes) => {}
                _ = self.board.changed() => {}
                () = tokio::time::sleep(LOOK_ANYWAY) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        for message in self.store.messages(None, self.after, BATCH).await? {
            self.after = message.id;
            let view = MessageView::from(message);
            if let Ok(event) = Event::default().event("message").id(view.id.to_string()).json_data(view) {
                self.queue.push_back(event);
            }
        }
        let board = self.board.borrow_and_update().clone();
        for (name, fresh, sent) in
            [("status", &board.status, &self.sent.status), ("agents", &board.agents, &self.sent.agents)]
        {
            if let Some(json) = fresh
                && fresh != sent
            {
                self.queue.push_back(Event::default().event(name).data(json.as_ref()));
            }
        }
        self.sent = board;
        Ok(())
    }
}

/// Returns when a message may have been written.
async fn message_written(changes: &mut broadcast::Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(Change::Message) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

//! The embedded chat: one page, a small JSON API and a stream of events, on an address of this machine.
//!
//! It shows the same messages and carries out the same commands as every other front; there is no state here that is
//! not in the store. The page is plain files compiled in: no build step, nothing from the network.
//!
//! ```text
//! GET  /                            the page; its files under /page/
//! GET  /api/v1/status               the newest mission and its loops
//! GET  /api/v1/agents               what each agent does
//! GET  /api/v1/catalogue            the commands
//! GET  /api/v1/messages             ?channel=&after=&limit=   oldest first; the newest without `after`
//! GET  /api/v1/training/{job}       the loss curve of a training
//! GET  /api/v1/artifacts/{id}       a picture or clip by its hash
//! GET  /api/v1/stream               ?after=   server-sent events: message, status, agents
//! POST /api/v1/command              {"line": "/status", "channel": "training"} → the reply
//! ```

mod api;
mod board;
mod guard;
mod page;
mod stream;
mod view;

use crate::artifacts::Artifacts;
use crate::base::Clock;
use crate::commands::{Commands, Rights};
use crate::store::Store;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Largest request body, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Pages that can follow the stream at once.
const MAX_STREAMS: usize = 64;

/// Why the embedded chat cannot be served.
#[derive(Debug, Error)]
pub enum ConsoleError {
    /// Somebody else listens there.
    #[error(
        "port {} is in use, perhaps by another ralphton; stop that one, or choose another address with \
         --listen {}:{}",
        .0.port(), .0.ip(), .0.port().checked_add(1).unwrap_or(8770)
    )]
    PortInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose an address of this machine, such as 127.0.0.1:8770")]
    Address {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Serving ended although nobody asked for it.
    #[error("the embedded chat stopped: {0}")]
    Serve(std::io::Error),
}

/// Takes the address of the page before anything else is started, so that a refusal costs nothing.
///
/// # Errors
/// [`ConsoleError::PortInUse`] and [`ConsoleError::Address`], which say what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ConsoleError> {
    TcpListener::bind(address).map_err(|source| {
        if source.kind() == std::io::ErrorKind::AddrInUse {
            ConsoleError::PortInUse(address)
        } else {
            ConsoleError::Address { address, source }
        }
    })
}

/// What every handler works with. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    store: Store,
    artifacts: Artifacts,
    commands: Commands,
    clock: Arc<dyn Clock>,
    /// What whoever opens the page may do.
    rights: Rights,
    /// How people see each agent, by its name.
    titles: Arc<BTreeMap<String, String>>,
    /// The newest state card, written by [`board::keep`], read by every stream.
    board: Arc<watch::Sender<board::Board>>,
    /// One permit for each page that follows the stream.
    streams: Arc<Semaphore>,
    /// Ends the streams; without it an open page would keep the server from stopping.
    stop: CancellationToken,
}

impl Console {
    /// A console whose visitors have `rights`; `titles` are the agents' names for people.
    pub fn new(
        store: Store,
        artifacts: Artifacts,
        commands: Commands,
        clock: Arc<dyn Clock>,
        rights: Rights,
        titles: BTreeMap<String, String>,
    ) -> Self {
        Self {
            store,
            artifacts,
            commands,
            clock,
            rights,
            titles: Arc::new(titles),
            board: Arc::new(watch::Sender::new(board::Board::default())),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            stop: CancellationToken::new(),
        }
    }

    /// Serves until `stop` is cancelled and every open page was let go.
    ///
    /// # Errors
    /// [`ConsoleError::Serve`] when the system takes the socket away.
    pub async fn serve(mut self, listener: TcpListener, stop: CancellationToken) -> Result<(), ConsoleError> {
        listener.set_nonblocking(true).map_err(ConsoleError::Serve)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ConsoleError::Serve)?;
        self.stop = stop.clone();
        let board = board::keep(self.clone());
        let serve = axum::serve(listener, self.router()).with_graceful_shutdown(stop.cancelled_owned());
        let ((), served) = tokio::join!(board, serve.into_future());
        served.map_err(ConsoleError::Serve)
    }

    fn router(self) -> Router {
        let api = Router::new()
            .route("/status", get(api::status))
            .route("/agents", get(api::agents))
            .route("/catalogue", get(api::catalogue))
            .route("/messages", get(api::messages))
            .route("/training/{job}", get(api::training))
            .route("/artifacts/{id}", get(api::artifact))
            .route("/stream", get(stream::follow))
            .route("/command", post(api::command));
        Router::new()
            .route("/", get(page::index))
            .route("/page/{*file}", get(page::file))
            .nest("/api/v1", api)
            .fallback(api::not_found)
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .layer(middleware::from_fn(guard::guard))
            .with_state(self)
    }
}

//! The truth: everything the team did, decided and said, in one SQLite file. The only room with SQL.
//!
//! One file per group of tables, one named method per statement or transaction; callers read like prose
//! (`store.claim_next_job(...)`). Every write is acknowledged only when it is on disk (WAL, `synchronous = FULL`), so
//! `kill -9` at any instant loses nothing that was acknowledged. Writes go through one connection, one after the other;
//! reads have connections of their own and never wait for a write.
//!
//! [`Store::changes`] only wakes readers. What is true is in the rows: losing a wake-up delays work, never loses it.

mod admission;
mod agents;
mod approvals;
mod bills;
mod budgets;
mod checkpoints;
mod column;
mod costs;
mod datasets;
mod decisions;
mod error;
mod evaluations;
#[cfg(test)]
mod fixtures;
mod incidents;
mod jobs;
mod loops;
mod mailbox;
mod messages;
mod missions;
mod orders;
mod price_books;
mod probes;
mod spend;
mod turns;

pub use admission::{BudgetScope, Limit, Notice, Refused, Reserve, Wish, Words};
pub use agents::{Activity, AgentRow};
pub use approvals::{Answer, ApprovalRow};
pub use bills::{Bill, BillKind, CountedDay};
pub use budgets::{HoldRow, OverrideRow, TotalRow};
pub use checkpoints::{CheckpointRow, NewCheckpoint};
pub use costs::{CostCell, TurnCost};
pub use datasets::{ArtifactRow, DatasetRow, NewDataset};
pub use decisions::DecisionRow;
pub use error::StoreError;
pub use evaluations::{EvaluationKind, EvaluationRow, NewEvaluation, SceneRow};
pub use incidents::{CheckRow, IncidentRow};
pub use jobs::{JobRow, NewJob};
pub use loops::LoopRow;
pub use mailbox::{MailKind, MailRow};
pub use messages::{Attachment, AuthorKind, MessageRow, NewMessage};
pub use missions::{MissionRow, NewMission};
pub use orders::OrderRow;
pub use probes::{ForecastRow, NewProbe, ProbeRow};
pub use spend::{AgentSpend, NewSpend, Settlement, SpendRow, SpendState};
pub use turns::{HandoffRow, NewHandoff, TurnRow};

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::path::Path;
use std::time::Duration;
use tokio::sync::broadcast;

/// The schema, embedded at build time.
static SCHEMA: Migrator = sqlx::migrate!("./migrations");

/// Connections that read while one writes. Readers are people and agents looking; more would only hold memory.
const READERS: u32 = 4;

/// Wake-ups kept for a slow reader. One who falls behind gets `Lagged`, and finds everything in the rows.
const WAKE_UPS: usize = 256;

/// How long SQLite waits for another process that holds the file, before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What kind of row changed. Carries no data: readers look in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A mission was made or moved.
    Mission,
    /// A loop was opened or closed, or its log grew.
    Loop,
    /// A decision was asked, proposed, refused or accepted.
    Decision,
    /// A job moved.
    Job,
    /// Mail arrived or was dealt with.
    Mailbox,
    /// A message was written or delivered.
    Message,
    /// An agent showed progress, or a turn began or ended.
    Agent,
    /// An order was placed or finished.
    Order,
    /// Money was reserved or settled.
    Ledger,
    /// The work made something: an evaluation, a dataset, a checkpoint, a point of a training curve.
    Evaluation,
    /// An incident was opened or closed, or a check reported.
    Incident,
}

/// The open store. Cheap to clone; clones share the connections and the wake-ups.
#[derive(Debug, Clone)]
pub struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    changes: broadcast::Sender<Change>,
    /// Wishes to spend that wait for the next transaction.
    admissions: admission::Queue,
}

impl Store {
    /// Opens the store at `path`: creates the file and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::NewerData`] when a newer version wrote it (nothing is changed in it then),
    /// [`StoreError::Open`] when it cannot be read or written or is no SQLite file.
    pub async fn open(path: &Path) -> Result<Store, StoreError> {
        let cannot_open = |source| StoreError::Open { path: path.to_path_buf(), source };
        refuse_newer(path).await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone().optimize_on_close(true, None))
            .await
            .map_err(cannot_open)?;
        SCHEMA.run(&writer).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options.create_if_missing(false))
            .await
            .map_err(cannot_open)?;
        Ok(Store { writer, reader, changes: broadcast::Sender::new(WAKE_UPS), admissions: admission::Queue::default() })
    }

    /// A store that lives as long as its last clone, for tests: one connection, nothing on disk.
    ///
    /// # Errors
    /// Only what SQLite itself reports.
    pub async fn in_memory() -> Result<Store, StoreError> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let only = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        SCHEMA.run(&only).await?;
        Ok(Store {
            writer: only.clone(),
            reader: only,
            changes: broadcast::Sender::new(WAKE_UPS),
            admissions: admission::Queue::default(),
        })
    }

    /// Wake-ups from now on. They carry no truth: a reader who missed some looks in the store, as it does after a
    /// second or so without any.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Waits for running statements, writes the log back into the file and closes it. Later calls fail.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// A transaction that holds the right to write from its first statement.
    async fn immediate(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Wakes readers. Nobody listening is no error.
    fn changed(&self, change: Change) {
        self.changes.send(change).ok();
    }
}

/// Looks, without writing, whether a newer version wrote the file at `path`.
async fn refuse_newer(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let cannot_open = |source| StoreError::Open { path: path.to_path_buf(), source };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // Even reading makes files beside the database, unless SQLite may take it as standing still: it does without a log.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!Path::new(&log).exists())
        .busy_timeout(BUSY_TIMEOUT);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(cannot_open)?;
    // Not checked at build time: the table belongs to the migrator, and is not there in a new file.
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_one(&mut connection)
            .await
            .map_err(cannot_open)?;
    let newest: Option<i64> = if tables == 0 {
        None
    } else {
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut connection)
            .await
            .map_err(cannot_open)?
    };
    connection.close().await.map_err(cannot_open)?;
    let known = SCHEMA.iter().map(|migration| migration.version).max().unwrap_or(0);
    match newest {
        Some(found) if found > known => Err(StoreError::NewerData { path: path.to_path_buf(), found, known }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{at, first_loop, job};
    use super::*;
    use crate::base::{MissionState, Seed};

    #[tokio::test]
    async fn reopening_keeps_everything_that_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ralphton.db");
        let store = Store::open(&path).await.unwrap();
        let loop_id = first_loop(&store).await;
        let job_id = store.enqueue(&job("a"), at(1)).await.unwrap();
        assert!(store.append_loop_event(loop_id, 0, &serde_json::json!({"opened": 1}), at(2)).await.unwrap());
        let (mission, job_row) = (store.current_mission().await.unwrap(), store.job(job_id).await.unwrap());
        // Neither closed nor checkpointed: as after a kill, what is true is in the log beside the file.
        let again = Store::open(&path).await.unwrap();
        assert_eq!(again.current_mission().await.unwrap(), mission);
        assert_eq!(again.job(job_id).await.unwrap(), job_row);
        assert_eq!(again.loop_events(loop_id).await.unwrap().len(), 1);
        assert_eq!(mission.map(|row| (row.seed, row.state)), Some((Seed(u64::MAX - 1), MissionState::Running)));
        again.close().await;
        store.close().await;
        assert!(!folder.path().join("ralphton.db-wal").exists(), "a clean close leaves one file");
    }

    #[tokio::test]
    async fn data_of_a_newer_version_are_refused_and_left_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ralphton.db");
        let store = Store::open(&path).await.unwrap();
        sqlx::query("UPDATE _sqlx_migrations SET version = 99990101000000 WHERE version = (SELECT max(version) FROM _sqlx_migrations)").execute(&store.writer).await.unwrap();
        store.close().await;
        let before = std::fs::read(&path).unwrap();
        let error = Store::open(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::NewerData { found: 99_990_101_000_000, .. }), "{error}");
        assert!(error.to_string().contains("update ralphton, or choose another folder with --data"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        let text = "not a database, however long one looks at it. ".repeat(50);
        std::fs::write(&path, &text).unwrap();
        let error = Store::open(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::Open { .. }), "{error}");
        assert!(error.to_string().contains("notes.txt"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[tokio::test]
    async fn writes_wake_readers() {
        let store = Store::in_memory().await.unwrap();
        let mut changes = store.changes();
        store.clone().enqueue(&job("a"), at(0)).await.unwrap();
        assert_eq!(changes.try_recv(), Ok(Change::Job));
    }
}

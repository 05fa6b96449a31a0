//! What can go wrong in the store.

use std::path::PathBuf;

/// An error of the store. Its text is for people: it says what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data are of a later schema than this program knows. Nothing was changed in them.
    #[error(
        "this data folder was written by a newer ralphton (its schema is {found}, this program knows {known}): \
         update ralphton, or choose another folder with --data; nothing was changed in {}",
        path.display()
    )]
    NewerData {
        /// The file.
        path: PathBuf,
        /// The newest migration in it.
        found: i64,
        /// The newest migration in this program.
        known: i64,
    },
    /// The file cannot be opened.
    #[error("cannot open the store at {}: {source}; check that the folder can be written and that the file is ralphton's", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("cannot bring the store's schema up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row that should be there is not.
    #[error("there is no {what} {id}")]
    Missing {
        /// The kind of row.
        what: &'static str,
        /// The number asked for.
        id: i64,
    },
    /// A number that must be finite is not.
    #[error("{what} is {value}: only finite numbers can be stored")]
    NotFinite {
        /// The column.
        what: &'static str,
        /// The value given.
        value: f64,
    },
    /// A statement failed.
    #[error("the store could not do this: {0}")]
    Database(#[from] sqlx::Error),
}

/// `value` when it can be stored: SQLite would turn NaN into NULL.
pub(super) fn finite(what: &'static str, value: f64) -> Result<f64, StoreError> {
    if value.is_finite() { Ok(value) } else { Err(StoreError::NotFinite { what, value }) }
}

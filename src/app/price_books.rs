//! Which price list is in force: `prices.toml` in the data folder, or the one this version was built with.

use crate::base::Timestamp;
use crate::ledger::PriceBook;
use crate::store::Store;
use anyhow::Context;
use std::path::Path;

/// The file in the data folder.
const FILE: &str = "prices.toml";

/// The list in force, as the file has it.
///
/// # Errors
/// When the file is there and cannot be used; it says why.
pub fn in_force(data: &Path) -> anyhow::Result<PriceBook> {
    let path = data.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => PriceBook::parse(&text).with_context(|| format!("{}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(PriceBook::embedded()?),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// The list in force, kept in the store under its version, which every row names.
///
/// # Errors
/// As [`in_force`], and when the store fails.
pub async fn current(data: &Path, store: &Store, now: Timestamp) -> anyhow::Result<PriceBook> {
    keep(in_force(data)?, store, now).await
}

async fn keep(book: PriceBook, store: &Store, now: Timestamp) -> anyhow::Result<PriceBook> {
    let version = store.keep_price_book(book.as_of(), &book.to_json(), now).await?;
    Ok(book.named(&version))
}

/// Puts a list into force: keeps it in the store and writes it into the data folder. The list under its version.
///
/// # Errors
/// When the store fails or the file cannot be written.
pub async fn install(
    data: &Path,
    store: &Store,
    text: &str,
    book: PriceBook,
    now: Timestamp,
) -> anyhow::Result<PriceBook> {
    // The list before this one may never have been kept, when no team has started since it was put there.
    keep(in_force(data)?, store, now).await?;
    let book = keep(book, store, now).await?;
    let (path, half) = (data.join(FILE), data.join("prices.toml.new"));
    std::fs::write(&half, text).with_context(|| format!("{} cannot be written", half.display()))?;
    std::fs::rename(&half, &path).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(book)
}

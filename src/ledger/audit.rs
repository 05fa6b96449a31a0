//! Every booked row computed again, with the price list of its own version.

use super::{LedgerError, PriceBook};
use crate::base::NanoUsd;
use crate::store::{SpendRow, SpendState, Store};
use std::collections::BTreeMap;

/// Rows read at once.
const PAGE: u32 = 1_000;

/// What the audit found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// Rows that were looked at.
    pub rows: u64,
    /// Of these, booked at what the provider's own usage costs.
    pub derived: u64,
    /// Estimates: nobody said what the call came to.
    pub estimated: u64,
    /// Turns that cost nothing, and calls that surely were not billed.
    pub free: u64,
    /// Held for calls that run.
    pub open: u64,
    /// Rows and totals that are not what they should be.
    pub differences: Vec<Difference>,
}

/// Something that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which row or total.
    pub what: String,
    /// What the ledger says.
    pub booked: NanoUsd,
    /// What it comes to; none when that cannot be computed.
    pub computed: Option<NanoUsd>,
    /// Why.
    pub why: String,
}

/// Computes all rows again.
///
/// # Errors
/// Only the store's.
pub async fn audit(store: &Store) -> Result<Audit, LedgerError> {
    let mut audit = Audit::default();
    let mut books = BTreeMap::new();
    let mut after = 0;
    loop {
        let rows = store.spend_after(after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        for row in &rows {
            if !books.contains_key(&row.price_version) {
                books.insert(row.price_version.clone(), book_of(store, &row.price_version).await?);
            }
            audit.look_at(row, books.get(&row.price_version).and_then(Option::as_ref));
        }
    }
    for total in store.wrong_totals().await? {
        audit.differences.push(Difference {
            what: format!("total of {} {}", total.scope, total.name),
            booked: total.kept,
            computed: Some(total.summed),
            why: "the running total is not the sum of its rows".to_owned(),
        });
    }
    Ok(audit)
}

/// The list of a version: from the store, or the embedded one, which earlier versions of the program did not store.
async fn book_of(store: &Store, version: &str) -> Result<Option<PriceBook>, LedgerError> {
    if let Some(content) = store.price_book(version).await? {
        return Ok(PriceBook::parse(&content).ok().map(|book| book.named(version)));
    }
    Ok(PriceBook::embedded().ok().filter(|book| book.version() == version))
}

impl Audit {
    fn look_at(&mut self, row: &SpendRow, book: Option<&PriceBook>) {
        self.rows += 1;
        let Some(booked) = row.settled.filter(|_| row.state != SpendState::Reserved) else {
            self.open += 1;
            return;
        };
        if booked == NanoUsd::ZERO && row.raw_usage.is_none() && !row.estimated {
            self.free += 1;
            return;
        }
        if row.estimated {
            self.estimated += 1;
        } else {
            self.derived += 1;
        }
        match computed(row, book) {
            Ok(computed) if computed == booked => {}
            Ok(computed) => self.differ(row, booked, Some(computed), "the amount is another"),
            Err(why) => self.differ(row, booked, None, &why),
        }
    }

    fn differ(&mut self, row: &SpendRow, booked: NanoUsd, computed: Option<NanoUsd>, why: &str) {
        self.differences.push(Difference {
            what: format!("row {} ({}, {}, prices of {})", row.id, row.agent, row.model, row.price_version),
            booked,
            computed,
            why: why.to_owned(),
        });
    }
}

/// What a row comes to: an estimate from what its reservation was computed from, else the provider's usage.
fn computed(row: &SpendRow, book: Option<&PriceBook>) -> Result<NanoUsd, String> {
    if row.estimated {
        return match (row.estimate_input, row.max_output, book) {
            // Rows of before these were kept.
            (None, _, _) | (_, None, _) => Ok(row.reserved),
            (Some(_), Some(_), None) => Err(missing(row)),
            (Some(input), Some(output), Some(book)) => {
                let most = book.most(&row.model, row.tier.as_deref(), input, output);
                most.map_err(|error| error.to_string())
            }
        };
    }
    let book = book.ok_or_else(|| missing(row))?;
    let raw = row.raw_usage.as_ref().ok_or("the provider's usage is not in the row")?;
    let api = row.api.as_deref().map(str::parse).transpose()?;
    let (billed, cost) =
        book.cost_of_raw(&row.model, api, row.tier.as_deref(), raw).map_err(|error| error.to_string())?;
    let kept = (row.uncached_input, row.cache_read, row.cache_write_5m, row.cache_write_1h, row.output);
    let usage = billed.usage;
    let read = (usage.uncached_input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.output);
    if kept != read {
        return Err(format!("the tokens in the row are {kept:?}, those in its usage {read:?}"));
    }
    Ok(cost.total().rounded_up())
}

fn missing(row: &SpendRow) -> String {
    format!("the price list of {} is not kept; install it with `ralphton cost prices update FILE`", row.price_version)
}

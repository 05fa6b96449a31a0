//! The ledger beside the provider's own figures, by UTC day and model.

use super::PriceBook;
use super::exports::model_name;
use crate::base::NanoUsd;
use crate::llm::{Billed, Usage};
use crate::store::{Bill, BillKind, CountedDay};
use std::collections::BTreeMap;

/// One day of one model on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriftLine {
    /// The UTC day.
    pub day: String,
    /// The provider.
    pub provider: String,
    /// The model; empty where the provider's bill does not name one.
    pub model: String,
    /// Tokens in and out that the ledger booked.
    pub booked_tokens: u64,
    /// Tokens in and out that the provider counted; none without its usage.
    pub counted_tokens: Option<u64>,
    /// What the ledger booked.
    pub booked: NanoUsd,
    /// Of its calls, those with an estimated amount.
    pub estimated: u32,
    /// What the provider's usage costs at the list price; none without its usage, or where it has no price.
    pub priced: Option<NanoUsd>,
    /// What the provider billed; none without its costs.
    pub billed: Option<NanoUsd>,
}

impl DriftLine {
    /// The provider's amount: its bill, else its usage at the list price.
    pub fn provider_says(&self) -> Option<NanoUsd> {
        self.billed.or(self.priced)
    }

    /// How much more the provider says than the ledger.
    pub fn difference(&self) -> Option<NanoUsd> {
        Some(NanoUsd(self.provider_says()?.0 - self.booked.0))
    }
}

/// Puts bookings and bills side by side, for the days that were imported.
pub fn drift(book: &PriceBook, bills: &[Bill], days: &[CountedDay]) -> Vec<DriftLine> {
    let mut lines: BTreeMap<(String, String, String), DriftLine> = BTreeMap::new();
    let mut line_of = |day: &str, provider: &str, model: &str, then: &dyn Fn(&mut DriftLine)| {
        let key = (day.to_owned(), provider.to_owned(), model.to_owned());
        let line = lines.entry(key).or_insert_with(|| DriftLine {
            day: day.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            ..DriftLine::default()
        });
        then(line);
    };
    for bill in bills {
        line_of(&bill.day, &bill.provider, &bill.model, &|line| match bill.kind {
            BillKind::Cost => line.billed = sum(line.billed, bill.amount),
            BillKind::Usage => {
                let usage = usage_of(bill);
                line.counted_tokens = Some(line.counted_tokens.unwrap_or(0) + usage.total());
                line.priced = sum(line.priced, price_of(book, bill, usage));
            }
        });
    }
    for day in days {
        let imported = bills.iter().any(|bill| bill.day == day.day && bill.provider == day.provider);
        if imported {
            line_of(&day.day, &day.provider, &model_name(&day.model), &|line| {
                line.booked_tokens += day.input + day.output;
                line.booked = line.booked.saturating_add(day.spent);
                line.estimated += day.estimated;
            });
        }
    }
    lines.into_values().collect()
}

fn sum(a: Option<NanoUsd>, b: Option<NanoUsd>) -> Option<NanoUsd> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

fn usage_of(bill: &Bill) -> Usage {
    Usage {
        uncached_input: bill.uncached_input,
        cache_read: bill.cache_read,
        cache_write_5m: bill.cache_write_5m,
        cache_write_1h: bill.cache_write_1h,
        output: bill.output,
    }
}

/// A day's usage at the list price. It is the sum of many calls: a long one among them cannot be seen here.
fn price_of(book: &PriceBook, bill: &Bill, usage: Usage) -> Option<NanoUsd> {
    let tier = (!bill.tier.is_empty()).then_some(bill.tier.as_str());
    let billed = Billed { us_inference: bill.us_inference, web_searches: bill.web_searches, ..Billed::plain(usage) };
    Some(book.cost_of_day(&bill.model, tier, &billed).ok()?.total().rounded_up())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::read_export;

    #[test]
    fn both_sides_stand_in_one_line_and_days_without_an_import_are_left_out() {
        let usage = "usage_date_utc,model_version,usage_type,usage_input_tokens_no_cache,usage_output_tokens\n\
                     2026-11-20,claude-opus-4-6,standard,2000000,1000\n";
        let cost = "usage_date_utc,model,token_type,cost_usd\n2026-11-20,Claude Opus 4.6,output,10.5\n";
        let mut bills = read_export(usage).unwrap();
        bills.extend(read_export(cost).unwrap());
        let counted = |day: &str| CountedDay {
            provider: "anthropic".into(),
            day: day.into(),
            model: "claude-opus-4-6".into(),
            calls: 3,
            estimated: 1,
            input: 2_000_000,
            output: 900,
            spent: NanoUsd::from_usd(10.0),
        };
        let book = PriceBook::embedded().unwrap();
        let lines = drift(&book, &bills, &[counted("2026-11-20"), counted("2026-11-21")]);
        assert_eq!(lines.len(), 1);
        let line = &lines[0];
        assert_eq!((line.counted_tokens, line.booked_tokens, line.estimated), (Some(2_001_000), 2_000_900, 1));
        // More input in a day than one call may have: the day is priced all the same.
        assert_eq!((line.priced, line.billed), (Some(NanoUsd::from_usd(10.025)), Some(NanoUsd::from_usd(10.5))));
        assert_eq!(line.difference(), Some(NanoUsd::from_usd(0.5)));
    }
}

//! The tables that people download from the providers' pages.

use super::{model_name, tier_name};
use crate::base::{NanoUsd, Timestamp};
use crate::store::{Bill, BillKind};

/// Which table it is, by its columns.
#[derive(Clone, Copy)]
enum Table {
    OpenAiUsage,
    OpenAiCost,
    AnthropicUsage,
    AnthropicCost,
}

/// Reads a table with a head, separated by commas, tabs or semicolons.
pub(super) fn read(text: &str) -> Result<Vec<Bill>, String> {
    let head = text.lines().next().unwrap_or_default();
    let separator = ['\t', ';'].into_iter().find(|mark| head.contains(*mark)).unwrap_or(',');
    let columns: Vec<String> = cells(head, separator).into_iter().map(|cell| cell.trim().to_lowercase()).collect();
    let has = |name: &str| columns.iter().any(|column| column == name);
    let table = if has("usage_input_tokens_no_cache") && has("usage_date_utc") {
        Table::AnthropicUsage
    } else if has("cost_usd") && has("usage_date_utc") {
        Table::AnthropicCost
    } else if has("amount_value") && has("start_time") {
        Table::OpenAiCost
    } else if has("input_tokens") && has("output_tokens") && has("start_time") {
        Table::OpenAiUsage
    } else {
        return Err(format!(
            "its columns are none of a known export: {}. Known are the CSV of OpenAI's usage and cost pages and of \
             Anthropic's, and the JSON of their admin APIs",
            head.chars().take(120).collect::<String>()
        ));
    };
    let mut bills = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty()) {
        let row = Row { columns: &columns, cells: cells(line, separator) };
        let bill = row.bill(table).map_err(|what| format!("the export's line {}: {what}", number + 1))?;
        bills.extend(bill);
    }
    Ok(bills)
}

/// The cells of a line; a quoted cell may hold separators, and quotes written twice.
fn cells(line: &str, separator: char) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' if quoted && rest.peek() == Some(&'"') => {
                cell.push('"');
                rest.next();
            }
            '"' => quoted = !quoted,
            mark if mark == separator && !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    cells.push(cell);
    cells
}

struct Row<'a> {
    columns: &'a [String],
    cells: Vec<String>,
}

impl Row<'_> {
    fn text(&self, name: &str) -> &str {
        let index = self.columns.iter().position(|column| column == name);
        index.and_then(|index| self.cells.get(index)).map_or("", |cell| cell.trim())
    }

    /// A count; these tables write some as `10.0`, and nothing for zero.
    fn count(&self, name: &str) -> Result<u64, String> {
        let text = self.text(name);
        let whole = text.split_once('.').filter(|(_, decimals)| decimals.bytes().all(|b| b == b'0'));
        let whole = whole.map_or(text, |(whole, _)| whole);
        if whole.is_empty() { Ok(0) } else { whole.parse().map_err(|_| format!("{name} is \"{text}\", no count")) }
    }

    fn dollars(&self, name: &str) -> Result<NanoUsd, String> {
        let text = self.text(name);
        match text.parse::<f64>() {
            Ok(usd) if usd.is_finite() => Ok(NanoUsd::from_usd(usd)),
            Ok(_) | Err(_) => Err(format!("{name} is \"{text}\", no amount")),
        }
    }

    fn day(&self, name: &str) -> Result<String, String> {
        let text = self.text(name);
        let day: String = text.chars().take(10).collect();
        day.parse::<jiff::civil::Date>().map(|day| day.to_string()).map_err(|_| format!("{name} is \"{text}\", no day"))
    }

    /// OpenAI's day: the bucket's beginning in seconds.
    fn bucket_day(&self) -> Result<String, String> {
        let seconds = i64::try_from(self.count("start_time")?).unwrap_or(i64::MAX);
        day_of_second(seconds).ok_or_else(|| format!("start_time is {seconds}, no moment"))
    }

    /// The line's figures; none for a day on which nothing happened.
    fn bill(&self, table: Table) -> Result<Option<Bill>, String> {
        Ok(match table {
            Table::OpenAiUsage => {
                let input = self.count("input_tokens")?;
                let cached = self.count("input_cached_tokens")?;
                let batch = self.text("batch").eq_ignore_ascii_case("true");
                let tier = if batch { "batch" } else { self.text("service_tier") };
                let bill = Bill {
                    requests: self.count("num_model_requests")?,
                    uncached_input: input.saturating_sub(cached),
                    cache_read: cached,
                    output: self.count("output_tokens")?,
                    ..blank("openai", BillKind::Usage, self.bucket_day()?, self.text("model"), tier)
                };
                (!self.text("model").is_empty() || input > 0).then_some(bill)
            }
            Table::OpenAiCost if self.text("amount_value").is_empty() => None,
            Table::OpenAiCost => {
                let model = self.text("line_item").split(',').next().unwrap_or_default();
                let amount = Some(self.dollars("amount_value")?);
                Some(Bill { amount, ..blank("openai", BillKind::Cost, self.bucket_day()?, model, "") })
            }
            Table::AnthropicUsage => {
                let tier = if self.text("speed") == "fast" { "fast" } else { self.text("usage_type") };
                let day = self.day("usage_date_utc")?;
                Some(Bill {
                    us_inference: self.text("inference_geo") == "us",
                    uncached_input: self.count("usage_input_tokens_no_cache")?,
                    cache_read: self.count("usage_input_tokens_cache_read")?,
                    cache_write_5m: self.count("usage_input_tokens_cache_write_5m")?,
                    cache_write_1h: self.count("usage_input_tokens_cache_write_1h")?,
                    output: self.count("usage_output_tokens")?,
                    web_searches: self.count("web_search_count")?,
                    ..blank("anthropic", BillKind::Usage, day, self.text("model_version"), tier)
                })
            }
            Table::AnthropicCost => {
                let amount = Some(self.dollars("cost_usd")?);
                let day = self.day("usage_date_utc")?;
                Some(Bill {
                    amount,
                    ..blank("anthropic", BillKind::Cost, day, self.text("model"), self.text("usage_type"))
                })
            }
        })
    }
}

/// The UTC day of a moment in seconds.
pub(super) fn day_of_second(second: i64) -> Option<String> {
    let at = Timestamp::from_second(second).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

/// Figures with nothing in them yet.
pub(super) fn blank(provider: &str, kind: BillKind, day: String, model: &str, tier: &str) -> Bill {
    Bill {
        provider: provider.to_owned(),
        kind,
        day,
        model: model_name(model),
        tier: tier_name(tier),
        us_inference: false,
        requests: 0,
        uncached_input: 0,
        cache_read: 0,
        cache_write_5m: 0,
        cache_write_1h: 0,
        output: 0,
        web_searches: 0,
        amount: None,
    }
}

//! What the providers' admin APIs answer: pages of buckets, each with its results.

use super::csv::{blank, day_of_second};
use crate::base::NanoUsd;
use crate::store::{Bill, BillKind};
use serde_json::Value;

/// Reads one page, or a list of pages.
pub(super) fn read(text: &str) -> Result<Vec<Bill>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("the export is no JSON: {error}"))?;
    let pages = value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
    let mut bills = Vec::new();
    for page in pages {
        let buckets = page["data"].as_array().ok_or_else(|| {
            "the export has no \"data\"; known are the pages of OpenAI's organization/usage/completions and \
             organization/costs, and of Anthropic's usage_report/messages and cost_report"
                .to_owned()
        })?;
        for bucket in buckets {
            let results = bucket["results"].as_array().or(bucket["result"].as_array());
            for result in results.into_iter().flatten() {
                bills.push(bill(bucket, result)?);
            }
        }
    }
    Ok(bills)
}

fn bill(bucket: &Value, result: &Value) -> Result<Bill, String> {
    let text = |key: &str| result[key].as_str().unwrap_or_default();
    let count = |path: &str| match result.pointer(path) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value.as_u64().ok_or_else(|| format!("the export's {path} is {value}, no count")),
    };
    if let Some(second) = bucket["start_time"].as_i64() {
        let day = day_of_second(second).ok_or_else(|| format!("the export's start_time is {second}, no moment"))?;
        if let Some(amount) = result.get("amount") {
            let model = text("line_item").split(',').next().unwrap_or_default();
            let amount = Some(dollars(&amount["value"], 1.0)?);
            return Ok(Bill { amount, ..blank("openai", BillKind::Cost, day, model, "") });
        }
        if result.get("input_tokens").is_some() {
            let tier = if result["batch"] == true { "batch" } else { text("service_tier") };
            let (input, cached) = (count("/input_tokens")?, count("/input_cached_tokens")?);
            return Ok(Bill {
                requests: count("/num_model_requests")?,
                uncached_input: input.saturating_sub(cached),
                cache_read: cached,
                output: count("/output_tokens")?,
                ..blank("openai", BillKind::Usage, day, text("model"), tier)
            });
        }
    }
    if let Some(start) = bucket["starting_at"].as_str() {
        let day: String = start.chars().take(10).collect();
        let tier = if text("speed") == "fast" { "fast" } else { text("service_tier") };
        if result.get("uncached_input_tokens").is_some() {
            return Ok(Bill {
                us_inference: text("inference_geo") == "us",
                uncached_input: count("/uncached_input_tokens")?,
                cache_read: count("/cache_read_input_tokens")?,
                cache_write_5m: count("/cache_creation/ephemeral_5m_input_tokens")?,
                cache_write_1h: count("/cache_creation/ephemeral_1h_input_tokens")?,
                output: count("/output_tokens")?,
                web_searches: count("/server_tool_use/web_search_requests")?,
                ..blank("anthropic", BillKind::Usage, day, text("model"), tier)
            });
        }
        if let Some(amount) = result.get("amount") {
            // Anthropic writes cents, as text with decimals.
            let amount = Some(dollars(amount, 0.01)?);
            return Ok(Bill { amount, ..blank("anthropic", BillKind::Cost, day, text("model"), tier) });
        }
    }
    let shown: String = result.to_string().chars().take(120).collect();
    Err(format!("this result is of no known export: {shown}"))
}

fn dollars(value: &Value, unit: f64) -> Result<NanoUsd, String> {
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    match number.filter(|number| number.is_finite()) {
        Some(number) => Ok(NanoUsd::from_usd(number * unit)),
        None => Err(format!("the export's amount is {value}, no number")),
    }
}

//! Pricing raw usage objects, one JSON object a line, so that anyone can compare.

use super::{LedgerError, PriceBook};
use crate::llm::Api;
use serde::Deserialize;
use serde_json::{Value, json};

/// One line: whose answer it was, and its usage as the provider wrote it. Other keys are left alone.
#[derive(Debug, Deserialize)]
struct UsageLine {
    #[serde(default)]
    provider: Option<String>,
    model: String,
    /// `responses`, `chat` or `messages`; without it the shape of the usage tells.
    #[serde(default)]
    api: Option<String>,
    /// The tier of service; without it the one within the usage.
    #[serde(default, alias = "service_tier")]
    tier: Option<String>,
    usage: Value,
}

/// Prices one line: tokens by class, and billionths of a dollar by class and in total.
///
/// # Errors
/// In words: what is wrong with the line, or what has no price.
pub fn price_line(book: &PriceBook, line: &str) -> Result<Value, String> {
    let line: UsageLine = serde_json::from_str(line).map_err(|error| format!("no usage line: {error}"))?;
    let api = line.api.as_deref().map(str::parse::<Api>).transpose()?;
    let own = book.provider(&line.model).map_err(|error| error.to_string())?;
    if let Some(provider) = &line.provider
        && provider != own
    {
        return Err(format!("\"{}\" is sold by {own} in the price list, not by {provider}", line.model));
    }
    let shape = api.unwrap_or_else(|| Api::of_shape(own, &line.usage));
    let priced = book.cost_of_raw(&line.model, Some(shape), line.tier.as_deref(), &line.usage);
    let (billed, cost) = priced.map_err(|error: LedgerError| error.to_string())?;
    let usage = &billed.usage;
    Ok(json!({
        "provider": own,
        "model": line.model,
        "api": shape.as_str(),
        "tier": billed.tier,
        "us_inference": billed.us_inference,
        "price_version": book.version(),
        "tokens": {
            "uncached_input": usage.uncached_input,
            "cache_read": usage.cache_read,
            "cache_write_5m": usage.cache_write_5m,
            "cache_write_1h": usage.cache_write_1h,
            "output": usage.output,
            "total": usage.total(),
        },
        "web_searches": billed.web_searches,
        "nano_usd": cost.to_json(),
        "booked_nano_usd": cost.total().rounded_up().0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> PriceBook {
        PriceBook::embedded().unwrap()
    }

    #[test]
    fn a_line_is_priced_by_class_and_a_fraction_of_a_billionth_is_kept() {
        let line = json!({"provider": "openai", "model": "gpt-5.2", "api": "chat", "tier": "flex", "usage": {
            "prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}, "completion_tokens": 1, "total_tokens": 4}});
        let priced = price_line(&book(), &line.to_string()).unwrap();
        // 2 × 875, 1 × 87.5, 1 × 7000.
        assert_eq!(
            priced["nano_usd"],
            json!({"uncached_input": 1750, "cache_read": 87.5, "cache_write_5m": 0, "cache_write_1h": 0, "output": 7000,
                "web_search": 0, "total": 8837.5})
        );
        assert_eq!((&priced["booked_nano_usd"], &priced["tier"]), (&json!(8838), &json!("flex")));
    }

    #[test]
    fn a_bad_line_says_what_is_wrong() {
        let refusal = |line: &str| price_line(&book(), line).unwrap_err();
        assert!(refusal("{").starts_with("no usage line"));
        assert!(refusal(r#"{"model": "gpt-9", "usage": {}}"#).contains("has no price"));
        assert!(refusal(r#"{"model": "gpt-5.2", "api": "fax", "usage": {}}"#).contains("\"fax\" is no API"));
        assert!(refusal(r#"{"model": "gpt-5.2", "provider": "anthropic", "usage": {}}"#).contains("sold by openai"));
        assert!(refusal(r#"{"model": "gpt-5.2", "usage": {"input_tokens": 1}}"#).contains("output_tokens"));
        assert!(refusal(r#"{"model": "gpt-5.2", "usage": null}"#).contains("no JSON object"));
    }
}

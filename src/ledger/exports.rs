//! Exports of providers' own usage and cost pages, as CSV (or tab-separated) and as the JSON of their admin APIs.
//!
//! OpenAI: `organization/usage/completions` and `organization/costs`, and the CSV of its usage page. Anthropic:
//! `organizations/usage_report/messages` and `…/cost_report`, and the CSV of its Console. All of them count by UTC day.

mod csv;
mod json;

use super::LedgerError;
use crate::store::Bill;

/// Reads an export, whichever it is.
///
/// # Errors
/// [`LedgerError::BadExport`] with the line, for a file that is none of these or holds something that is no figure.
pub fn read_export(text: &str) -> Result<Vec<Bill>, LedgerError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let bills = if text.starts_with(['{', '[']) { json::read(text) } else { csv::read(text) };
    Ok(merged(bills.map_err(LedgerError::BadExport)?))
}

/// Figures of the same day, model and tier added up: exports have a line for each key, project or user.
fn merged(bills: Vec<Bill>) -> Vec<Bill> {
    let mut sums: Vec<Bill> = Vec::new();
    for bill in bills {
        let same = |other: &&mut Bill| {
            (&other.provider, other.kind, &other.day, &other.model, &other.tier, other.us_inference)
                == (&bill.provider, bill.kind, &bill.day, &bill.model, &bill.tier, bill.us_inference)
        };
        match sums.iter_mut().find(same) {
            None => sums.push(bill),
            Some(sum) => {
                sum.requests += bill.requests;
                sum.uncached_input += bill.uncached_input;
                sum.cache_read += bill.cache_read;
                sum.cache_write_5m += bill.cache_write_5m;
                sum.cache_write_1h += bill.cache_write_1h;
                sum.output += bill.output;
                sum.web_searches += bill.web_searches;
                sum.amount = match (sum.amount, bill.amount) {
                    (Some(a), Some(b)) => Some(a.saturating_add(b)),
                    (a, b) => a.or(b),
                };
            }
        }
    }
    sums
}

/// A model's name as the price list has it: `Claude Opus 4.6` and `claude-opus-4-6-20260101` are `claude-opus-4-6`.
pub(super) fn model_name(name: &str) -> String {
    let mut plain = name.trim().to_lowercase().replace(' ', "-");
    if plain.starts_with("claude") {
        plain = plain.replace('.', "-");
    }
    let parts: Vec<&str> = plain.split('-').collect();
    let digits = |part: &&str, count| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
    let kept = match parts.as_slice() {
        [kept @ .., day] if digits(day, 8) => kept,
        [kept @ .., year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) => kept,
        all => all,
    };
    if kept.is_empty() { plain } else { kept.join("-") }
}

/// A tier's name; the list price has none.
fn tier_name(name: &str) -> String {
    match name.trim().to_lowercase().as_str() {
        "" | "standard" | "default" | "auto" | "message" => String::new(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::NanoUsd;
    use crate::store::BillKind;

    #[test]
    fn names_of_models_lose_their_date_and_their_looks() {
        for (given, expected) in [
            ("Claude Opus 4.6", "claude-opus-4-6"),
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("gpt-5.2-2025-12-11", "gpt-5.2"),
            ("gpt-5.2-pro", "gpt-5.2-pro"),
            ("20250929", "20250929"),
        ] {
            assert_eq!(model_name(given), expected);
        }
    }

    #[test]
    fn openais_usage_page_is_read_and_its_cached_tokens_are_a_part_of_its_input() {
        let text = "start_time\tend_time\tstart_time_iso\tmodel\tnum_model_requests\tbatch\tservice_tier\tinput_tokens\t\
                    output_tokens\tinput_cached_tokens\n\
                    1759622400\t1759708800\t2025-10-05T00:00:00+00:00\tgpt-5.2-2025-12-11\t10.0\tFALSE\tdefault\t59200.0\t\
                    10646.0\t5760.0\n\
                    1759622400\t1759708800\t2025-10-05T00:00:00+00:00\tgpt-5.2-2025-12-11\t1.0\tTRUE\tdefault\t100.0\t1.0\t0.0\n\
                    1759881600\t1759968000\t2025-10-08T00:00:00+00:00\t\t\t\t\t\t\t\n";
        let bills = read_export(text).unwrap();
        assert_eq!(bills.len(), 2, "{bills:?}");
        let bill = &bills[0];
        assert_eq!((bill.day.as_str(), bill.model.as_str(), bill.requests), ("2025-10-05", "gpt-5.2", 10));
        assert_eq!((bill.uncached_input, bill.cache_read, bill.output), (53_440, 5_760, 10_646));
        assert_eq!((bill.kind, bills[1].tier.as_str()), (BillKind::Usage, "batch"));
    }

    #[test]
    fn openais_costs_are_read_from_its_page_and_from_its_api() {
        let page = "start_time,end_time,start_time_iso,amount_value,amount_currency,line_item\n\
                    1759622400,1759708800,2025-10-05T00:00:00+00:00,0.8958740000000000,usd,\"gpt-5.2-2025-12-11, input\"\n\
                    1759622400,1759708800,2025-10-05T00:00:00+00:00,0.1,usd,\"gpt-5.2-2025-12-11, output\"\n";
        let api = r#"{"object": "page", "data": [{"object": "bucket", "start_time": 1759622400, "end_time": 1759708800,
            "results": [{"object": "organization.costs.result", "amount": {"value": 0.895874, "currency": "usd"},
                "line_item": "gpt-5.2-2025-12-11, input"},
                {"object": "organization.costs.result", "amount": {"value": 0.1, "currency": "usd"},
                "line_item": "gpt-5.2-2025-12-11, output"}]}]}"#;
        for text in [page, api] {
            let bills = read_export(text).unwrap();
            assert_eq!(bills.len(), 1);
            assert_eq!((bills[0].model.as_str(), bills[0].day.as_str()), ("gpt-5.2", "2025-10-05"));
            assert_eq!(bills[0].amount, Some(NanoUsd(995_874_000)));
        }
    }

    #[test]
    fn openais_usage_api_is_read() {
        let text = r#"{"object": "page", "data": [{"object": "bucket", "start_time": 1730419200, "end_time": 1730505600,
            "results": [{"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
            "input_cached_tokens": 800, "num_model_requests": 5, "model": "gpt-5.2", "batch": null,
            "service_tier": "flex"}]}], "has_more": false}"#;
        let bill = read_export(text).unwrap().remove(0);
        assert_eq!((bill.uncached_input, bill.cache_read, bill.output, bill.requests), (200, 800, 500, 5));
        assert_eq!((bill.day.as_str(), bill.tier.as_str()), ("2024-11-01", "flex"));
    }

    #[test]
    fn anthropics_console_exports_are_read() {
        let usage = "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
                     usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,\
                     usage_output_tokens,web_search_count,inference_geo,speed\n\
                     2026-11-20,claude-opus-4-6,\"key, one\",Default,standard,≤ 200k,46981,15969,7,80,16932,2,us,\n\
                     2026-11-20,claude-opus-4-6,key two,Default,standard,≤ 200k,19,31,0,0,68,0,us,\n";
        let bill = read_export(usage).unwrap().remove(0);
        assert_eq!((bill.uncached_input, bill.cache_write_5m, bill.cache_write_1h), (47_000, 16_000, 7));
        assert_eq!((bill.cache_read, bill.output, bill.web_searches, bill.us_inference), (80, 17_000, 2, true));
        let cost = "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,cost_type\n\
                    2026-11-20,Claude Opus 4.6,Default,k,message,≤ 200k,input_no_cache,0.19,token\n\
                    2026-11-20,Claude Opus 4.6,Default,k,message,≤ 200k,output,0.03,token\n";
        let bill = read_export(cost).unwrap().remove(0);
        assert_eq!((bill.model.as_str(), bill.amount), ("claude-opus-4-6", Some(NanoUsd(220_000_000))));
    }

    #[test]
    fn anthropics_admin_api_is_read_and_its_amounts_are_cents() {
        let usage = r#"{"data": [{"starting_at": "2026-11-20T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z", "results": [
            {"uncached_input_tokens": 1500, "cache_creation": {"ephemeral_1h_input_tokens": 1000,
            "ephemeral_5m_input_tokens": 500}, "cache_read_input_tokens": 200, "output_tokens": 500,
            "server_tool_use": {"web_search_requests": 10}, "model": "claude-opus-4-6", "service_tier": "standard",
            "inference_geo": "global"}]}], "has_more": false, "next_page": null}"#;
        let bill = read_export(usage).unwrap().remove(0);
        assert_eq!((bill.uncached_input, bill.cache_write_1h, bill.cache_write_5m), (1500, 1000, 500));
        assert_eq!((bill.provider.as_str(), bill.web_searches, bill.us_inference), ("anthropic", 10, false));
        let cost = r#"{"data": [{"starting_at": "2026-11-20T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z", "results": [
            {"currency": "USD", "amount": "123.45", "model": "claude-opus-4-6", "service_tier": "standard",
            "cost_type": "tokens"}]}]}"#;
        assert_eq!(read_export(cost).unwrap()[0].amount, Some(NanoUsd(1_234_500_000)));
    }

    #[test]
    fn what_is_no_export_is_refused_with_what_would_be_one() {
        for text in ["", "a,b\n1,2", "{}", "[1]", "{\"data\": [{\"results\": [{\"x\": 1}]}]}"] {
            let error = read_export(text).unwrap_err().to_string();
            assert!(error.contains("export"), "{text}: {error}");
        }
        let bad = "usage_date_utc,model,token_type,cost_usd\n2026-11-20,Claude Opus 4.6,output,many\n";
        assert!(read_export(bad).unwrap_err().to_string().contains("line 2: cost_usd is \"many\""));
    }
}

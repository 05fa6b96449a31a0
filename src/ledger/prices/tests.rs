//! What things cost, by hand to the billionth of a dollar.

use super::*;
use crate::llm::Usage;
use proptest::prelude::*;

fn book() -> PriceBook {
    PriceBook::embedded().unwrap()
}

/// A list with everything a list can hold; one model has prices for long inputs.
const FULL: &str = r#"
as_of = "2027-01-01"
fees.web_search_per_call = 0.01
[models.long]
provider = "mine"
aliases = ["long-2027"]
input = 3.0
cache_read = 0.3
output = 15.0
long_context = [
    { above_input = 200000, input = 6.0, cache_read = 0.6, output = 22.5 },
    { above_input = 500000, input = 8.0, output = 30.0 },
]
"#;

/// The nano-dollars of a raw usage object: uncached input, read, written 5 min, written 1 h, output, searches, in total.
fn priced(model: &str, api: Api, tier: Option<&str>, raw: Value) -> [String; 7] {
    let (_, cost) = book().cost_of_raw(model, Some(api), tier, &raw).unwrap();
    let Cost { uncached_input, cache_read, cache_write_5m, cache_write_1h, output, web_search } = cost;
    [uncached_input, cache_read, cache_write_5m, cache_write_1h, output, web_search, cost.total()]
        .map(|x| x.to_string())
}

#[test]
fn a_responses_call_by_hand() {
    // 60 uncached × 1750, 40 cached × 175, 30 output (20 of it reasoning) × 14000.
    let raw = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 20}, "total_tokens": 130});
    let by_hand = ["105000", "7000", "0", "0", "420000", "0", "532000"];
    assert_eq!(priced("gpt-5.2", Api::Responses, None, raw.clone()), by_hand);
    // Flex is half of it, and one cached token is 87.5 billionths.
    let odd = json!({"input_tokens": 1, "input_tokens_details": {"cached_tokens": 1}, "output_tokens": 0});
    assert_eq!(priced("gpt-5.2", Api::Responses, Some("flex"), odd)[1], "87.5");
    let half = ["52500", "3500", "0", "0", "210000", "0", "266000"];
    assert_eq!(priced("gpt-5.2", Api::Responses, Some("flex"), raw.clone()), half);
    assert_eq!(priced("gpt-5.2", Api::Responses, Some("batch"), raw.clone()), half);
    assert_eq!(priced("gpt-5.2", Api::Responses, Some("priority"), raw)[6], "1064000");
}

#[test]
fn a_pro_call_bills_its_cached_input_as_input() {
    // 100 × 21000 (10 of them cached, without a price of their own), 5 × 168000; batch is half.
    let raw = json!({"input_tokens": 100, "input_tokens_details": {"cached_tokens": 10}, "output_tokens": 5});
    let by_hand = ["1890000", "210000", "0", "0", "840000", "0", "2940000"];
    assert_eq!(priced("gpt-5.2-pro", Api::Responses, None, raw.clone()), by_hand);
    assert_eq!(priced("gpt-5.2-pro", Api::Responses, Some("batch"), raw.clone())[6], "1470000");
    let elsewhere = book().cost_of_raw("gpt-5.2-pro", Some(Api::Chat), None, &raw).unwrap_err().to_string();
    assert!(elsewhere.contains("responses only") && elsewhere.contains("add that to its \"api\""), "{elsewhere}");
}

#[test]
fn a_chat_call_by_hand() {
    // 20 × 1750, 80 × 175, 5 × 14000.
    let raw = json!({"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 80}, "completion_tokens": 5,
        "completion_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 105, "service_tier": "default"});
    assert_eq!(priced("gpt-5.2", Api::Chat, None, raw), ["35000", "14000", "0", "0", "70000", "0", "119000"]);
}

#[test]
fn a_messages_call_by_hand() {
    // 20 × 5000, 80 × 500, 30 × 6250, 40 × 10000, 7 × 25000, 2 searches at a cent.
    let raw = json!({"input_tokens": 20, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40}, "output_tokens": 7,
        "server_tool_use": {"web_search_requests": 2}, "service_tier": "standard"});
    let by_hand = ["100000", "40000", "187500", "400000", "175000", "20000000", "20902500"];
    assert_eq!(priced("claude-opus-4-6", Api::Messages, None, raw.clone()), by_hand);
    // Bound to the United States every token costs a tenth more, a search does not.
    let mut there = raw;
    there["inference_geo"] = json!("us");
    let by_hand = ["110000", "44000", "206250", "440000", "192500", "20000000", "20992750"];
    assert_eq!(priced("claude-opus-4-6", Api::Messages, None, there), by_hand);
}

#[test]
fn a_tier_or_a_place_without_a_price_is_refused_with_what_to_add() {
    let refusal = |model: &str, raw: Value| book().cost_of_raw(model, None, None, &raw).unwrap_err().to_string();
    let batch = refusal("claude-opus-4-6", json!({"input_tokens": 1, "output_tokens": 1, "service_tier": "batch"}));
    assert!(batch.contains("no price for the tier \"batch\"; add it under its \"tiers\""), "{batch}");
    let geo = json!({"input_tokens": 1, "output_tokens": 1, "inference_geo": "us"});
    assert!(refusal("claude-sonnet-4-5", geo).contains("add \"us_inference_multiplier\""));
    let unknown = refusal("gpt-9", json!({"input_tokens": 1, "output_tokens": 1}));
    assert!(unknown.contains("[models.\"gpt-9\"]") && unknown.contains("cost prices update FILE"), "{unknown}");
    let written = Billed::plain(Usage { cache_write_1h: 1, ..Usage::default() });
    let class = book().cost("gpt-5.2", None, &written).unwrap_err().to_string();
    assert!(class.contains("add \"cache_write_1h\""), "{class}");
    let long = Billed::plain(Usage { uncached_input: 100_000, cache_read: 172_001, ..Usage::default() });
    let beyond = book().cost("gpt-5.2", None, &long);
    assert!(matches!(beyond, Err(LedgerError::BeyondPrices { input: 272_001, .. })));
}

#[test]
fn a_long_input_has_its_own_rates_and_cached_tokens_count_towards_it() {
    let book = PriceBook::parse(FULL).unwrap();
    let cost = |uncached_input, cache_read| {
        let billed = Billed::plain(Usage { uncached_input, cache_read, output: 1000, ..Usage::default() });
        book.cost("long-2027", None, &billed).unwrap().total().rounded_up().0
    };
    assert_eq!(cost(100_000, 100_000), 100_000 * 3_000 + 100_000 * 300 + 1000 * 15_000);
    assert_eq!(cost(100_000, 100_001), 100_000 * 6_000 + 100_001 * 600 + 1000 * 22_500);
    assert_eq!(cost(500_000, 1), 500_001 * 8_000 + 1000 * 30_000);
    assert_eq!(book.most("long", None, 200_001, 1000).unwrap().0, 200_001 * 6_000 + 1000 * 22_500);
}

#[test]
fn the_embedded_list_is_the_published_one_and_json_of_its_shape_is_read_as_well() {
    let published = PriceBook::parse(include_str!("reference.json")).unwrap();
    assert!(published.changes_to(&book()).is_empty(), "{:?}", published.changes_to(&book()));
    assert_eq!(published.list.models.len(), 5);
    assert_eq!(published.to_json(), PriceBook::parse(&published.to_json()).unwrap().to_json());
    assert_eq!((published.version(), published.provider("gpt-5.2").unwrap()), ("2026-11-22", "openai"));
}

#[test]
fn an_unusable_list_says_what_is_wrong() {
    let refusal = |text: &str| PriceBook::parse(text).unwrap_err().to_string();
    let model = |line: &str| format!("as_of = \"x\"\n[models.m]\nprovider = \"p\"\ninput = 1.0\noutput = 1.0\n{line}");
    assert!(refusal("{").contains("cannot be used"));
    assert!(refusal(&model("input = 2.0")).contains("duplicate key"));
    assert!(refusal(&model("cache_reed = 1.0")).contains("did you mean \"cache_read\"?"));
    assert!(refusal(&model("cache_read = -1.0")).contains("price of -1 USD for cache_read"));
    assert!(refusal(&model("cache_read = 0.0000000001")).contains("more than nine decimals"));
    assert!(refusal(&model("api = [\"fax\"]")).contains("\"fax\" is no API"));
    assert!(refusal("as_of = \"x\"\n[models]").contains("no models"));
    assert!(
        refusal(&format!("{FULL}\n[models.\"long-2027\"]\nprovider=\"p\"\ninput=1\noutput=1")).contains("stands for")
    );
}

#[test]
fn a_newer_list_tells_what_it_changes() {
    let newer = include_str!("prices.toml")
        .replace("output = 168.0", "output = 120.0")
        .replace("[models.\"claude-sonnet-4-5\"]", "[models.\"claude-sonnet-5\"]");
    let changes = book().changes_to(&PriceBook::parse(&newer).unwrap());
    assert_eq!(
        changes,
        [
            "claude-sonnet-5 (new) input: none → $3",
            "gpt-5.2-pro output: $168 → $120",
            "claude-sonnet-4-5 (removed; its calls will be refused) input: $3 → none",
        ]
    );
    assert!(book().lines().iter().any(|line| line.starts_with("claude-opus-4-6") && line.contains("6.25")));
}

proptest! {
    /// What is held before a call covers whatever the call comes to within its estimate and limit.
    #[test]
    fn the_most_covers_every_split_of_the_input(
        tokens in prop::array::uniform4(0u64..10_000), output in 0u64..10_000, us_inference: bool
    ) {
        let [uncached_input, cache_read, cache_write_5m, cache_write_1h] = tokens;
        let usage = Usage { uncached_input, cache_read, cache_write_5m, cache_write_1h, output };
        let billed = Billed { us_inference, ..Billed::plain(usage) };
        let cost = book().cost("claude-opus-4-6", None, &billed).unwrap().total().rounded_up();
        prop_assert!(cost <= book().most("claude-opus-4-6", None, usage.input(), output).unwrap());
        // Exact: billionths per token are whole for this model.
        let by_hand = uncached_input * 5000 + cache_read * 500 + cache_write_5m * 6250 + cache_write_1h * 10_000 + output * 25_000;
        let by_hand = if us_inference { (by_hand * 11).div_ceil(10) } else { by_hand };
        prop_assert_eq!(u64::try_from(cost.0).unwrap(), by_hand);
    }
}

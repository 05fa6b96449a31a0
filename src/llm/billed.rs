//! What a provider's raw usage object says that is paid for: tokens by class, searches, the tier and where it ran.
//!
//! A row of money keeps the raw object; reading it here again gives the same cost on any later day.

use super::Usage;
use serde_json::Value;
use std::str::FromStr;

/// The API a call was made on: each has its own shape of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Chat Completions, and servers that speak it.
    Chat,
    /// Anthropic's Messages.
    Messages,
}

impl Api {
    /// The name in the price list and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Api::Responses => "responses",
            Api::Chat => "chat",
            Api::Messages => "messages",
        }
    }

    /// The API whose shape a usage object has, for those who were not told.
    pub fn of_shape(provider: &str, raw: &Value) -> Api {
        if raw.get("prompt_tokens").is_some() {
            Api::Chat
        } else if provider == "anthropic"
            || raw.get("cache_creation_input_tokens").is_some()
            || raw.get("cache_read_input_tokens").is_some()
        {
            Api::Messages
        } else {
            Api::Responses
        }
    }
}

impl FromStr for Api {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "responses" => Ok(Api::Responses),
            "chat" | "chat_completions" | "chat-completions" => Ok(Api::Chat),
            "messages" => Ok(Api::Messages),
            other => Err(format!("\"{other}\" is no API; known are responses, chat, messages")),
        }
    }
}

/// Everything in one usage object that has a price.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Billed {
    /// Tokens by class.
    pub usage: Usage,
    /// Web searches that the provider made.
    pub web_searches: u64,
    /// The tier that served the call, where the object says so.
    pub tier: Option<String>,
    /// Whether the call was bound to run in the United States, which costs more.
    pub us_inference: bool,
}

impl Billed {
    /// Tokens alone, at the list price.
    pub fn plain(usage: Usage) -> Self {
        Self { usage, ..Self::default() }
    }

    /// Reads the usage object of one answer.
    ///
    /// # Errors
    /// In words: what is missing, is no count, or contradicts itself. A usage that cannot be read is no usage of zero.
    pub fn read(api: Api, raw: &Value) -> Result<Self, String> {
        if !raw.is_object() {
            return Err("the usage is no JSON object".to_owned());
        }
        check_counts(api, raw)?;
        let usage = match api {
            Api::Responses => Usage::from_openai_responses(raw),
            Api::Chat => Usage::from_openai_chat(raw),
            Api::Messages => Usage::from_anthropic(raw),
        };
        let tier = match (raw["speed"].as_str(), raw["service_tier"].as_str()) {
            // Anthropic's fast mode has prices of its own, whatever the tier.
            (Some("fast"), _) => Some("fast".to_owned()),
            (_, tier) => tier.map(str::to_owned),
        };
        Ok(Self {
            usage: usage.ok_or_else(|| "the usage holds no counts of tokens".to_owned())?,
            web_searches: raw["server_tool_use"]["web_search_requests"].as_u64().unwrap_or(0),
            tier,
            us_inference: us_inference(&raw["inference_geo"])?,
        })
    }
}

/// Where it ran. A place without a known price is refused, not taken as the cheapest.
fn us_inference(place: &Value) -> Result<bool, String> {
    match place.as_str() {
        Some("us") => Ok(true),
        Some("global" | "not_available" | "") => Ok(false),
        None if place.is_null() => Ok(false),
        _ => Err(format!("inference_geo is {place}; known are \"global\" and \"us\"")),
    }
}

/// The fields of each API: those that must be there, and those that may be left out or null.
fn fields(api: Api) -> (&'static [&'static str], &'static [&'static str]) {
    match api {
        Api::Responses => (
            &["/input_tokens", "/output_tokens"],
            &["/total_tokens", "/input_tokens_details/cached_tokens", "/output_tokens_details/reasoning_tokens"],
        ),
        Api::Chat => (
            &["/prompt_tokens", "/completion_tokens"],
            &["/total_tokens", "/prompt_tokens_details/cached_tokens", "/completion_tokens_details/reasoning_tokens"],
        ),
        Api::Messages => (
            &["/input_tokens", "/output_tokens"],
            &[
                "/cache_read_input_tokens",
                "/cache_creation_input_tokens",
                "/cache_creation/ephemeral_5m_input_tokens",
                "/cache_creation/ephemeral_1h_input_tokens",
                "/server_tool_use/web_search_requests",
            ],
        ),
    }
}

fn check_counts(api: Api, raw: &Value) -> Result<(), String> {
    let (needed, optional) = fields(api);
    let name = |path: &str| path.trim_start_matches('/').replace('/', ".");
    for path in needed {
        if raw.pointer(path).and_then(Value::as_u64).is_none() {
            return Err(format!("{} must be a count of tokens on the {} API", name(path), api.as_str()));
        }
    }
    for path in optional {
        if let Some(value) = raw.pointer(path)
            && !value.is_null()
            && value.as_u64().is_none()
        {
            return Err(format!("{} is {value}, no count", name(path)));
        }
    }
    let count = |path: &str| raw.pointer(path).and_then(Value::as_u64);
    if let (Some(whole), Some(part)) = (count(needed[0]), count(optional[1]))
        && api != Api::Messages
        && part > whole
    {
        return Err(format!("{} is {part}, more than {} with {whole}", name(optional[1]), name(needed[0])));
    }
    Ok(())
}

/// The usage of an answer of OpenAI's APIs as it is kept in a row: with the tier that served it, which stands beside it.
pub(super) fn usage_with_tier(answer: &Value) -> Value {
    let mut usage = answer["usage"].clone();
    if let (Some(fields), Some(tier)) = (usage.as_object_mut(), answer["service_tier"].as_str()) {
        fields.entry("service_tier").or_insert_with(|| tier.into());
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn searches_tier_and_place_are_read_where_they_stand() {
        let raw = json!({
            "input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": null, "service_tier": "batch",
            "server_tool_use": {"web_search_requests": 3}, "inference_geo": "us",
        });
        let billed = Billed::read(Api::Messages, &raw).unwrap();
        assert_eq!((billed.web_searches, billed.tier.as_deref(), billed.us_inference), (3, Some("batch"), true));
        let fast = json!({"input_tokens": 1, "output_tokens": 1, "service_tier": "standard", "speed": "fast"});
        assert_eq!(Billed::read(Api::Messages, &fast).unwrap().tier.as_deref(), Some("fast"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_field() {
        let refusal = |api, raw: Value| Billed::read(api, &raw).unwrap_err();
        assert!(refusal(Api::Chat, json!({"input_tokens": 1})).contains("prompt_tokens"));
        assert!(refusal(Api::Responses, json!({"input_tokens": 1, "output_tokens": -2})).contains("output_tokens"));
        let cached = json!({"input_tokens": 5, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 9}});
        assert!(refusal(Api::Responses, cached).contains("cached_tokens is 9, more than input_tokens with 5"));
        let text = json!({"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": "7"});
        assert!(refusal(Api::Messages, text).contains("cache_read_input_tokens"));
        let place = json!({"input_tokens": 5, "output_tokens": 1, "inference_geo": "mars"});
        assert!(refusal(Api::Messages, place).contains("mars"));
    }

    #[test]
    fn the_shape_tells_the_api() {
        assert_eq!(Api::of_shape("openai", &json!({"prompt_tokens": 1})), Api::Chat);
        assert_eq!(Api::of_shape("openai", &json!({"input_tokens": 1})), Api::Responses);
        assert_eq!(Api::of_shape("anthropic", &json!({"input_tokens": 1})), Api::Messages);
    }

    #[test]
    fn the_tier_beside_openais_usage_is_kept_with_it() {
        let answer = json!({"service_tier": "flex", "usage": {"input_tokens": 1}});
        assert_eq!(usage_with_tier(&answer), json!({"input_tokens": 1, "service_tier": "flex"}));
        assert_eq!(usage_with_tier(&json!({"service_tier": "flex"})), Value::Null);
    }
}

//! Tokens in classes that do not overlap.
//!
//! Providers count differently: Anthropic's `input_tokens` leaves out what the cache read and wrote, OpenAI's includes
//! what the cache read. Mixing them bills tokens twice. Here every token is in exactly one class.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The tokens of one call. The sum of the classes is the provider's total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Input that no cache had.
    pub uncached_input: u64,
    /// Input read from the cache.
    pub cache_read: u64,
    /// Input written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Input written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Output, reasoning included.
    pub output: u64,
}

impl Usage {
    /// All input, cached or not.
    pub fn input(&self) -> u64 {
        self.uncached_input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
    }

    /// All tokens.
    pub fn total(&self) -> u64 {
        self.input().saturating_add(self.output)
    }

    /// From the `usage` of OpenAI's Chat Completions; none when it holds no counts.
    pub(super) fn from_openai_chat(raw: &Value) -> Option<Usage> {
        let cached = number(&raw["prompt_tokens_details"]["cached_tokens"]);
        openai(raw, number(&raw["prompt_tokens"])?, cached, number(&raw["completion_tokens"])?)
    }

    /// From the `usage` of OpenAI's Responses; none when it holds no counts.
    pub(super) fn from_openai_responses(raw: &Value) -> Option<Usage> {
        let cached = number(&raw["input_tokens_details"]["cached_tokens"]);
        openai(raw, number(&raw["input_tokens"])?, cached, number(&raw["output_tokens"])?)
    }

    /// From the `usage` of Anthropic's Messages; none when it holds no counts. Cache writes without a stated lifetime
    /// are of the default one, five minutes.
    pub(super) fn from_anthropic(raw: &Value) -> Option<Usage> {
        let cache_write_1h = number(&raw["cache_creation"]["ephemeral_1h_input_tokens"]).unwrap_or(0);
        let stated_5m = number(&raw["cache_creation"]["ephemeral_5m_input_tokens"]).unwrap_or(0);
        let written = number(&raw["cache_creation_input_tokens"]).unwrap_or(0);
        Some(Usage {
            uncached_input: number(&raw["input_tokens"])?,
            cache_read: number(&raw["cache_read_input_tokens"]).unwrap_or(0),
            cache_write_5m: stated_5m.max(written.saturating_sub(cache_write_1h)),
            cache_write_1h,
            output: number(&raw["output_tokens"])?,
        })
    }
}

/// OpenAI's way: the input includes what the cache read. Compatible servers sometimes count reasoning in the total only;
/// what the total has above input and output is output.
fn openai(raw: &Value, input: u64, cached: Option<u64>, output: u64) -> Option<Usage> {
    let cache_read = cached.unwrap_or(0).min(input);
    let above = number(&raw["total_tokens"]).unwrap_or(0).saturating_sub(input);
    Some(Usage { uncached_input: input - cache_read, cache_read, output: output.max(above), ..Usage::default() })
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn openai_counts_the_cache_within_its_input_and_anthropic_beside_it() {
        let openai =
            json!({"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 80}, "completion_tokens": 5});
        let usage = Usage::from_openai_chat(&openai).unwrap();
        assert_eq!((usage.uncached_input, usage.cache_read, usage.input()), (20, 80, 100));
        let anthropic = json!({"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 5});
        assert_eq!(Usage::from_anthropic(&anthropic).unwrap(), usage);
    }

    #[test]
    fn cache_writes_are_told_apart_by_their_lifetime() {
        let both = json!({
            "input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 70,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
        });
        let usage = Usage::from_anthropic(&both).unwrap();
        assert_eq!((usage.cache_write_5m, usage.cache_write_1h, usage.total()), (30, 40, 73));
        let unstated = json!({"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 70});
        assert_eq!(Usage::from_anthropic(&unstated).unwrap().cache_write_5m, 70);
    }

    #[test]
    fn reasoning_that_is_only_in_the_total_is_output() {
        let raw = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45});
        assert_eq!(Usage::from_openai_chat(&raw).unwrap().output, 35);
    }

    #[test]
    fn no_counts_are_no_usage() {
        for raw in [json!(null), json!({}), json!({"prompt_tokens": -1, "completion_tokens": 2})] {
            assert_eq!(Usage::from_openai_chat(&raw), None);
            assert_eq!(Usage::from_openai_responses(&raw), None);
            assert_eq!(Usage::from_anthropic(&raw), None);
        }
    }

    proptest! {
        /// The sum of the classes is the provider's total, so no token is billed twice or not at all.
        #[test]
        fn classes_sum_to_the_providers_total(input in 0u64..1_000_000, share in 0u64..=100, output in 0u64..100_000,
            read in 0u64..1_000_000, five in 0u64..1_000_000, hour in 0u64..1_000_000) {
            let cached = input * share / 100;
            let total = input + output;
            let chat = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": total,
                "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": output / 2}});
            prop_assert_eq!(Usage::from_openai_chat(&chat).unwrap().total(), total);
            let responses = json!({"input_tokens": input, "output_tokens": output, "total_tokens": total,
                "input_tokens_details": {"cached_tokens": cached}, "output_tokens_details": {"reasoning_tokens": output / 2}});
            prop_assert_eq!(Usage::from_openai_responses(&responses).unwrap().total(), total);
            let anthropic = json!({"input_tokens": input, "cache_read_input_tokens": read, "output_tokens": output,
                "cache_creation_input_tokens": five + hour,
                "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}});
            prop_assert_eq!(Usage::from_anthropic(&anthropic).unwrap().total(), input + read + five + hour + output);
        }
    }
}

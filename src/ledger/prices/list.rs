//! A price list as people write it, in TOML or JSON, and what makes one unusable.

use super::exact::ONE;
use crate::base::NanoUsd;
use crate::ledger::LedgerError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A price of a million dollars per million tokens is a mistake in the unit.
const MOST_USD: f64 = 1e6;
/// Keys of a model; one that is unknown and near to these is a slip.
const MODEL_KEYS: [&str; 17] = [
    "provider",
    "api",
    "aliases",
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "max_input",
    "max_output",
    "us_inference_multiplier",
    "tiers",
    "long_context",
    "min_cacheable_tokens",
    "deprecated_on",
    "above_input",
    "fees",
];

/// A dated list of prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PriceList {
    /// Its date.
    pub as_of: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    #[serde(default)]
    pub fees: Fees,
    pub models: BTreeMap<String, ModelPrice>,
}

/// Prices of things that are no tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fees {
    /// US dollars for one web search that the provider makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_search_per_call: Option<f64>,
}

/// One model's prices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ModelPrice {
    pub provider: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_input: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_cacheable_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated_on: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub us_inference_multiplier: Option<f64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, Rates>,
    #[serde(flatten)]
    pub standard: Rates,
}

/// US dollars per million tokens, by class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rates {
    pub input: f64,
    pub output: f64,
    /// None: cached input costs what input costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<f64>,
    /// Other rates for long inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub long_context: Vec<LongContext>,
    /// Keys this version does not know.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// The rates of a call with more than so many input tokens, cached ones included. All its tokens cost these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LongContext {
    pub above_input: u64,
    pub input: f64,
    pub output: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<f64>,
}

impl PriceList {
    /// Reads a list, as JSON when it begins like JSON and as TOML else.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let bad = |what: String| LedgerError::BadPrices(what);
        let list: PriceList = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| bad(error.to_string()))?
        } else {
            toml::from_str(text).map_err(|error| bad(error.to_string().trim().to_owned()))?
        };
        list.check().map_err(bad)?;
        Ok(list)
    }

    /// The list as JSON, always in the same order: what the store keeps.
    pub fn to_json(&self) -> String {
        // Maps with text keys and finite numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn check(&self) -> Result<(), String> {
        if self.as_of.trim().is_empty() {
            return Err("as_of is empty; give the date of the list".to_owned());
        }
        if self.models.is_empty() {
            return Err("it holds no models".to_owned());
        }
        if let Some(fee) = self.fees.web_search_per_call {
            price("fees", "web_search_per_call", fee)?;
        }
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, model) in &self.models {
            model.check(name)?;
            for alias in model.aliases.iter().chain([name]) {
                if let Some(other) = names.insert(alias, name) {
                    return Err(format!("\"{alias}\" stands for \"{other}\" and for \"{name}\""));
                }
            }
        }
        Ok(())
    }
}

impl ModelPrice {
    fn check(&self, name: &str) -> Result<(), String> {
        if self.provider.trim().is_empty() {
            return Err(format!("\"{name}\" has no provider"));
        }
        for api in &self.api {
            api.parse::<crate::llm::Api>().map_err(|error| format!("\"{name}\": {error}"))?;
        }
        if let Some(multiplier) = self.us_inference_multiplier
            && !((0.1..=100.0).contains(&multiplier) && is_whole(multiplier * ONE as f64))
        {
            return Err(format!("\"{name}\" has a us_inference_multiplier of {multiplier}"));
        }
        for (tier, rates) in &self.tiers {
            rates.check(&format!("{name}, tier {tier}"))?;
        }
        self.standard.check(name)
    }
}

impl Rates {
    fn check(&self, name: &str) -> Result<(), String> {
        for key in self.other.keys() {
            if let Some(near) = MODEL_KEYS.iter().find(|known| strsim::damerau_levenshtein(known, key) <= 2) {
                return Err(format!("\"{name}\" has an unknown key \"{key}\"; did you mean \"{near}\"?"));
            }
        }
        let optional = [
            ("cache_read", self.cache_read),
            ("cache_write_5m", self.cache_write_5m),
            ("cache_write_1h", self.cache_write_1h),
        ];
        price(name, "input", self.input)?;
        price(name, "output", self.output)?;
        for (class, rate) in optional {
            rate.map_or(Ok(()), |rate| price(name, class, rate))?;
        }
        for step in &self.long_context {
            if step.above_input == 0 {
                return Err(format!("\"{name}\" has a long_context above 0 tokens: those are its ordinary rates"));
            }
            step.rates().check(&format!("{name}, above {} input tokens", step.above_input))?;
        }
        Ok(())
    }

    /// The rates of a call with so many input tokens.
    pub fn of_input(&self, input: u64) -> Rates {
        let step = self.long_context.iter().filter(|step| input > step.above_input).max_by_key(|step| step.above_input);
        step.map_or_else(|| self.clone(), LongContext::rates)
    }
}

impl LongContext {
    fn rates(&self) -> Rates {
        Rates {
            input: self.input,
            output: self.output,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            long_context: Vec::new(),
            other: BTreeMap::new(),
        }
    }
}

/// Checks that a price is one, and has no more decimals than are kept.
fn price(name: &str, class: &str, usd: f64) -> Result<(), String> {
    if !(0.0..MOST_USD).contains(&usd) {
        return Err(format!("\"{name}\" has a price of {usd} USD for {class}"));
    }
    if !is_whole(usd * 1e9) {
        return Err(format!("\"{name}\": the price {usd} for {class} has more than nine decimals"));
    }
    Ok(())
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() <= 1e-6 * value.abs().max(1.0)
}

/// A price in dollars as whole billionths; [`PriceList::parse`] saw to it that it is one.
pub(super) fn nano(usd: f64) -> NanoUsd {
    NanoUsd::from_usd(usd)
}

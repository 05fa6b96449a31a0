//! The price book: dated list prices, as data.
//!
//! Prices are kept as whole billionths of a dollar per million tokens and multiplied out without rounding; a call's cost
//! is rounded up once, to the next billionth, when it is booked.

mod difference;
mod exact;
mod list;

pub use difference::RATE_HEAD;
pub use exact::Exact;

use super::LedgerError;
use crate::base::NanoUsd;
use crate::llm::{Api, Billed};
use exact::ONE;
use list::{ModelPrice, PriceList, Rates, nano};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The list prices this version was built with.
const EMBEDDED: &str = include_str!("prices.toml");

/// Names for the tier without a price of its own.
const STANDARD_TIERS: [&str; 3] = ["standard", "default", "auto"];

/// What models cost.
#[derive(Debug, Clone)]
pub struct PriceBook {
    version: String,
    list: PriceList,
    /// Every name and alias with the name in the list.
    names: BTreeMap<String, String>,
}

/// What one call cost, class by class. The classes do not overlap; their sum is the cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Input that no cache had.
    pub uncached_input: Exact,
    /// Input read from the cache.
    pub cache_read: Exact,
    /// Input written to the cache for five minutes.
    pub cache_write_5m: Exact,
    /// Input written to the cache for an hour.
    pub cache_write_1h: Exact,
    /// Output, reasoning included.
    pub output: Exact,
    /// Searches.
    pub web_search: Exact,
}

impl Cost {
    /// All classes together.
    pub fn total(&self) -> Exact {
        let Cost { uncached_input, cache_read, cache_write_5m, cache_write_1h, output, web_search } = *self;
        [uncached_input, cache_read, cache_write_5m, cache_write_1h, output, web_search].into_iter().sum()
    }

    /// Billionths of a dollar by class, and in total.
    pub fn to_json(&self) -> Value {
        json!({
            "uncached_input": self.uncached_input.nano_json(),
            "cache_read": self.cache_read.nano_json(),
            "cache_write_5m": self.cache_write_5m.nano_json(),
            "cache_write_1h": self.cache_write_1h.nano_json(),
            "output": self.output.nano_json(),
            "web_search": self.web_search.nano_json(),
            "total": self.total().nano_json(),
        })
    }
}

impl PriceBook {
    /// The prices this version was built with.
    ///
    /// # Errors
    /// [`LedgerError::BadPrices`]; a test holds that there is none.
    pub fn embedded() -> Result<Self, LedgerError> {
        Self::parse(EMBEDDED)
    }

    /// Prices from a list in TOML, or in JSON of the same shape: `{"as_of": "2026-11-22", "models": {"name": {"provider":
    /// …, "input": …, "output": …}}}` with prices in US dollars per million tokens.
    ///
    /// # Errors
    /// [`LedgerError::BadPrices`] for a list that is not of this shape or holds a price that is none.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let list = PriceList::parse(text)?;
        let names = list
            .models
            .iter()
            .flat_map(|(name, model)| model.aliases.iter().chain([name]).map(|alias| (alias.clone(), name.clone())))
            .collect();
        Ok(Self { version: list.as_of.clone(), list, names })
    }

    /// This book with the models of another list added to it, or put in the place of those with the same name.
    ///
    /// # Errors
    /// As [`PriceBook::parse`].
    pub fn extended_with(mut self, text: &str) -> Result<Self, LedgerError> {
        let other = Self::parse(text)?;
        self.list.models.extend(other.list.models);
        self.list.as_of = format!("{}+{}", self.list.as_of, other.list.as_of);
        Self::parse(&self.list.to_json())
    }

    /// This book under the name that the store gave it.
    pub fn named(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// The list as JSON: what the store keeps of a version.
    pub fn to_json(&self) -> String {
        self.list.to_json()
    }

    /// The date of the list, which every row of the ledger keeps; with a number behind it where lists share a date.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The date of the list.
    pub fn as_of(&self) -> &str {
        &self.list.as_of
    }

    /// Whom a model is paid to.
    ///
    /// # Errors
    /// [`LedgerError::UnknownModel`].
    pub fn provider(&self, model: &str) -> Result<&str, LedgerError> {
        Ok(&self.model(model)?.provider)
    }

    /// What a call cost, class by class. `tier` is the provider's tier of service; none, `default`, `auto` and
    /// `standard` are the list price.
    ///
    /// # Errors
    /// [`LedgerError::UnknownModel`], [`LedgerError::UnknownTier`], [`LedgerError::NoPrice`] or
    /// [`LedgerError::BeyondPrices`]: a cost that is not known is no cost of zero.
    pub fn cost(&self, model: &str, tier: Option<&str>, billed: &Billed) -> Result<Cost, LedgerError> {
        let input = billed.usage.input();
        self.model(model)?.check_input(model, input)?;
        self.multiplied(model, &self.rates(model, tier)?.of_input(input), billed)
    }

    /// What all calls of a day cost together, at the rates of ordinary inputs.
    ///
    /// # Errors
    /// As [`PriceBook::cost`].
    pub fn cost_of_day(&self, model: &str, tier: Option<&str>, billed: &Billed) -> Result<Cost, LedgerError> {
        self.multiplied(model, &self.rates(model, tier)?.of_input(0), billed)
    }

    fn multiplied(&self, model: &str, rates: &Rates, billed: &Billed) -> Result<Cost, LedgerError> {
        let price = self.model(model)?;
        let usage = &billed.usage;
        let multiplier = if billed.us_inference { price.us_multiplier(model)? } else { ONE };
        let at = |tokens, usd: f64| Exact::tokens(tokens, nano(usd), multiplier);
        let write = |tokens, rate: Option<f64>, class| match rate {
            Some(rate) => Ok(at(tokens, rate)),
            None if tokens == 0 => Ok(Exact::default()),
            None => Err(LedgerError::NoPrice { model: model.to_owned(), class }),
        };
        let web_search = match self.list.fees.web_search_per_call {
            Some(fee) => Exact::each(billed.web_searches, nano(fee)),
            None if billed.web_searches == 0 => Exact::default(),
            None => return Err(LedgerError::NoFee { fee: "web_search_per_call" }),
        };
        Ok(Cost {
            uncached_input: at(usage.uncached_input, rates.input),
            cache_read: at(usage.cache_read, rates.cache_read.unwrap_or(rates.input)),
            cache_write_5m: write(usage.cache_write_5m, rates.cache_write_5m, "cache_write_5m")?,
            cache_write_1h: write(usage.cache_write_1h, rates.cache_write_1h, "cache_write_1h")?,
            output: at(usage.output, rates.output),
            web_search,
        })
    }

    /// What a raw usage object of a model cost. A tier that is given goes before the one within the object.
    ///
    /// # Errors
    /// As [`PriceBook::cost`], and [`LedgerError::BadUsage`] for an object that cannot be read.
    pub fn cost_of_raw(
        &self,
        model: &str,
        api: Option<Api>,
        tier: Option<&str>,
        raw: &Value,
    ) -> Result<(Billed, Cost), LedgerError> {
        let price = self.model(model)?;
        let api = api.unwrap_or_else(|| Api::of_shape(&price.provider, raw));
        price.check_api(model, api)?;
        let mut billed = Billed::read(api, raw).map_err(LedgerError::BadUsage)?;
        if let Some(tier) = tier {
            billed.tier = Some(tier.to_owned());
        }
        let cost = self.cost(model, billed.tier.as_deref(), &billed)?;
        Ok((billed, cost))
    }

    /// What a call can cost at most: all its input in the dearest class, all its output used, wherever it runs.
    ///
    /// # Errors
    /// As [`PriceBook::cost`].
    pub fn most(&self, model: &str, tier: Option<&str>, input: u64, output: u64) -> Result<NanoUsd, LedgerError> {
        let price = self.model(model)?;
        price.check_input(model, input)?;
        let rates = self.rates(model, tier)?.of_input(input);
        let dearest = [rates.cache_read, rates.cache_write_5m, rates.cache_write_1h]
            .into_iter()
            .flatten()
            .fold(rates.input, f64::max);
        let multiplier = price.us_multiplier(model).unwrap_or(ONE).max(ONE);
        let input = Exact::tokens(input, nano(dearest), multiplier);
        Ok((input + Exact::tokens(output, nano(rates.output), multiplier)).rounded_up())
    }

    fn model(&self, model: &str) -> Result<&ModelPrice, LedgerError> {
        let found = self.names.get(model).and_then(|name| self.list.models.get(name));
        found.ok_or_else(|| LedgerError::UnknownModel {
            model: model.to_owned(),
            known: self.list.models.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    fn rates(&self, model: &str, tier: Option<&str>) -> Result<&Rates, LedgerError> {
        let price = self.model(model)?;
        match tier {
            None => Ok(&price.standard),
            Some(tier) => match price.tiers.get(tier) {
                Some(rates) => Ok(rates),
                None if STANDARD_TIERS.contains(&tier) => Ok(&price.standard),
                None => Err(LedgerError::UnknownTier {
                    model: model.to_owned(),
                    tier: tier.to_owned(),
                    known: STANDARD_TIERS
                        .into_iter()
                        .chain(price.tiers.keys().map(String::as_str))
                        .collect::<Vec<_>>()
                        .join(", "),
                }),
            },
        }
    }
}

impl ModelPrice {
    /// Longer inputs may have other prices; which ones, the list does not say. Cached input counts.
    fn check_input(&self, model: &str, input: u64) -> Result<(), LedgerError> {
        match self.max_input {
            Some(max_input) if input > max_input => {
                Err(LedgerError::BeyondPrices { model: model.to_owned(), input, max_input })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_api(&self, model: &str, api: Api) -> Result<(), LedgerError> {
        let parsed = |name: &String| name.parse::<Api>() == Ok(api);
        if self.api.is_empty() || self.api.iter().any(parsed) {
            return Ok(());
        }
        Err(LedgerError::NoApi { model: model.to_owned(), api: api.as_str(), known: self.api.join(", ") })
    }

    /// What a token costs more when the call is bound to the United States, in millionths.
    fn us_multiplier(&self, model: &str) -> Result<u64, LedgerError> {
        match self.us_inference_multiplier {
            Some(multiplier) => Ok((multiplier * ONE as f64).round() as u64),
            None => Err(LedgerError::NoPrice { model: model.to_owned(), class: "us_inference_multiplier" }),
        }
    }
}

#[cfg(test)]
mod tests;

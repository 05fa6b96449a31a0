//! The price book: dated list prices, as data.
//!
//! Prices are kept as whole billionths of a dollar per million tokens, so sums are exact; a call's cost is rounded up
//! once, to the next billionth.

use super::LedgerError;
use crate::base::NanoUsd;
use crate::llm::Usage;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The list prices this version was built with.
const EMBEDDED: &str = include_str!("prices.json");

/// Names for the tier without a price of its own.
const STANDARD_TIERS: [&str; 3] = ["standard", "default", "auto"];

/// What models cost.
#[derive(Debug, Clone)]
pub struct PriceBook {
    version: String,
    models: BTreeMap<String, ModelPrice>,
}

#[derive(Debug, Deserialize)]
struct PriceList {
    as_of: String,
    models: BTreeMap<String, ModelPrice>,
}

/// One model's prices. Other facts about it that the list holds are not the ledger's.
#[derive(Debug, Clone, Deserialize)]
struct ModelPrice {
    provider: String,
    #[serde(flatten)]
    standard: Rates,
    /// The longest input, in tokens, that these prices hold for.
    max_input: Option<u64>,
    #[serde(default)]
    tiers: BTreeMap<String, Rates>,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Deserialize)]
struct Rates {
    input: f64,
    output: f64,
    /// None: cached input costs what input costs.
    cache_read: Option<f64>,
    cache_write_5m: Option<f64>,
    cache_write_1h: Option<f64>,
}

impl PriceBook {
    /// The prices this version was built with.
    ///
    /// # Errors
    /// [`LedgerError::BadPrices`]; a test holds that there is none.
    pub fn embedded() -> Result<Self, LedgerError> {
        Self::from_json(EMBEDDED)
    }

    /// Prices from a list: `{"as_of": "2026-11-22", "models": {"name": {"provider": …, "input": …, "output": …}}}` with
    /// prices in US dollars per million tokens.
    ///
    /// # Errors
    /// [`LedgerError::BadPrices`] for a list that is no JSON of this shape or holds a price below zero.
    pub fn from_json(text: &str) -> Result<Self, LedgerError> {
        let list: PriceList = serde_json::from_str(text).map_err(|error| LedgerError::BadPrices(error.to_string()))?;
        for (name, model) in &list.models {
            for rates in model.tiers.values().chain([&model.standard]) {
                rates.check(name)?;
            }
        }
        Ok(Self { version: list.as_of, models: list.models })
    }

    /// This book with the models of another list added to it, or put in the place of those with the same name.
    ///
    /// # Errors
    /// As [`PriceBook::from_json`].
    pub fn extended_with(mut self, text: &str) -> Result<Self, LedgerError> {
        let other = Self::from_json(text)?;
        self.models.extend(other.models);
        self.version = format!("{}+{}", self.version, other.version);
        Ok(self)
    }

    /// The date of the list, which every row of the ledger keeps.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whom a model is paid to.
    ///
    /// # Errors
    /// [`LedgerError::UnknownModel`].
    pub fn provider(&self, model: &str) -> Result<&str, LedgerError> {
        Ok(&self.model(model)?.provider)
    }

    /// What a call cost. `tier` is the provider's tier of service; none and `default` are the list price.
    ///
    /// # Errors
    /// [`LedgerError::UnknownModel`], [`LedgerError::UnknownTier`], [`LedgerError::NoPrice`] or
    /// [`LedgerError::BeyondPrices`]: a cost that is not known is no cost of zero.
    pub fn cost(&self, model: &str, tier: Option<&str>, usage: &Usage) -> Result<NanoUsd, LedgerError> {
        let price = self.model(model)?;
        let rates = self.rates(model, tier)?;
        price.check_input(model, usage.input())?;
        let write = |tokens, rate: Option<f64>, class| match rate {
            Some(rate) => Ok(per_million(tokens, rate)),
            None if tokens == 0 => Ok(0),
            None => Err(LedgerError::NoPrice { model: model.to_owned(), class }),
        };
        let total = per_million(usage.uncached_input, rates.input)
            .saturating_add(per_million(usage.cache_read, rates.cache_read.unwrap_or(rates.input)))
            .saturating_add(write(usage.cache_write_5m, rates.cache_write_5m, "cache_write_5m")?)
            .saturating_add(write(usage.cache_write_1h, rates.cache_write_1h, "cache_write_1h")?)
            .saturating_add(per_million(usage.output, rates.output));
        Ok(rounded_up(total))
    }

    /// What a call can cost at most: all its input in the dearest class, all its output used.
    ///
    /// # Errors
    /// As [`PriceBook::cost`].
    pub fn most(&self, model: &str, tier: Option<&str>, input: u64, output: u64) -> Result<NanoUsd, LedgerError> {
        let rates = self.rates(model, tier)?;
        self.model(model)?.check_input(model, input)?;
        let dearest = [rates.cache_read, rates.cache_write_5m, rates.cache_write_1h]
            .into_iter()
            .flatten()
            .fold(rates.input, f64::max);
        Ok(rounded_up(per_million(input, dearest).saturating_add(per_million(output, rates.output))))
    }

    fn model(&self, model: &str) -> Result<&ModelPrice, LedgerError> {
        self.models.get(model).ok_or_else(|| LedgerError::UnknownModel {
            model: model.to_owned(),
            known: self.models.keys().cloned().collect::<Vec<_>>().join(", "),
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
}

impl Rates {
    fn check(&self, model: &str) -> Result<(), LedgerError> {
        let optional = [self.cache_read, self.cache_write_5m, self.cache_write_1h];
        let bad = [self.input, self.output].into_iter().chain(optional.into_iter().flatten()).find(|rate| {
            // A million dollars per million tokens is a mistake in the unit.
            !(0.0..1e6).contains(rate)
        });
        match bad {
            Some(rate) => {
                Err(LedgerError::BadPrices(format!("\"{model}\" has a price of {rate} USD per million tokens")))
            }
            None => Ok(()),
        }
    }
}

/// Billionths of a dollar times a million.
fn per_million(tokens: u64, usd_per_million: f64) -> i128 {
    i128::from(tokens) * i128::from(NanoUsd::from_usd(usd_per_million).0)
}

fn rounded_up(total: i128) -> NanoUsd {
    NanoUsd(i64::try_from((total + 999_999) / 1_000_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLION: u64 = 1_000_000;

    fn book() -> PriceBook {
        PriceBook::embedded().unwrap()
    }

    fn usd(model: &str, usage: Usage) -> f64 {
        book().cost(model, None, &usage).unwrap().as_usd()
    }

    #[test]
    fn a_hundred_thousand_tokens_of_each_class_cost_a_tenth_of_the_list_price() {
        let n = MILLION / 10;
        assert_eq!(usd("gpt-5.2", Usage { uncached_input: n, ..Usage::default() }), 0.175);
        assert_eq!(usd("gpt-5.2", Usage { cache_read: n, ..Usage::default() }), 0.0175);
        assert_eq!(usd("gpt-5.2", Usage { output: n, ..Usage::default() }), 1.4);
        let input = usd("claude-opus-4-6", Usage { uncached_input: n, ..Usage::default() });
        let five_minutes = usd("claude-opus-4-6", Usage { cache_write_5m: n, ..Usage::default() });
        let an_hour = usd("claude-opus-4-6", Usage { cache_write_1h: n, ..Usage::default() });
        assert_eq!((five_minutes, an_hour), (1.25 * input, 2.0 * input));
    }

    #[test]
    fn cached_input_without_a_price_of_its_own_costs_what_input_costs() {
        let cached = usd("gpt-5.2-pro", Usage { cache_read: 1000, ..Usage::default() });
        assert_eq!(cached, usd("gpt-5.2-pro", Usage { uncached_input: 1000, ..Usage::default() }));
    }

    #[test]
    fn tiers_have_their_own_prices_and_unknown_ones_are_refused() {
        let usage = Usage { uncached_input: 1000, output: 1000, ..Usage::default() };
        let cost = |tier| book().cost("gpt-5.2", tier, &usage);
        let (list, flex, priority) =
            (cost(None).unwrap(), cost(Some("flex")).unwrap(), cost(Some("priority")).unwrap());
        assert_eq!((flex + flex, list + list), (list, priority));
        assert_eq!(cost(Some("default")).unwrap(), list);
        let error = cost(Some("warp")).unwrap_err().to_string();
        assert!(error.contains("\"warp\"") && error.contains("batch, flex, priority"), "{error}");
    }

    #[test]
    fn what_has_no_price_is_refused_with_what_to_add() {
        let unknown = book().cost("gpt-9", None, &Usage::default()).unwrap_err().to_string();
        assert!(unknown.contains("add it to the price list: {\"models\": {\"gpt-9\": {"), "{unknown}");
        let written = Usage { cache_write_1h: 1, ..Usage::default() };
        let class = book().cost("gpt-5.2", None, &written).unwrap_err().to_string();
        assert!(class.contains("add \"cache_write_1h\""), "{class}");
        let long = Usage { uncached_input: 100_000, cache_read: 172_001, ..Usage::default() };
        assert!(matches!(book().cost("gpt-5.2", None, &long), Err(LedgerError::BeyondPrices { input: 272_001, .. })));
    }

    #[test]
    fn a_book_can_be_extended_and_keeps_both_dates() {
        let more = r#"{"as_of": "2026-12-01", "models": {"local": {"provider": "mine", "input": 0.0, "output": 0.0}}}"#;
        let book = book().extended_with(more).unwrap();
        assert_eq!(book.cost("local", None, &Usage { output: 9, ..Usage::default() }).unwrap(), NanoUsd::ZERO);
        assert_eq!((book.version(), book.provider("local").unwrap()), ("2026-11-22+2026-12-01", "mine"));
        for bad in ["{", r#"{"as_of": "x", "models": {"m": {"provider": "p", "input": -1.0, "output": 1.0}}}"#] {
            assert!(matches!(PriceBook::from_json(bad), Err(LedgerError::BadPrices(_))));
        }
    }

    proptest! {
        /// What is held before a call covers whatever the call comes to within its estimate and limit.
        #[test]
        fn the_most_covers_every_split_of_the_input(tokens in prop::array::uniform4(0u64..10_000), output in 0u64..10_000) {
            let [uncached_input, cache_read, cache_write_5m, cache_write_1h] = tokens;
            let usage = Usage { uncached_input, cache_read, cache_write_5m, cache_write_1h, output };
            let book = book();
            let cost = book.cost("claude-opus-4-6", None, &usage).unwrap();
            prop_assert!(cost <= book.most("claude-opus-4-6", None, usage.input(), output).unwrap());
            // Exact: billionths per token are whole for this model.
            let by_hand = uncached_input * 5000 + cache_read * 500 + cache_write_5m * 6250 + cache_write_1h * 10_000 + output * 25_000;
            prop_assert_eq!(u64::try_from(cost.0).unwrap(), by_hand);
        }
    }
}

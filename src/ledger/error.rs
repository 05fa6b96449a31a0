//! What can go wrong in the ledger.

use crate::store::StoreError;

/// Why a cost is not known, or a row not written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The model is in no price list.
    #[error(
        "the model \"{model}\" has no price, and nothing is called at an unknown price; add it to a price list, \
         [models.\"{model}\"] provider = \"…\" input = <USD per million tokens> output = <USD per million tokens>, and \
         install it with `ralphton cost prices update FILE`; known are {known}"
    )]
    UnknownModel {
        /// The model asked for.
        model: String,
        /// The models with a price.
        known: String,
    },
    /// The model has no price for this tier of service.
    #[error(
        "\"{model}\" has no price for the tier \"{tier}\"; add it under its \"tiers\" in the price list; known are {known}"
    )]
    UnknownTier {
        /// The model.
        model: String,
        /// The tier asked for.
        tier: String,
        /// The tiers with a price.
        known: String,
    },
    /// The model has no price for this class of tokens, or no multiplier for where it ran.
    #[error("\"{model}\" has no {class} in the price list; add \"{class}\" to it")]
    NoPrice {
        /// The model.
        model: String,
        /// The class, as the price list names it.
        class: &'static str,
    },
    /// The input is longer than the prices hold for.
    #[error("the prices of \"{model}\" hold up to {max_input} input tokens, this call has {input}")]
    BeyondPrices {
        /// The model.
        model: String,
        /// Its input tokens, cached ones included.
        input: u64,
        /// The longest input with a known price.
        max_input: u64,
    },
    /// The model has prices for other APIs only.
    #[error(
        "\"{model}\" has prices on {known} only; if it is sold on {api}, add that to its \"api\" in the price list"
    )]
    NoApi {
        /// The model.
        model: String,
        /// The API asked for.
        api: &'static str,
        /// The APIs in the list.
        known: String,
    },
    /// Something besides tokens has no price.
    #[error("there is no price for this; add \"{fee}\" under \"fees\" in the price list")]
    NoFee {
        /// As the price list names it.
        fee: &'static str,
    },
    /// A provider's usage object cannot be read.
    #[error("the usage cannot be read: {0}")]
    BadUsage(String),
    /// A price list cannot be used.
    #[error("the price list cannot be used: {0}")]
    BadPrices(String),
    /// A provider's export cannot be read.
    #[error("{0}")]
    BadExport(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

//! What can go wrong in the ledger.

use crate::store::StoreError;

/// Why a cost is not known, or a row not written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The model is in no price list.
    #[error(
        "the model \"{model}\" has no price, and nothing is called at an unknown price; add it to the price list: \
         {{\"models\": {{\"{model}\": {{\"provider\": \"…\", \"input\": <USD per million tokens>, \"output\": <USD per \
         million tokens>}}}}}}; known are {known}"
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
    /// The model has no price for this class of tokens.
    #[error("\"{model}\" has no price for {class} tokens; add \"{class}\" to it in the price list")]
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
    /// A price list cannot be used.
    #[error("the price list cannot be used: {0}")]
    BadPrices(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

//! What can go wrong when a model is asked, sorted by what the caller can do about it.

use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LlmError {
    /// Too many calls or tokens for now.
    #[error("the provider asks to slow down{}", wait(*retry_after))]
    RateLimited {
        /// How long to wait, when the provider said.
        retry_after: Option<Duration>,
    },
    /// The provider has trouble of its own.
    #[error("the provider has trouble (status {status})")]
    Overloaded {
        /// The HTTP status.
        status: u16,
    },
    /// The account has no money left, or a limit on it is reached.
    #[error("the account at the provider has nothing left to spend: {0}; add credit or raise the limit there")]
    SpendLimit(String),
    /// The key is wrong, or may not do this.
    #[error("the provider does not take the key: {0}; check the key and what it may do")]
    BadCredentials(String),
    /// The request itself is refused; the same request will be refused again.
    #[error("the request is refused{}: {message}", status.map(|status| format!(" (status {status})")).unwrap_or_default())]
    RefusedRequest {
        /// The HTTP status; none when it was refused here, before it was sent.
        status: Option<u16>,
        /// Why.
        message: String,
    },
    /// No answer came within the deadline. It may be billed all the same.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The connection broke while the answer was due or under way. It may be billed all the same.
    #[error("the answer was cut off: {0}")]
    Cut(String),
    /// What came is no answer. It may be billed all the same.
    #[error("the answer cannot be read: {0}")]
    Malformed(String),
    /// There is no connection to the provider.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!(" for {} s", wait.as_secs())).unwrap_or_default()
}

impl LlmError {
    /// Whether asking again is of no use until a person changed something: money, key, or request.
    pub fn is_permanent(&self) -> bool {
        match self {
            LlmError::SpendLimit(_) | LlmError::BadCredentials(_) | LlmError::RefusedRequest { .. } => true,
            LlmError::RateLimited { .. }
            | LlmError::Overloaded { .. }
            | LlmError::Timeout(_)
            | LlmError::Cut(_)
            | LlmError::Malformed(_)
            | LlmError::Unreachable(_) => false,
        }
    }

    /// Whether the provider may have done the work, and may bill it, although no answer arrived.
    pub fn may_be_billed(&self) -> bool {
        match self {
            LlmError::Timeout(_) | LlmError::Cut(_) | LlmError::Malformed(_) => true,
            LlmError::RateLimited { .. }
            | LlmError::Overloaded { .. }
            | LlmError::SpendLimit(_)
            | LlmError::BadCredentials(_)
            | LlmError::RefusedRequest { .. }
            | LlmError::Unreachable(_) => false,
        }
    }

    /// Whether the same try may be made again within the same call: it was not done, not billed, and may work soon.
    pub(super) fn is_worth_retrying(&self) -> bool {
        !self.is_permanent() && !self.may_be_billed()
    }
}

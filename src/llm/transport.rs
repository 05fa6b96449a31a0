//! One POST of JSON to a provider: bounded in time, size and tries, with errors sorted into [`LlmError`].
//!
//! Retried are only tries that cannot have been billed (429, 5xx, no connection), within one deadline over all tries.
//! A deadline on each try alone would not do: retries could then go on for as long as there are tries.

use super::LlmError;
use backon::{ExponentialBuilder, Retryable};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// The most an answer may weigh, bytes. Far above what any model writes; a server that sends more is broken.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The most tries of one call.
const MAX_TRIES: usize = 6;

/// The longest pause between two tries, unless the provider asks for more.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// How much of a provider's error text is kept, characters.
const ERROR_CHARS: usize = 400;

/// How to reach a model.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Where the API begins, without a slash at the end: `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model's name.
    pub model: String,
    /// The key; local servers often need none.
    pub key: Option<SecretString>,
    /// How long to wait.
    pub patience: Patience,
}

/// How long to wait for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The total over all tries and pauses. Too short loses answers that are paid for; too long looks like silence.
    pub deadline: Duration,
    /// The pause before the second try; it doubles from try to try.
    pub first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { deadline: Duration::from_secs(120), first_pause: Duration::from_secs(1) }
    }
}

/// A client for one provider, with its headers set.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client,
    patience: Patience,
}

impl Transport {
    /// A client that sends `headers` with every request, and `key` under its own header after `key_prefix`.
    pub(super) fn new(
        patience: Patience,
        headers: &[(&'static str, &'static str)],
        key: Option<(&'static str, &'static str, &SecretString)>,
    ) -> Result<Self, LlmError> {
        // Without a provider of cryptography the client's builder would panic.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(LlmError::Unreachable("no TLS provider is installed in this process".into()));
        }
        let mut defaults = HeaderMap::new();
        for (name, value) in headers {
            defaults.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if let Some((name, prefix, key)) = key {
            let mut value = HeaderValue::from_str(&format!("{prefix}{}", key.expose_secret().trim()))
                .map_err(|_| LlmError::BadCredentials("it contains characters that cannot be sent".into()))?;
            value.set_sensitive(true);
            defaults.insert(HeaderName::from_static(name), value);
        }
        let client = Client::builder()
            .default_headers(defaults)
            // A redirect would carry the key to another place.
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10).min(patience.deadline))
            .timeout(patience.deadline)
            .build()
            .map_err(|error| LlmError::Unreachable(error.without_url().to_string()))?;
        Ok(Self { client, patience })
    }

    /// Posts `body` and gives the JSON of a successful answer.
    pub(super) async fn post(&self, url: &str, body: &Value) -> Result<Value, LlmError> {
        let started = Instant::now();
        let deadline = self.patience.deadline;
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.patience.first_pause)
            .with_max_delay(MAX_PAUSE)
            .with_max_times(MAX_TRIES - 1);
        let tries = (|| self.post_once(url, body))
            .retry(pauses)
            .sleep(tokio::time::sleep)
            .when(LlmError::is_worth_retrying)
            .adjust(|error, pause| {
                let pause = pause?.max(retry_after_of(error).unwrap_or_default());
                (started.elapsed() + pause < deadline).then_some(pause)
            });
        tokio::time::timeout(deadline, tries).await.unwrap_or(Err(LlmError::Timeout(deadline)))
    }

    async fn post_once(&self, url: &str, body: &Value) -> Result<Value, LlmError> {
        let mut answer = self.client.post(url).json(body).send().await.map_err(|error| self.sorted(error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.sorted(error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(LlmError::Malformed(format!("it is larger than {MAX_ANSWER_BYTES} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(refusal(status, &headers, &String::from_utf8_lossy(&bytes)));
        }
        let json: Value = serde_json::from_slice(&bytes).map_err(|error| {
            LlmError::Malformed(format!("{error} in \"{}\"", shortened(&String::from_utf8_lossy(&bytes))))
        })?;
        if json["error"].is_null() { Ok(json) } else { Err(LlmError::Malformed(error_text(&json.to_string()))) }
    }

    /// Sorts what the client reports. Only what failed before the request was sent is surely not billed.
    fn sorted(&self, error: reqwest::Error) -> LlmError {
        let (timeout, connect, builder) = (error.is_timeout(), error.is_connect(), error.is_builder());
        let message = with_causes(&error.without_url());
        if connect {
            LlmError::Unreachable(message)
        } else if builder {
            LlmError::RefusedRequest { status: None, message: format!("it cannot be sent: {message}") }
        } else if timeout {
            LlmError::Timeout(self.patience.deadline)
        } else {
            LlmError::Cut(message)
        }
    }
}

/// Sorts an HTTP status that is no success, by what the providers document for it.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &str) -> LlmError {
    let message = error_text(body);
    match status.as_u16() {
        402 => LlmError::SpendLimit(message),
        400 | 403 | 429 if tells_of_spend_limit(body) => LlmError::SpendLimit(message),
        429 => LlmError::RateLimited { retry_after: retry_after(headers) },
        401 | 403 => LlmError::BadCredentials(message),
        408 => LlmError::Overloaded { status: 408 },
        500.. => LlmError::Overloaded { status: status.as_u16() },
        other => LlmError::RefusedRequest { status: Some(other), message },
    }
}

/// Whether an error's code or text says that money, not speed, is the trouble.
fn tells_of_spend_limit(body: &str) -> bool {
    let body = body.to_lowercase();
    ["insufficient_quota", "enforced_spend_limit", "spend limit", "usage limits", "credit balance", "billing_error"]
        .iter()
        .any(|sign| body.contains(sign))
}

/// `Retry-After` in whole or broken seconds, or OpenAI's finer `retry-after-ms`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number(RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn retry_after_of(error: &LlmError) -> Option<Duration> {
    match error {
        LlmError::RateLimited { retry_after } => *retry_after,
        LlmError::Overloaded { .. }
        | LlmError::SpendLimit(_)
        | LlmError::BadCredentials(_)
        | LlmError::RefusedRequest { .. }
        | LlmError::Timeout(_)
        | LlmError::Cut(_)
        | LlmError::Malformed(_)
        | LlmError::Unreachable(_) => None,
    }
}

/// The message within a provider's error document, or the document itself, shortened.
fn error_text(body: &str) -> String {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let message = json["error"]["message"].as_str().or(json["error"].as_str()).or(json["message"].as_str());
    shortened(message.unwrap_or(body))
}

fn shortened(text: &str) -> String {
    text.chars().take(ERROR_CHARS).collect()
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    shortened(&text)
}

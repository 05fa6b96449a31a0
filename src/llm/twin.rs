//! A local HTTP server that behaves as providers do, for the clients' tests: it gives prepared answers in order and keeps
//! every request.

use super::{Connection, LlmError, Message, Model, Patience, Request, ToolCall, ToolSpec};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

/// An answer to give.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }
}

/// A request as it came.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    headers: HeaderMap,
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
}

/// The server; it ends with the test's runtime.
pub(super) struct Twin {
    base_url: String,
    script: Arc<Script>,
}

impl Twin {
    pub(super) async fn with(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Script::default());
        script.answers.lock().unwrap().extend(answers);
        let router = Router::new().fallback(respond).with_state(script.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base_url, script }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }
}

async fn respond(State(script): State<Arc<Script>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = serde_json::from_slice(&body).unwrap_or_default();
    script.seen.lock().unwrap().push(Seen { path: uri.path().to_owned(), headers, body });
    let next = script.answers.lock().unwrap().pop_front();
    let Some(answer) = next else {
        // Nothing prepared: an answer that never comes.
        return std::future::pending().await;
    };
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// How to reach the twin: with a key, and no patience to speak of between tries.
pub(super) fn connection(twin: &Twin) -> Connection {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().ok();
    });
    Connection {
        base_url: twin.base_url.clone(),
        model: "test-model".into(),
        key: Some("secret-key".into()),
        patience: Patience { deadline: Duration::from_secs(20), first_pause: Duration::from_millis(1) },
    }
}

/// A dialogue with a tool, a call of it and its result.
pub(super) fn asked() -> Request {
    Request {
        system: "You are the watcher.".into(),
        messages: vec![
            Message::User("How is loop 1?".into()),
            Message::Assistant {
                text: String::new(),
                calls: vec![ToolCall { id: "c1".into(), name: "loop_status".into(), arguments: json!({"loop": 1}) }],
            },
            Message::ToolResult { call_id: "c1".into(), content: "trained".into(), is_error: false },
        ],
        tools: vec![ToolSpec {
            name: "loop_status".into(),
            description: "Tells where a loop stands.".into(),
            parameters: json!({"type": "object", "properties": {"loop": {"type": "integer"}}, "required": ["loop"]}),
        }],
        max_output_tokens: 300,
        temperature: None,
        effort: None,
    }
}

/// What every client must make of what can go wrong.
pub(super) async fn exercise_failures(client: impl Fn(&Twin) -> Box<dyn Model>, success: &Value) {
    let error = |code: &str| json!({"error": {"type": code, "code": code, "message": format!("because of {code}")}});
    let slow_down = || Answer::json(429, error("rate_limit_error"));

    // What passes is tried again, and the wait the provider asks for is kept.
    let passing = [
        slow_down().with("retry-after", "0"),
        Answer::json(529, error("overloaded_error")),
        Answer::json(200, success.clone()),
    ];
    let twin = Twin::with(passing).await;
    assert!(client(&twin).respond(&asked()).await.is_ok());
    assert_eq!(twin.seen().len(), 3);

    // A wait beyond the deadline is not waited for.
    let twin = Twin::with([slow_down().with("retry-after", "3600")]).await;
    let refused = client(&twin).respond(&asked()).await.unwrap_err();
    assert_eq!(refused, LlmError::RateLimited { retry_after: Some(Duration::from_secs(3600)) });
    assert_eq!(twin.seen().len(), 1);

    // What is permanent is never tried again.
    let permanent = [
        (401, "authentication_error", LlmError::BadCredentials("because of authentication_error".into())),
        (403, "permission_error", LlmError::BadCredentials("because of permission_error".into())),
        (402, "billing_error", LlmError::SpendLimit("because of billing_error".into())),
        (429, "insufficient_quota", LlmError::SpendLimit("because of insufficient_quota".into())),
        (429, "enforced_spend_limit_reached", LlmError::SpendLimit("because of enforced_spend_limit_reached".into())),
        (
            413,
            "request_too_large",
            LlmError::RefusedRequest { status: Some(413), message: "because of request_too_large".into() },
        ),
        (
            400,
            "invalid_request_error",
            LlmError::RefusedRequest { status: Some(400), message: "because of invalid_request_error".into() },
        ),
    ];
    for (status, code, expected) in permanent {
        let twin = Twin::with([Answer::json(status, error(code))]).await;
        let refused = client(&twin).respond(&asked()).await.unwrap_err();
        assert_eq!(refused, expected);
        assert!(refused.is_permanent() && !refused.may_be_billed() && !format!("{refused:?}").contains("secret-key"));
        assert_eq!(twin.seen().len(), 1, "{code}");
    }

    // What may have been billed is handed back, not tried again.
    for body in ["<html>it works</html>", "{}", "{\"error\": {\"message\": \"late\"}}"] {
        let twin = Twin::with([Answer { status: 200, headers: Vec::new(), body: body.into() }]).await;
        let unreadable = client(&twin).respond(&asked()).await.unwrap_err();
        assert!(matches!(unreadable, LlmError::Malformed(_)) && unreadable.may_be_billed(), "{body}: {unreadable}");
        assert_eq!(twin.seen().len(), 1);
    }
}

#[tokio::test]
async fn silence_is_a_timeout_and_is_not_asked_twice() {
    let twin = Twin::with([]).await;
    let patience = Patience { deadline: Duration::from_secs(1), ..connection(&twin).patience };
    let model = super::OpenAiChat::new("local", Connection { patience, ..connection(&twin) }).unwrap();
    let error = model.respond(&asked()).await.unwrap_err();
    assert!(matches!(error, LlmError::Timeout(_)) && error.may_be_billed(), "{error}");
    assert_eq!(twin.seen().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Connection { base_url: format!("http://{closed}"), ..connection(&Twin::with([]).await) };
    let error = super::OpenAiChat::new("local", nobody).unwrap().respond(&asked()).await.unwrap_err();
    assert!(matches!(error, LlmError::Unreachable(_)) && !error.may_be_billed(), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"id\": ").await.unwrap();
    });
    let twin = Twin::with([]).await;
    let model = super::Anthropic::new(Connection { base_url, ..connection(&twin) }).unwrap();
    let error = model.respond(&asked()).await.unwrap_err();
    assert!(matches!(error, LlmError::Cut(_)) && error.may_be_billed(), "{error}");
}

#[test]
fn a_key_is_never_shown_and_one_that_cannot_be_sent_is_refused() {
    let connection = Connection {
        base_url: "http://127.0.0.1:1".into(),
        model: "m".into(),
        key: Some("two\nlines".into()),
        patience: Patience::default(),
    };
    rustls::crypto::ring::default_provider().install_default().ok();
    assert!(!format!("{connection:?}").contains("lines"));
    assert!(matches!(super::Anthropic::new(connection), Err(LlmError::BadCredentials(_))));
}

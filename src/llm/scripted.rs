//! A model that plays a script, for tests of everything that talks to models. It keeps every request, and refuses what a
//! provider would refuse: a dialogue in which a tool call has not exactly one result.

use super::{LlmError, Model, Request, Response, Stop, ToolCall, Usage};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// A scripted model. Its answers count 100 tokens of input and 10 of output each, unless the script says otherwise.
#[derive(Debug, Default)]
pub struct Scripted {
    /// What it still has to say. Held only to take the next line, never across an await.
    script: Mutex<VecDeque<Result<Response, LlmError>>>,
    /// Every request, in order.
    requests: Mutex<Vec<Request>>,
}

impl Scripted {
    /// A model that gives these answers, one per request, in order.
    pub fn new(script: impl IntoIterator<Item = Result<Response, LlmError>>) -> Self {
        Self { script: Mutex::new(script.into_iter().collect()), requests: Mutex::default() }
    }

    /// An answer in words.
    pub fn says(text: &str) -> Result<Response, LlmError> {
        Ok(Self::answer(text, Vec::new()))
    }

    /// An answer that calls tools, each by name and arguments; their ids are `call_0`, `call_1` and so on.
    pub fn calls(calls: &[(&str, Value)]) -> Result<Response, LlmError> {
        let calls = calls.iter().enumerate().map(|(index, (name, arguments))| ToolCall {
            id: format!("call_{index}"),
            name: (*name).to_owned(),
            arguments: arguments.clone(),
        });
        Ok(Self::answer("", calls.collect()))
    }

    /// Every request so far, refused ones included.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many answers were not asked for yet.
    pub fn left(&self) -> usize {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn answer(text: &str, calls: Vec<ToolCall>) -> Response {
        Response {
            stop: if calls.is_empty() { Stop::Done } else { Stop::ToolCalls },
            text: text.to_owned(),
            calls,
            usage: Usage { uncached_input: 100, output: 10, ..Usage::default() },
            raw_usage: json!({"input_tokens": 100, "output_tokens": 10}),
            response_id: None,
        }
    }
}

#[async_trait]
impl Model for Scripted {
    fn provider(&self) -> &str {
        "scripted"
    }

    fn model(&self) -> &str {
        "scripted"
    }

    async fn respond(&self, request: &Request) -> Result<Response, LlmError> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        request.check()?;
        let next = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        next.unwrap_or_else(|| Err(LlmError::Malformed("the script has no further answer".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::super::twin::asked;
    use super::*;

    #[tokio::test]
    async fn it_plays_its_script_and_keeps_what_it_was_asked() {
        let model = Scripted::new([
            Scripted::calls(&[("loop_status", json!({"loop": 1}))]),
            Err(LlmError::Overloaded { status: 529 }),
            Scripted::says("All is well."),
        ]);
        let mut request = asked();
        assert_eq!(model.respond(&request).await.unwrap().calls[0].id, "call_0");
        assert_eq!(model.respond(&request).await, Err(LlmError::Overloaded { status: 529 }));
        request.messages.push(Message::User("and?".into()));
        assert_eq!(model.respond(&request).await.unwrap().text, "All is well.");
        assert!(model.respond(&request).await.is_err(), "the script is over");
        assert_eq!((model.requests().len(), model.left()), (4, 0));
        assert_eq!(model.requests()[2], request);
    }

    #[tokio::test]
    async fn it_refuses_a_dialogue_with_an_unanswered_call() {
        let model = Scripted::new([Scripted::says("never said")]);
        let mut request = asked();
        request.messages.pop();
        assert!(matches!(model.respond(&request).await, Err(LlmError::RefusedRequest { status: None, .. })));
        assert_eq!(model.left(), 1);
    }
}

//! Anthropic's Messages, with tool use.

use super::transport::Transport;
use super::{Connection, LlmError, Message, Model, Request, Response, Stop, ToolCall, Usage};
use async_trait::async_trait;
use serde_json::{Value, json};

/// The version of the API that this is written to.
const API_VERSION: &str = "2023-06-01";

/// A model of Anthropic's.
#[derive(Debug, Clone)]
pub struct Anthropic {
    model: String,
    url: String,
    transport: Transport,
}

impl Anthropic {
    /// A model at `connection`, whose base is `https://api.anthropic.com` for Anthropic itself.
    ///
    /// # Errors
    /// [`LlmError::BadCredentials`] for a key that cannot be sent, [`LlmError::Unreachable`] when no HTTP client can be
    /// made here.
    pub fn new(connection: Connection) -> Result<Self, LlmError> {
        let key = connection.key.as_ref().map(|key| ("x-api-key", "", key));
        Ok(Self {
            url: format!("{}/v1/messages", connection.base_url.trim_end_matches('/')),
            transport: Transport::new(connection.patience, &[("anthropic-version", API_VERSION)], key)?,
            model: connection.model,
        })
    }
}

#[async_trait]
impl Model for Anthropic {
    fn provider(&self) -> &str {
        "anthropic"
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn respond(&self, request: &Request) -> Result<Response, LlmError> {
        request.check()?;
        answer(&self.transport.post(&self.url, &body(&self.model, request)).await?)
    }
}

fn body(model: &str, request: &Request) -> Value {
    let mut body = json!({
        "model": model,
        "max_tokens": request.max_output_tokens,
        "messages": turns(&request.messages),
    });
    if !request.system.is_empty() {
        body["system"] = json!(request.system);
    }
    if !request.tools.is_empty() {
        let tools = request
            .tools
            .iter()
            .map(|tool| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters}));
        body["tools"] = tools.collect();
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some(effort) = &request.effort {
        body["output_config"] = json!({ "effort": effort });
    }
    body
}

/// Anthropic knows two speakers. Results of tools are the user's, and all results of one answer must be in the one
/// message that follows it, so neighbours of the same speaker become one message.
fn turns(messages: &[Message]) -> Vec<Value> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let (role, blocks) = match message {
            Message::User(text) => ("user", vec![json!({"type": "text", "text": text})]),
            Message::Assistant { text, calls } => ("assistant", assistant_blocks(text, calls)),
            Message::ToolResult { call_id, content, is_error } => (
                "user",
                vec![json!({"type": "tool_result", "tool_use_id": call_id, "content": content, "is_error": is_error})],
            ),
        };
        match turns.last_mut() {
            Some((last, before)) if *last == role => before.extend(blocks),
            Some(_) | None => turns.push((role, blocks)),
        }
    }
    turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

/// Empty text is refused, and so is input that is no object.
fn assistant_blocks(text: &str, calls: &[ToolCall]) -> Vec<Value> {
    let words = (!text.is_empty()).then(|| json!({"type": "text", "text": text}));
    let calls = calls.iter().map(|call| {
        let input =
            if call.arguments.is_object() { call.arguments.clone() } else { json!({ "unreadable": call.arguments }) };
        json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
    });
    words.into_iter().chain(calls).collect()
}

fn answer(json: &Value) -> Result<Response, LlmError> {
    let content = json["content"].as_array().ok_or_else(|| LlmError::Malformed("it has no content".into()))?;
    let (mut text, mut calls) = (String::new(), Vec::new());
    for block in content {
        match block["type"].as_str() {
            Some("text") => text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("tool_use") => calls.push(ToolCall {
                id: block["id"].as_str().unwrap_or_default().to_owned(),
                name: block["name"].as_str().unwrap_or_default().to_owned(),
                arguments: block["input"].clone(),
            }),
            // Thinking, and whatever else there will be.
            Some(_) | None => {}
        }
    }
    let stop = match json["stop_reason"].as_str() {
        Some("end_turn" | "stop_sequence") | None => Stop::Done,
        Some("tool_use") => Stop::ToolCalls,
        Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
        Some("refusal") => Stop::Declined,
        Some(other) => Stop::Other(other.to_owned()),
    };
    let usage = Usage::from_anthropic(&json["usage"]);
    Ok(Response {
        text,
        calls,
        usage: usage.unwrap_or_default(),
        raw_usage: if usage.is_some() { json["usage"].clone() } else { Value::Null },
        response_id: json["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned),
        stop,
    })
}

#[cfg(test)]
mod tests {
    use super::super::twin::{Answer, Twin, asked, connection, exercise_failures};
    use super::*;

    fn model(twin: &Twin) -> Anthropic {
        Anthropic::new(connection(twin)).unwrap()
    }

    fn success() -> Value {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "stop_reason": "tool_use",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "c2", "name": "loop_status", "input": {"loop": 2}},
            ],
            "usage": {"input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 40, "output_tokens": 7},
        })
    }

    #[tokio::test]
    async fn a_tool_call_goes_there_and_back() {
        let twin = Twin::with([Answer::json(200, success())]).await;
        let response = model(&twin).respond(&asked()).await.unwrap();
        assert_eq!(
            response.calls,
            [ToolCall { id: "c2".into(), name: "loop_status".into(), arguments: json!({"loop": 2}) }]
        );
        assert_eq!((response.stop, response.text.as_str()), (Stop::ToolCalls, "Looking."));
        assert_eq!(
            (response.usage.uncached_input, response.usage.cache_read, response.usage.cache_write_5m),
            (10, 40, 5)
        );
        let seen = twin.seen();
        assert_eq!(seen[0].path, "/v1/messages");
        assert_eq!(
            (seen[0].header("x-api-key"), seen[0].header("anthropic-version")),
            (Some("secret-key"), Some(API_VERSION))
        );
        assert_eq!(seen[0].body["tools"][0]["input_schema"]["type"], json!("object"));
        assert_eq!(seen[0].body["messages"][1]["content"][0]["input"], json!({"loop": 1}));
        assert_eq!(seen[0].body["messages"][2]["content"][0]["tool_use_id"], json!("c1"));
    }

    #[test]
    fn all_results_of_one_answer_and_what_is_said_next_are_one_message() {
        let call = |id: &str| ToolCall { id: id.into(), name: "loop_status".into(), arguments: json!({}) };
        let result = |id: &str| Message::ToolResult { call_id: id.into(), content: "ok".into(), is_error: true };
        let turns = turns(&[
            Message::User("go".into()),
            Message::Assistant { text: String::new(), calls: vec![call("a"), call("b")] },
            result("a"),
            result("b"),
            Message::User("and now?".into()),
        ]);
        let roles: Vec<_> = turns.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user"]);
        assert_eq!(turns[2]["content"].as_array().unwrap().len(), 3);
        assert_eq!(turns[2]["content"][0]["is_error"], json!(true));
    }

    #[tokio::test]
    async fn failures_are_sorted() {
        exercise_failures(|twin| Box::new(model(twin)), &success()).await;
    }
}

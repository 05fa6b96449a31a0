//! OpenAI's Chat Completions: what every compatible server speaks (llama.cpp, vLLM, Ollama and others).
//!
//! Requests are built from async-openai's types, so that a wrong field does not compile. Answers are read from the JSON
//! itself: a word that a closed enum does not know must not lose an answer that is paid for. The HTTP client is not
//! async-openai's either, which retries by itself and drops `Retry-After`.

use super::billed::usage_with_tier;
use super::dialogue::arguments_from;
use super::transport::Transport;
use super::{Connection, LlmError, Message, Model, Request, Response, Stop, ToolCall, ToolSpec, Usage};
use async_openai::types::chat::{
    ChatCompletionMessageToolCall, ChatCompletionMessageToolCalls, ChatCompletionRequestAssistantMessage,
    ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage, ChatCompletionRequestToolMessage,
    ChatCompletionRequestUserMessage, ChatCompletionTool, ChatCompletionTools, CreateChatCompletionRequest,
    FunctionCall, FunctionObject, ReasoningEffort,
};
use async_trait::async_trait;
use serde_json::Value;

/// A model behind a server that speaks Chat Completions.
#[derive(Debug, Clone)]
pub struct OpenAiChat {
    provider: String,
    model: String,
    url: String,
    transport: Transport,
}

impl OpenAiChat {
    /// A model at `connection`; `provider` is the name its costs are booked under.
    ///
    /// # Errors
    /// [`LlmError::BadCredentials`] for a key that cannot be sent, [`LlmError::Unreachable`] when no HTTP client can be
    /// made here.
    pub fn new(provider: &str, connection: Connection) -> Result<Self, LlmError> {
        let key = connection.key.as_ref().map(|key| ("authorization", "Bearer ", key));
        Ok(Self {
            provider: provider.to_owned(),
            url: format!("{}/chat/completions", connection.base_url.trim_end_matches('/')),
            transport: Transport::new(connection.patience, &[], key)?,
            model: connection.model,
        })
    }
}

#[async_trait]
impl Model for OpenAiChat {
    fn provider(&self) -> &str {
        &self.provider
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn respond(&self, request: &Request) -> Result<Response, LlmError> {
        request.check()?;
        let body = serde_json::to_value(body(&self.model, request)?)
            .map_err(|error| LlmError::RefusedRequest { status: None, message: error.to_string() })?;
        answer(&self.transport.post(&self.url, &body).await?)
    }
}

/// The effort in OpenAI's words.
pub(super) fn effort(word: Option<&str>) -> Result<Option<ReasoningEffort>, LlmError> {
    let Some(word) = word else { return Ok(None) };
    serde_json::from_value(Value::String(word.to_owned())).map(Some).map_err(|_| LlmError::RefusedRequest {
        status: None,
        message: format!("the effort \"{word}\" is unknown; known are none, minimal, low, medium, high, xhigh, max"),
    })
}

#[expect(deprecated, reason = "compatible servers know max_tokens, and not all of them its successor")]
fn body(model: &str, request: &Request) -> Result<CreateChatCompletionRequest, LlmError> {
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        messages.push(ChatCompletionRequestSystemMessage::from(request.system.clone()).into());
    }
    messages.extend(request.messages.iter().map(message));
    let tools: Vec<_> = request.tools.iter().map(tool).collect();
    Ok(CreateChatCompletionRequest {
        model: model.to_owned(),
        messages,
        tools: (!tools.is_empty()).then_some(tools),
        max_tokens: Some(request.max_output_tokens),
        temperature: request.temperature,
        reasoning_effort: effort(request.effort.as_deref())?,
        ..CreateChatCompletionRequest::default()
    })
}

fn message(message: &Message) -> ChatCompletionRequestMessage {
    match message {
        Message::User(text) => ChatCompletionRequestUserMessage::from(text.clone()).into(),
        Message::Assistant { text, calls } => {
            let calls: Vec<_> = calls.iter().map(call).collect();
            ChatCompletionRequestAssistantMessage {
                content: (!text.is_empty()).then(|| text.clone().into()),
                tool_calls: (!calls.is_empty()).then_some(calls),
                ..ChatCompletionRequestAssistantMessage::default()
            }
            .into()
        }
        // There is no field for failure; the content says it.
        Message::ToolResult { call_id, content, is_error: _ } => {
            ChatCompletionRequestToolMessage { content: content.clone().into(), tool_call_id: call_id.clone() }.into()
        }
    }
}

fn call(call: &ToolCall) -> ChatCompletionMessageToolCalls {
    let function = FunctionCall { name: call.name.clone(), arguments: arguments_text(&call.arguments) };
    ChatCompletionMessageToolCall { id: call.id.clone(), function }.into()
}

/// Arguments as OpenAI takes them back: as the text they came as.
pub(super) fn arguments_text(arguments: &Value) -> String {
    arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned)
}

fn tool(tool: &ToolSpec) -> ChatCompletionTools {
    ChatCompletionTools::Function(ChatCompletionTool {
        function: FunctionObject {
            name: tool.name.clone(),
            description: Some(tool.description.clone()),
            parameters: Some(tool.parameters.clone()),
            strict: None,
        },
    })
}

fn answer(json: &Value) -> Result<Response, LlmError> {
    let choice = &json["choices"][0];
    let message = &choice["message"];
    if !message.is_object() {
        return Err(LlmError::Malformed("it has no message".into()));
    }
    let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let calls: Vec<_> = calls.iter().enumerate().map(|(index, call)| called(index, call)).collect();
    let refusal = message["refusal"].as_str();
    let stop = match choice["finish_reason"].as_str() {
        _ if refusal.is_some() => Stop::Declined,
        _ if !calls.is_empty() => Stop::ToolCalls,
        Some("stop") | None => Stop::Done,
        Some("length") => Stop::Length,
        Some("content_filter") => Stop::Declined,
        Some(other) => Stop::Other(other.to_owned()),
    };
    let usage = Usage::from_openai_chat(&json["usage"]);
    Ok(Response {
        text: message["content"].as_str().or(refusal).unwrap_or_default().to_owned(),
        calls,
        usage: usage.unwrap_or_default(),
        raw_usage: if usage.is_some() { usage_with_tier(json) } else { Value::Null },
        response_id: json["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned),
        stop,
    })
}

/// Some compatible servers give calls no id; its place within the answer serves then.
fn called(index: usize, call: &Value) -> ToolCall {
    let function = &call["function"];
    let arguments = &function["arguments"];
    let arguments = arguments.as_str().map_or_else(|| arguments.clone(), arguments_from);
    ToolCall {
        id: call["id"].as_str().map_or_else(|| format!("call_{index}"), str::to_owned),
        name: function["name"].as_str().unwrap_or_default().to_owned(),
        arguments,
    }
}

#[cfg(test)]
mod tests {
    use super::super::twin::{Answer, Twin, asked, connection, exercise_failures};
    use super::*;
    use serde_json::json;

    fn model(twin: &Twin) -> OpenAiChat {
        OpenAiChat::new("local", connection(twin)).unwrap()
    }

    fn success() -> Value {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "service_tier": "a-word-nobody-knew",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null,
                "tool_calls": [{"id": "c2", "type": "function",
                    "function": {"name": "loop_status", "arguments": "{\"loop\": 2}"}}]}}],
            "usage": {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57,
                "prompt_tokens_details": {"cached_tokens": 40}},
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
        assert_eq!((response.stop, response.text.as_str()), (Stop::ToolCalls, ""));
        assert_eq!((response.usage.uncached_input, response.usage.cache_read, response.usage.output), (10, 40, 7));
        assert_eq!(
            (response.response_id.as_deref(), &response.raw_usage["total_tokens"]),
            (Some("chatcmpl-1"), &json!(57))
        );
        let seen = twin.seen();
        assert_eq!(
            (seen[0].path.as_str(), seen[0].header("authorization")),
            ("/chat/completions", Some("Bearer secret-key"))
        );
        assert_eq!(seen[0].body["max_tokens"], json!(300));
        assert_eq!(seen[0].body["tools"][0]["function"]["name"], json!("loop_status"));
        let roles: Vec<_> =
            seen[0].body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(seen[0].body["messages"][2]["tool_calls"][0]["function"]["arguments"], json!("{\"loop\":1}"));
        assert_eq!(seen[0].body["messages"][3]["tool_call_id"], json!("c1"));
    }

    #[tokio::test]
    async fn an_answer_without_usage_says_so() {
        let mut answer = success();
        answer["usage"] = Value::Null;
        let twin = Twin::with([Answer::json(200, answer)]).await;
        let response = model(&twin).respond(&asked()).await.unwrap();
        assert_eq!((response.usage, response.raw_usage), (Usage::default(), Value::Null));
    }

    #[tokio::test]
    async fn failures_are_sorted() {
        exercise_failures(|twin| Box::new(model(twin)), &success()).await;
    }

    #[test]
    fn an_unknown_effort_is_refused_before_anything_is_sent() {
        let error = effort(Some("heroic")).unwrap_err();
        assert!(error.to_string().contains("known are none, minimal, low"), "{error}");
    }
}

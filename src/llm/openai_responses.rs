//! OpenAI's Responses: the API for OpenAI's own models, and the only one for its `-pro` ones.
//!
//! Built and read as in `openai_chat`: requests from async-openai's types, answers from the JSON itself. Nothing is kept
//! at OpenAI (`store: false`); the whole dialogue is sent each time.

use super::billed::usage_with_tier;
use super::dialogue::arguments_from;
use super::openai_chat::{arguments_text, effort};
use super::transport::Transport;
use super::{Connection, LlmError, Message, Model, Request, Response, Stop, ToolCall, ToolSpec, Usage};
use async_openai::types::responses::{
    CreateResponse, EasyInputContent, EasyInputMessage, FunctionCallOutput, FunctionCallOutputItemParam, FunctionTool,
    FunctionToolCall, InputItem, InputParam, Item, Reasoning, Role, Tool,
};
use async_trait::async_trait;
use serde_json::Value;

/// A model of OpenAI's.
#[derive(Debug, Clone)]
pub struct OpenAiResponses {
    model: String,
    url: String,
    transport: Transport,
}

impl OpenAiResponses {
    /// A model at `connection`.
    ///
    /// # Errors
    /// [`LlmError::BadCredentials`] for a key that cannot be sent, [`LlmError::Unreachable`] when no HTTP client can be
    /// made here.
    pub fn new(connection: Connection) -> Result<Self, LlmError> {
        let key = connection.key.as_ref().map(|key| ("authorization", "Bearer ", key));
        Ok(Self {
            url: format!("{}/responses", connection.base_url.trim_end_matches('/')),
            transport: Transport::new(connection.patience, &[], key)?,
            model: connection.model,
        })
    }
}

#[async_trait]
impl Model for OpenAiResponses {
    fn provider(&self) -> &str {
        "openai"
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

fn body(model: &str, request: &Request) -> Result<CreateResponse, LlmError> {
    let tools: Vec<_> = request.tools.iter().map(tool).collect();
    let effort = effort(request.effort.as_deref())?;
    Ok(CreateResponse {
        model: Some(model.to_owned()),
        instructions: (!request.system.is_empty()).then(|| request.system.clone()),
        input: InputParam::Items(request.messages.iter().flat_map(items).collect()),
        tools: (!tools.is_empty()).then_some(tools),
        max_output_tokens: Some(request.max_output_tokens),
        temperature: request.temperature,
        reasoning: effort.map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() }),
        store: Some(false),
        ..CreateResponse::default()
    })
}

/// A message and the calls within it are items of their own.
fn items(message: &Message) -> Vec<InputItem> {
    match message {
        Message::User(text) => vec![said(Role::User, text)],
        Message::Assistant { text, calls } => {
            let words = (!text.is_empty()).then(|| said(Role::Assistant, text));
            words.into_iter().chain(calls.iter().map(call)).collect()
        }
        // There is no field for failure; the content says it.
        Message::ToolResult { call_id, content, is_error: _ } => {
            vec![InputItem::Item(Item::FunctionCallOutput(FunctionCallOutputItemParam {
                call_id: Some(call_id.clone()),
                output: FunctionCallOutput::Text(content.clone()),
                id: None,
                status: None,
                name: None,
                namespace: None,
                caller: None,
            }))]
        }
    }
}

fn said(role: Role, text: &str) -> InputItem {
    let content = EasyInputContent::Text(text.to_owned());
    InputItem::EasyMessage(EasyInputMessage { role, content, ..EasyInputMessage::default() })
}

/// Without an item id: with one OpenAI would want the reasoning that led to the call back as well.
fn call(call: &ToolCall) -> InputItem {
    InputItem::Item(Item::FunctionCall(FunctionToolCall {
        arguments: arguments_text(&call.arguments),
        call_id: call.id.clone(),
        name: call.name.clone(),
        namespace: None,
        id: None,
        status: None,
        caller: None,
        r#async: None,
    }))
}

fn tool(tool: &ToolSpec) -> Tool {
    Tool::Function(FunctionTool {
        name: tool.name.clone(),
        description: Some(tool.description.clone()),
        parameters: Some(tool.parameters.clone()),
        // The default, strict, takes only a part of JSON Schema.
        strict: Some(false),
        ..FunctionTool::default()
    })
}

fn answer(json: &Value) -> Result<Response, LlmError> {
    let output = json["output"].as_array().ok_or_else(|| LlmError::Malformed("it has no output".into()))?;
    let (mut text, mut calls, mut declined) = (String::new(), Vec::new(), false);
    for item in output {
        match item["type"].as_str() {
            Some("message") => {
                for part in item["content"].as_array().into_iter().flatten() {
                    declined |= part["type"] == "refusal";
                    text.push_str(part["text"].as_str().or(part["refusal"].as_str()).unwrap_or_default());
                }
            }
            Some("function_call") => calls.push(ToolCall {
                id: item["call_id"].as_str().unwrap_or_default().to_owned(),
                name: item["name"].as_str().unwrap_or_default().to_owned(),
                arguments: arguments_from(item["arguments"].as_str().unwrap_or_default()),
            }),
            // Reasoning, and whatever else there will be.
            Some(_) | None => {}
        }
    }
    let stop = match (json["status"].as_str(), json["incomplete_details"]["reason"].as_str()) {
        _ if declined => Stop::Declined,
        (_, Some("max_output_tokens")) => Stop::Length,
        (_, Some("content_filter")) => Stop::Declined,
        _ if !calls.is_empty() => Stop::ToolCalls,
        (Some("completed") | None, _) => Stop::Done,
        (Some(other), _) => Stop::Other(other.to_owned()),
    };
    let usage = Usage::from_openai_responses(&json["usage"]);
    Ok(Response {
        text,
        calls,
        usage: usage.unwrap_or_default(),
        raw_usage: if usage.is_some() { usage_with_tier(json) } else { Value::Null },
        response_id: json["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned),
        stop,
    })
}

#[cfg(test)]
mod tests {
    use super::super::twin::{Answer, Twin, asked, connection, exercise_failures};
    use super::*;
    use serde_json::json;

    fn model(twin: &Twin) -> OpenAiResponses {
        OpenAiResponses::new(connection(twin)).unwrap()
    }

    fn success() -> Value {
        json!({
            "id": "resp_1", "status": "completed", "error": null, "incomplete_details": null,
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking.", "annotations": []}]},
                {"type": "function_call", "id": "fc_1", "call_id": "c2", "name": "loop_status", "arguments": "{\"loop\": 2}"},
            ],
            "usage": {"input_tokens": 50, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 30,
                "output_tokens_details": {"reasoning_tokens": 20}, "total_tokens": 80},
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
        assert_eq!((response.usage.input(), response.usage.cache_read, response.usage.output), (50, 40, 30));
        let seen = twin.seen();
        assert_eq!((seen[0].path.as_str(), seen[0].header("authorization")), ("/responses", Some("Bearer secret-key")));
        let body = &seen[0].body;
        assert_eq!((&body["store"], &body["max_output_tokens"]), (&json!(false), &json!(300)));
        assert_eq!(body["tools"][0]["name"], json!("loop_status"));
        let kinds: Vec<_> =
            body["input"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["message", "function_call", "function_call_output"]);
        assert_eq!(body["input"][1]["call_id"], body["input"][2]["call_id"]);
    }

    #[tokio::test]
    async fn an_answer_that_ran_out_of_tokens_says_so() {
        let mut answer = success();
        answer["status"] = json!("incomplete");
        answer["incomplete_details"] = json!({"reason": "max_output_tokens"});
        let twin = Twin::with([Answer::json(200, answer)]).await;
        assert_eq!(model(&twin).respond(&asked()).await.unwrap().stop, Stop::Length);
    }

    #[tokio::test]
    async fn failures_are_sorted() {
        exercise_failures(|twin| Box::new(model(twin)), &success()).await;
    }
}

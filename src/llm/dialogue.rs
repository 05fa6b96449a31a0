//! What is asked and answered, in the words of no provider.

use super::{LlmError, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;

/// One question to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Who the model is and what it must keep to.
    pub system: String,
    /// The dialogue so far, oldest first.
    pub messages: Vec<Message>,
    /// The tools it may call.
    pub tools: Vec<ToolSpec>,
    /// The most tokens the answer may have, reasoning included; also what is reserved for it.
    pub max_output_tokens: u32,
    /// Sampling temperature; none leaves the provider's default, as reasoning models demand.
    pub temperature: Option<f32>,
    /// How much to think: `low`, `medium`, `high`, or another word the model knows.
    pub effort: Option<String>,
}

/// One message of a dialogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// What the model is told or asked.
    User(String),
    /// What the model answered.
    Assistant {
        /// Its words; may be empty when it only called tools.
        text: String,
        /// The tools it called.
        calls: Vec<ToolCall>,
    },
    /// What a tool it called answered.
    ToolResult {
        /// The call's id.
        call_id: String,
        /// The answer.
        content: String,
        /// Whether the tool failed.
        is_error: bool,
    },
}

/// A tool that may be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// The JSON schema of its arguments: an object.
    pub parameters: Value,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its id, which the result repeats.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments. Models sometimes write no valid JSON: the text as it was is a JSON string then, which fits no
    /// tool's schema, so the model gets told.
    pub arguments: Value,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Its words.
    pub text: String,
    /// The tools it calls.
    pub calls: Vec<ToolCall>,
    /// The tokens it cost; zeros when the provider did not say, see `raw_usage`.
    pub usage: Usage,
    /// The usage as the provider wrote it; `null` when it did not say, so that an estimate must be booked.
    pub raw_usage: Value,
    /// The provider's name for the answer.
    pub response_id: Option<String>,
    /// Why it ended.
    pub stop: Stop,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// All was said.
    Done,
    /// Tools are to be called.
    ToolCalls,
    /// The limit on the output was reached; what is there is cut.
    Length,
    /// The model or its provider declines to answer.
    Declined,
    /// Something else, in the provider's word.
    Other(String),
}

/// Tokens per message and per tool that providers add around the text; seen are 3 to 12.
const FRAMING_TOKENS: u64 = 16;

impl Request {
    /// How many input tokens this will be at most, for the reservation: three bytes to a token, where text of European
    /// languages and JSON have about four, and the framing.
    pub fn estimated_input_tokens(&self) -> u64 {
        let of_messages = self.messages.iter().map(|message| match message {
            Message::User(text) => text.len(),
            Message::Assistant { text, calls } => {
                text.len() + calls.iter().map(|call| call.name.len() + call.arguments.to_string().len()).sum::<usize>()
            }
            Message::ToolResult { content, .. } => content.len(),
        });
        let of_tools =
            self.tools.iter().map(|tool| tool.name.len() + tool.description.len() + tool.parameters.to_string().len());
        let bytes = self.system.len() + of_messages.sum::<usize>() + of_tools.sum::<usize>();
        let parts = 1 + self.messages.len() + self.tools.len();
        (bytes as u64).div_ceil(3) + FRAMING_TOKENS * parts as u64
    }

    /// Whether the dialogue is one that providers take: it begins with a user's message, and every tool call is
    /// answered exactly once, right after the message that made it.
    ///
    /// # Errors
    /// [`LlmError::RefusedRequest`] naming the first fault, as a provider would, but free of charge.
    pub fn check(&self) -> Result<(), LlmError> {
        let mut open: HashSet<&str> = HashSet::new();
        let mut first = true;
        for message in &self.messages {
            match message {
                Message::ToolResult { call_id, .. } => {
                    if !open.remove(call_id.as_str()) {
                        return Err(refused(format!("the result \"{call_id}\" answers no open tool call")));
                    }
                }
                Message::User(_) | Message::Assistant { .. } if !open.is_empty() => return Err(unanswered(&open)),
                Message::User(_) => {}
                Message::Assistant { .. } if first => {
                    return Err(refused("the dialogue begins with the model's own message".into()));
                }
                Message::Assistant { text, calls } => {
                    if text.is_empty() && calls.is_empty() {
                        return Err(refused("a message of the model is empty".into()));
                    }
                    for call in calls {
                        if !open.insert(&call.id) {
                            return Err(refused(format!("two tool calls have the id \"{}\"", call.id)));
                        }
                    }
                }
            }
            first = false;
        }
        if open.is_empty() { Ok(()) } else { Err(unanswered(&open)) }
    }
}

fn unanswered(open: &HashSet<&str>) -> LlmError {
    let mut ids: Vec<_> = open.iter().copied().collect();
    ids.sort_unstable();
    refused(format!("no result for the tool call {}", ids.join(", ")))
}

fn refused(message: String) -> LlmError {
    LlmError::RefusedRequest { status: None, message }
}

/// Arguments as a model wrote them: JSON, or the text itself where it is none. Nothing at all means no arguments.
pub(super) fn arguments_from(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dialogue(messages: Vec<Message>) -> Request {
        Request {
            system: String::new(),
            messages,
            tools: Vec::new(),
            max_output_tokens: 100,
            temperature: None,
            effort: None,
        }
    }

    fn calls(ids: &[&str]) -> Message {
        let call = |id: &&str| ToolCall { id: (*id).into(), name: "status".into(), arguments: json!({}) };
        Message::Assistant { text: String::new(), calls: ids.iter().map(call).collect() }
    }

    fn result(id: &str) -> Message {
        Message::ToolResult { call_id: id.into(), content: "ok".into(), is_error: false }
    }

    #[test]
    fn every_call_must_be_answered_exactly_once_before_the_dialogue_goes_on() {
        let ask = || Message::User("how is it going?".into());
        let fine = [vec![], vec![ask()], vec![ask(), calls(&["a", "b"]), result("b"), result("a"), ask()]];
        for messages in fine {
            assert_eq!(dialogue(messages).check(), Ok(()));
        }
        let wrong = [
            (vec![ask(), calls(&["a", "b"]), result("b")], "no result for the tool call a"),
            (vec![ask(), calls(&["a"]), ask(), result("a")], "no result for the tool call a"),
            (vec![ask(), calls(&["a"]), result("a"), result("a")], "the result \"a\" answers no open tool call"),
            (vec![ask(), calls(&["a", "a"])], "two tool calls have the id \"a\""),
            (vec![calls(&["a"]), result("a")], "the dialogue begins with the model's own message"),
            (vec![ask(), calls(&[])], "a message of the model is empty"),
        ];
        for (messages, fault) in wrong {
            let error = dialogue(messages).check().unwrap_err();
            assert!(error.to_string().contains(fault), "{error}");
            assert!(error.is_permanent() && !error.may_be_billed());
        }
    }

    #[test]
    fn arguments_that_are_no_json_stay_as_text() {
        assert_eq!(arguments_from(""), json!({}));
        assert_eq!(arguments_from("{\"n\": 1}"), json!({"n": 1}));
        assert_eq!(arguments_from("{\"n\": "), json!("{\"n\": "));
    }
}

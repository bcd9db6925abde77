//! What comes of a native chat: reasoning, tool calls with their results, calls that fail, a message.
//!
//! A tool of an integration is any that the integration allows by name, or `echo` where it names none; every tool
//! answers with the arguments it was called with. `call NAME` with a name that no integration has fails.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::question::Question;
use crate::chat::{Answer, own_words};
use crate::engine::EngineGone;
use crate::memory::Handle;
use crate::shared::Shared;

/// The tool of an integration that names none.
const ECHO: &str = "echo";

/// One part of an answer, in the order in which it came about.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    Reasoning { content: String },
    ToolCall { tool: String, arguments: Value, output: String, provider_info: Value },
    InvalidToolCall { reason: String, metadata: Value },
    Message { content: String },
}

/// A tool on offer.
#[derive(Debug)]
pub(super) struct Offer {
    tool: String,
    provider: Value,
}

/// What an instance came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) items: Vec<Item>,
    /// In the engine's own words, where it refused.
    pub(super) refused: Option<String>,
}

// === impl Item ===

impl Item {
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Message { content } => Some(content),
            _ => None,
        }
    }

    pub(super) fn reasoning(&self) -> Option<&str> {
        match self {
            Self::Reasoning { content } => Some(content),
            _ => None,
        }
    }
}

// === impl Offer ===

impl Offer {
    /// The tools of all integrations of a body.
    pub(super) fn all(integrations: Option<&Value>) -> Vec<Self> {
        let integrations = integrations.and_then(Value::as_array);
        integrations.into_iter().flatten().flat_map(Self::of).collect()
    }

    fn of(integration: &Value) -> Vec<Self> {
        let text = |name: &str| integration.get(name).and_then(Value::as_str);
        let provider = match text("type") {
            Some("ephemeral_mcp") => {
                json!({ "type": "ephemeral_mcp", "server_label": text("server_label").unwrap_or_default() })
            }
            _ => {
                let id = text("id").or(integration.as_str()).unwrap_or_default();
                json!({ "type": "plugin", "plugin_id": id })
            }
        };
        let allowed = integration.get("allowed_tools").and_then(Value::as_array);
        let names: Vec<&str> = match allowed {
            Some(names) => names.iter().filter_map(Value::as_str).collect(),
            None => vec![ECHO],
        };
        names.into_iter().map(|tool| Self { tool: tool.to_owned(), provider: provider.clone() }).collect()
    }
}

// === impl Outcome ===

impl Outcome {
    /// What an imitated model says.
    pub(super) fn imitated(question: &Question, handle: &Handle) -> Self {
        let tools: Vec<Box<RawValue>> =
            question.offers.iter().filter_map(|offer| declared(&offer.tool)).collect();
        let mut request = question.request();
        request.tools = Some(tools.iter().map(AsRef::as_ref).collect());
        let answer = Answer::to(&request, &handle.model, &handle.id);
        let mut items = Vec::new();
        if !answer.reasoning.is_empty() {
            items.push(Item::Reasoning { content: answer.reasoning });
        }
        let mut spoken = answer.text;
        for call in answer.calls {
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            let output = json!([{ "type": "text", "text": call.arguments }]).to_string();
            let offer = question.offers.iter().find(|offer| offer.tool == call.name);
            let provider_info = offer.map(|offer| offer.provider.clone()).unwrap_or_default();
            spoken = format!("[{}] The tool answered: {}", handle.id, call.arguments);
            items.push(Item::ToolCall { tool: call.name, arguments, output, provider_info });
        }
        let words = request.messages.iter().flatten().next_back().map(own_words).unwrap_or_default();
        items.extend(unknown_tool(&words, &question.offers));
        items.push(Item::Message { content: spoken });
        Self { items, refused: None }
    }

    /// What the process behind an instance says.
    pub(super) async fn of_engine(
        question: &Question,
        shared: &Shared,
        handle: &Handle,
        address: std::net::SocketAddr,
    ) -> Result<Self, EngineGone> {
        let body = question.json(&handle.id);
        let (status, answer) = shared.engines.ask(address, "/v1/chat/completions", &body).await?;
        if !status.is_success() {
            let code = status.as_u16();
            let refused = Some(format!("Engine protocol predict request returned {code}: {answer}"));
            return Ok(Self { items: Vec::new(), refused });
        }
        let text = |key: &str| {
            let path = format!("/choices/0/message/{key}");
            answer.pointer(&path).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let reasoning = Item::Reasoning { content: text("reasoning_content") };
        let items = [reasoning, Item::Message { content: text("content") }];
        let is_said = |item: &Item| item.reasoning() != Some("");
        Ok(Self { items: items.into_iter().filter(is_said).collect(), refused: None })
    }
}

/// A tool as a chat request declares it.
fn declared(name: &str) -> Option<Box<RawValue>> {
    let parameters = json!({ "type": "object", "properties": {}, "required": [] });
    let tool = json!({ "type": "function", "function": { "name": name, "parameters": parameters } });
    RawValue::from_string(tool.to_string()).ok()
}

/// The call of a tool that nobody has, where tools are on offer at all.
fn unknown_tool(words: &str, offers: &[Offer]) -> Option<Item> {
    let (_, rest) = words.split_once("call ").filter(|_| !offers.is_empty())?;
    let name: String = rest.chars().take_while(|it| it.is_alphanumeric() || "_-".contains(*it)).collect();
    if name.is_empty() || offers.iter().any(|offer| offer.tool.eq_ignore_ascii_case(&name)) {
        return None;
    }
    let metadata = json!({ "type": "invalid_name", "tool_name": name });
    Some(Item::InvalidToolCall { reason: format!("Cannot find tool with name {name}."), metadata })
}

//! Requests of the gateway's own within a client's conversation: another model is to write a tool call, or the model is to
//! go on after a call that was withheld. Made of the body that was composed for that model, so that what a prompt, a patch
//! or a medium made of the conversation holds here too.
//!
//! Pure. These bodies are parsed as a whole: they are rare, and a model will take far longer over them than a parser.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::json::mended;

/// A tool call that another model is to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order<'a> {
    /// The tool.
    pub tool: &'a str,
    /// What the assistant has said in this message before it called tools.
    pub said: &'a str,
    /// The arguments that the first model wrote for it.
    pub draft: &'a str,
    /// The message's other calls with their arguments, so that this one is not mistaken for one of them.
    pub beside: &'a [(&'a str, &'a str)],
    /// Members that the arguments must have, as JSON; none where all are free.
    pub fixed: Option<&'a str>,
    /// How the model is made to call it.
    pub force: Force,
}

/// How a model is made to call a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// `tool_choice` says `required`: the only form that every server takes, and with one tool on offer it names it.
    Required,
    /// The words alone.
    Words,
}

/// A message of the model's all of whose calls were withheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What else it said.
    pub said: String,
    /// Its calls.
    pub withheld: Vec<Withheld>,
}

/// A call that was withheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The call's id.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its arguments, as the model wrote them.
    pub arguments: String,
    /// Why.
    pub reason: String,
}

/// Why there is no such request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The scan was content with the body, a parser is not.
    #[error("the request body is not valid JSON: {0}")]
    Body(String),
    /// The client does not offer it.
    #[error("the request offers no tool `{0}`")]
    NoSuchTool(String),
}

/// What does not fit a request for one call: other answers than one, other forms than a call, an end before it.
const UNFIT: [&str; 8] = [
    "n",
    "response_format",
    "functions",
    "function_call",
    "parallel_tool_calls",
    "stop",
    "logprobs",
    "top_logprobs",
];

/// The request for one tool call.
pub fn call(body: &[u8], order: &Order<'_>) -> Result<Bytes, OrderError> {
    let mut body = read(body)?;
    let no_such_tool = || OrderError::NoSuchTool(order.tool.to_owned());
    let tool = find(&body, order.tool).cloned().ok_or_else(no_such_tool)?;
    let tool = narrowed(tool, order.fixed);
    UNFIT.iter().for_each(|key| drop(body.shift_remove(*key)));
    body.insert("tools".to_owned(), json!([tool]));
    match order.force {
        Force::Required => body.insert("tool_choice".to_owned(), json!("required")),
        Force::Words => body.shift_remove("tool_choice"),
    };
    body.insert("stream".to_owned(), json!(true));
    body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    let mut messages = messages(&mut body);
    if !order.said.trim().is_empty() {
        messages.push(json!({"role": "assistant", "content": order.said}));
    }
    instruct(&mut messages, &instruction(order));
    write(body, messages)
}

/// The request with which the model goes on after all its calls were withheld.
pub fn go_on(body: &[u8], told: &Told) -> Result<Bytes, OrderError> {
    let mut body = read(body)?;
    let mut messages = messages(&mut body);
    let calls: Vec<Value> = told
        .withheld
        .iter()
        .map(|call| {
            json!({"id": call.id, "type": "function",
                "function": {"name": call.tool, "arguments": call.arguments}})
        })
        .collect();
    let content = if told.said.is_empty() { Value::Null } else { Value::from(told.said.as_str()) };
    messages.push(json!({"role": "assistant", "content": content, "tool_calls": calls}));
    for call in &told.withheld {
        let result = format!("The call was not made. {}", call.reason);
        messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
    }
    write(body, messages)
}

/// A tool that the client offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    /// The JSON Schema of its arguments, where the client gives one.
    pub schema: Option<Value>,
}

/// The tool of this name; none where the client does not offer it.
pub fn offered(body: &[u8], tool: &str) -> Option<Offered> {
    let body = read(body).ok()?;
    let schema = function(find(&body, tool)?).get("parameters").filter(|schema| schema.is_object()).cloned();
    Some(Offered { schema })
}

/// The tool, for a call in which these arguments are fixed: servers that force arguments into a schema force these, too.
fn narrowed(mut tool: Value, fixed: Option<&str>) -> Value {
    let fixed: Map<String, Value> =
        fixed.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let nested = tool.get("function").is_some();
    let function = if nested { tool.get_mut("function") } else { Some(&mut tool) };
    let parameters =
        function.and_then(|function| function.get_mut("parameters")).and_then(Value::as_object_mut);
    if let Some(parameters) = parameters
        && let Value::Object(properties) = parameters.entry("properties").or_insert_with(|| json!({}))
    {
        for (name, value) in fixed {
            properties.insert(name, json!({"const": value}));
        }
    }
    tool
}

fn read(body: &[u8]) -> Result<Map<String, Value>, OrderError> {
    serde_json::from_slice(&mended(body)).map_err(|error| OrderError::Body(error.to_string()))
}

/// The messages, which leave an empty place behind.
fn messages(body: &mut Map<String, Value>) -> Vec<Value> {
    match body.insert("messages".to_owned(), Value::Null) {
        Some(Value::Array(messages)) => messages,
        _ => Vec::new(),
    }
}

fn write(mut body: Map<String, Value>, messages: Vec<Value>) -> Result<Bytes, OrderError> {
    body.insert("messages".to_owned(), Value::Array(messages));
    serde_json::to_vec(&body).map(Bytes::from).map_err(|error| OrderError::Body(error.to_string()))
}

fn find<'b>(body: &'b Map<String, Value>, tool: &str) -> Option<&'b Value> {
    body.get("tools")?.as_array()?.iter().find(|it| name(it) == Some(tool))
}

/// A tool's function: nested, as OpenAI has it, or the tool itself.
fn function(tool: &Value) -> &Value {
    tool.get("function").unwrap_or(tool)
}

fn name(tool: &Value) -> Option<&str> {
    function(tool).get("name")?.as_str()
}

/// Puts the instruction at the end. Templates of some models refuse two messages of the user in a row, so one that is last
/// takes it in.
fn instruct(messages: &mut Vec<Value>, text: &str) {
    let last = messages.last_mut().filter(|it| it.get("role").and_then(Value::as_str) == Some("user"));
    match last.and_then(|message| message.get_mut("content")) {
        Some(Value::String(content)) => {
            content.push_str("\n\n");
            content.push_str(text);
        }
        Some(Value::Array(parts)) => parts.push(json!({"type": "text", "text": text})),
        _ => messages.push(json!({"role": "user", "content": text})),
    }
}

fn instruction(order: &Order<'_>) -> String {
    let Order { tool, draft, beside, fixed, .. } = order;
    let mut text = format!(
        "The next step is one call of the tool `{tool}`. Make exactly this call now, with complete and correct arguments, \
         and write nothing else."
    );
    if !draft.trim().is_empty() {
        text.push_str(&format!(
            "\nA draft of its arguments, which may be wrong or incomplete; its intent counts:\n{draft}"
        ));
    }
    if let Some(fixed) = fixed {
        text.push_str(&format!("\nThese arguments must stay as they are:\n{fixed}"));
    }
    if !beside.is_empty() {
        text.push_str("\nThese calls are made beside it and are not to be repeated:");
        for (name, arguments) in *beside {
            text.push_str(&format!("\n{name} {arguments}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"model":"m","n":1,"stop":["x"],"messages":[{"role":"user","content":"mend it"}],
        "tools":[{"type":"function","function":{"name":"read"}},
        {"type":"function","function":{"name":"edit","parameters":{"type":"object","required":["path"]}}},
        {"type":"function","name":"flat","parameters":{"type":"object"}}],
        "tool_choice":{"type":"function","function":{"name":"edit"}},"temperature":0.5,"stream":false}"#;

    fn order() -> Order<'static> {
        Order {
            tool: "edit",
            said: "I will edit.",
            draft: "{\"path\":",
            beside: &[],
            fixed: None,
            force: Force::Required,
        }
    }

    fn made(body: &str, order: &Order<'_>) -> Value {
        serde_json::from_slice(&call(body.as_bytes(), order).unwrap()).unwrap()
    }

    #[test]
    fn one_call_is_asked_for() {
        let made = made(BODY, &order());
        assert_eq!(made["tool_choice"], "required");
        assert_eq!(made["tools"].as_array().unwrap().len(), 1);
        assert_eq!(made["tools"][0]["function"]["name"], "edit");
        assert_eq!(
            (&made["stream"], &made["temperature"], &made["model"]),
            (&json!(true), &json!(0.5), &json!("m"))
        );
        assert!(made.get("n").is_none() && made.get("stop").is_none());
        let messages = made["messages"].as_array().unwrap();
        let roles: Vec<&str> = messages.iter().map(|it| it["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user"]);
        assert_eq!(messages[1]["content"], "I will edit.");
        let told = messages[2]["content"].as_str().unwrap();
        assert!(told.contains("`edit`") && told.contains("{\"path\":"), "{told}");
    }

    #[test]
    fn the_users_own_last_message_takes_the_instruction_in() {
        let plain = Order { said: " ", ..order() };
        let one = made(BODY, &plain);
        assert_eq!(one["messages"].as_array().unwrap().len(), 1);
        assert!(one["messages"][0]["content"].as_str().unwrap().starts_with("mend it\n\nThe next step"));
        let parts = BODY.replace("\"mend it\"", r#"[{"type":"text","text":"mend it"}]"#);
        assert_eq!(made(&parts, &plain)["messages"][0]["content"].as_array().unwrap().len(), 2);
        let tool = BODY.replace("\"role\":\"user\"", "\"role\":\"tool\"");
        assert_eq!(made(&tool, &plain)["messages"][1]["role"], "user");
    }

    #[test]
    fn what_must_stay_and_what_is_beside_is_told() {
        let order = Order {
            fixed: Some(r#"{"id":"x"}"#),
            beside: &[("read", "{\"a\":1}")],
            force: Force::Words,
            tool: "flat",
            ..order()
        };
        let made = made(BODY, &order);
        assert!(made.get("tool_choice").is_none());
        assert_eq!(made["tools"][0]["parameters"]["properties"]["id"], json!({"const": "x"}));
        let told = made["messages"][2]["content"].as_str().unwrap();
        assert!(
            told.contains("must stay as they are:\n{\"id\":\"x\"}") && told.ends_with("\nread {\"a\":1}"),
            "{told}"
        );
    }

    #[test]
    fn a_tool_that_is_not_offered_cannot_be_called() {
        let unknown = Order { tool: "write", ..order() };
        assert_eq!(call(BODY.as_bytes(), &unknown), Err(OrderError::NoSuchTool("write".to_owned())));
        assert!(matches!(call(b"[]", &order()), Err(OrderError::Body(_))));
    }

    #[test]
    fn schemas_are_found_in_either_shape() {
        let schema = |tool| offered(BODY.as_bytes(), tool).map(|offered| offered.schema);
        assert_eq!(schema("edit").flatten().unwrap()["required"][0], "path");
        assert!(schema("flat").flatten().is_some());
        assert_eq!((schema("read"), schema("none")), (Some(None), None));
    }

    #[test]
    fn the_model_goes_on_with_the_reason_in_its_hand() {
        let withheld = Withheld {
            id: "call_1".to_owned(),
            tool: "edit".to_owned(),
            arguments: "{}".to_owned(),
            reason: "read only".to_owned(),
        };
        let told = Told { said: String::new(), withheld: vec![withheld] };
        let made: Value = serde_json::from_slice(&go_on(BODY.as_bytes(), &told).unwrap()).unwrap();
        let messages = made["messages"].as_array().unwrap();
        assert_eq!(messages[1]["content"], Value::Null);
        assert_eq!(messages[1]["tool_calls"][0]["function"]["name"], "edit");
        assert_eq!((&messages[2]["role"], &messages[2]["tool_call_id"]), (&json!("tool"), &json!("call_1")));
        assert_eq!(messages[2]["content"], "The call was not made. read only");
        assert_eq!(made["tools"].as_array().unwrap().len(), 3);
    }
}

//! When a model calls a tool and with what: when the user's words ask for one by name, or when the request demands one.
//!
//! Arguments are the JSON that stands after the name; without any they are made up from the tool's schema, with the
//! serving instance's name in every string, so that it can be seen who wrote them.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A call the answer makes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// JSON.
    pub(crate) arguments: String,
}

/// A tool on offer.
#[derive(Debug, Default, Deserialize)]
struct Tool {
    #[serde(default)]
    function: Function,
}

#[derive(Debug, Default, Deserialize)]
struct Function {
    #[serde(default)]
    name: String,
    #[serde(default)]
    parameters: Value,
}

/// Calls one answer makes at most.
const CALLS_MAX: usize = 16;

/// Values of nested schemas are made up to this depth.
const SCHEMA_DEPTH_MAX: usize = 8;

/// The calls that `words` ask for, in their order; where the request demands a call and none is named, the first tool.
pub(super) fn calls(words: &str, offered: &[&RawValue], demanded: bool, instance: &str) -> Vec<Call> {
    let tools: Vec<Function> = offered
        .iter()
        .filter_map(|tool| serde_json::from_str::<Tool>(tool.get()).ok())
        .map(|tool| tool.function)
        .filter(|function| !function.name.is_empty())
        .collect();
    let mut named: Vec<(usize, Call)> =
        tools.iter().flat_map(|tool| mentions(words, tool, instance)).collect();
    named.sort_by_key(|(place, _)| *place);
    if named.is_empty() && demanded {
        named.extend(tools.first().map(|tool| (0, call(tool, "", instance))));
    }
    named.into_iter().map(|(_, call)| call).take(CALLS_MAX).collect()
}

// === impl Call ===

impl Call {
    /// Leaves half of the arguments.
    pub(super) fn break_off(&mut self) {
        self.arguments.truncate(self.arguments.floor_char_boundary(self.arguments.len() / 2));
    }
}

/// Every place where `call NAME` or `use the NAME tool` stands.
fn mentions(words: &str, tool: &Function, instance: &str) -> Vec<(usize, Call)> {
    let lower = words.to_lowercase();
    // Lower-casing may move byte offsets in some scripts; then only the original spelling is looked for.
    let haystack = if lower.len() == words.len() { lower.as_str() } else { words };
    let name = if lower.len() == words.len() { tool.name.to_lowercase() } else { tool.name.clone() };
    let forms = [format!("call {name}"), format!("use the {name} tool")];
    let mut found = Vec::new();
    for form in &forms {
        for (place, _) in haystack.match_indices(form.as_str()) {
            let rest = words.get(place + form.len()..).unwrap_or_default();
            if !rest.starts_with(|it: char| it.is_alphanumeric() || it == '_' || it == '-') {
                found.push((place, call(tool, rest, instance)));
            }
        }
    }
    found
}

/// A call with the JSON object at the beginning of `rest`, if there is one.
fn call(tool: &Function, rest: &str, instance: &str) -> Call {
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("with").or_else(|| rest.strip_prefix(':')).unwrap_or(rest);
    let given = serde_json::Deserializer::from_str(rest).into_iter::<Map<String, Value>>().next();
    let arguments = match given {
        Some(Ok(object)) => Value::Object(object),
        _ => made_up(&tool.parameters, instance, SCHEMA_DEPTH_MAX),
    };
    Call { name: tool.name.clone(), arguments: arguments.to_string() }
}

/// A value that a JSON Schema allows: a constant, the first of an enumeration, the required properties of an object.
fn made_up(schema: &Value, instance: &str, depth: usize) -> Value {
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|values| values.first()) {
        return first.clone();
    }
    let of = |name: &str| schema.get("properties").and_then(|all| all.get(name)).unwrap_or(&Value::Null);
    match schema.get("type").and_then(Value::as_str) {
        _ if depth == 0 => Value::Null,
        Some("string") => Value::String(format!("written by {instance}")),
        Some("integer" | "number") => Value::from(1),
        Some("boolean") => Value::Bool(true),
        Some("null") => Value::Null,
        Some("array") => {
            let item = schema.get("items").map(|items| made_up(items, instance, depth - 1));
            Value::Array(item.into_iter().collect())
        }
        _ => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let names = required.filter_map(Value::as_str);
            let fields = names.map(|name| (name.to_owned(), made_up(of(name), instance, depth - 1)));
            Value::Object(fields.collect())
        }
    }
}

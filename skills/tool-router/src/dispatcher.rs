//! Tools that call other tools: one name on the wire, the name of the tool that is meant in the arguments.
//!
//! What reaches the client stays the dispatcher's call. Only the member in which the inner tool's arguments stand is
//! another model's to write; all others stay as the calling model wrote them, so that it is the same tool that runs.

use std::collections::BTreeMap;

use pointsman_sdk::log;
use serde_json::{Map, Value};

/// Bytes of what stays of a call: no more than the host takes.
const FIXED_BYTES_MAX: usize = 16 << 10;

/// By the tool's name.
pub(crate) type Dispatchers = BTreeMap<String, Dispatcher>;

/// Where a dispatcher's arguments say what is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dispatcher {
    /// The member with the inner tool's name.
    pub(crate) name: String,
    /// The member with the inner tool's arguments.
    pub(crate) arguments: String,
}

impl Dispatcher {
    /// OpenClaw hides most of its tools behind this one.
    pub(crate) fn of_openclaw() -> (String, Self) {
        let dispatcher = Self { name: "id".to_owned(), arguments: "args".to_owned() };
        ("tool_call".to_owned(), dispatcher)
    }

    /// The tool that is meant.
    pub(crate) fn tool<'a>(&self, arguments: &'a Map<String, Value>) -> Option<&'a str> {
        arguments.get(&self.name)?.as_str().filter(|name| !name.is_empty())
    }

    /// What stays of the call: a JSON object; none where that is more than can be kept.
    pub(crate) fn fixed(&self, arguments: &Map<String, Value>) -> Option<String> {
        let others = arguments.iter().filter(|(name, _)| **name != self.arguments);
        let fixed: Map<String, Value> = others.map(|(name, value)| (name.clone(), value.clone())).collect();
        let json = Value::Object(fixed).to_string();
        if json.len() > FIXED_BYTES_MAX {
            log::info("a call was passed: beside the arguments it has more than can be kept as it is");
            return None;
        }
        Some(json)
    }
}

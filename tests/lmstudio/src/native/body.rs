//! Strict bodies of the native API: which keys there may be and of what type, and the refusals of anything else.

use std::fmt::Write as _;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};

use crate::reply::{NativeError, Reply};
use crate::server::broken_json;

/// What a field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    RequiredString,
    /// A string or an array.
    RequiredInput,
    String,
    Number,
    Boolean,
    Array,
}

/// A body that has passed.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

// === impl Fields ===

impl Fields {
    /// Reads a body; the error is the answer. Missing and wrong fields are reported before unknown ones.
    pub(super) fn read(body: &Bytes, known: &[(&str, Need)]) -> Result<Self, Reply> {
        let value: Value = serde_json::from_slice(body).map_err(|_| broken_json())?;
        let Value::Object(map) = value else {
            let message = format!("Expected object, received {}", type_name(&value));
            return Err(refusal(&message, None, "invalid_type"));
        };
        for (name, need) in known {
            check(name, *need, map.get(*name))?;
        }
        let unknown = map.keys().filter(|key| known.iter().all(|(name, _)| name != key));
        let mut list = String::new();
        for key in unknown {
            let comma = if list.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(list, "{comma}'{key}'");
        }
        if list.is_empty() {
            return Ok(Self(map));
        }
        Err(refusal(&format!("Unrecognized key(s) in object: {list}"), None, "unrecognized_keys"))
    }

    /// A required string.
    pub(super) fn string(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A string that may be absent.
    pub(super) fn optional_string(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// Whatever stands there.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }
}

fn check(name: &str, need: Need, value: Option<&Value>) -> Result<(), Reply> {
    let Some(value) = value else {
        return match need {
            Need::RequiredString | Need::RequiredInput => {
                Err(refusal(&format!("\"{name}\" is required"), Some(name), "missing_required_parameter"))
            }
            Need::String | Need::Number | Need::Boolean | Need::Array => Ok(()),
        };
    };
    let (expected, fits) = match need {
        Need::RequiredString | Need::String => ("string", value.is_string()),
        Need::RequiredInput => ("string or array", value.is_string() || value.is_array()),
        Need::Array => ("array", value.is_array()),
        Need::Number => ("number", value.is_number()),
        Need::Boolean => ("boolean", value.is_boolean()),
    };
    if fits {
        return Ok(());
    }
    let message = format!("Expected {expected}, received {}", type_name(value));
    Err(refusal(&message, Some(name), "invalid_type"))
}

/// 400 for what is wrong with a body.
pub(super) fn refusal(message: &str, param: Option<&str>, code: &str) -> Reply {
    let error = NativeError { message, kind: "invalid_request", param, code: Some(code) };
    Reply::native_error(StatusCode::BAD_REQUEST, &error)
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

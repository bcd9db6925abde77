//! Arguments of a tool call, as a model wrote them, against what the client's tool takes. Pure.

use jsonschema::Validator;
use serde_json::{Map, Value};

/// What arguments must be like.
#[derive(Debug)]
pub struct Expected {
    /// None where the client gives no schema, or one that nothing can be checked against.
    schema: Option<Validator>,
    /// Members that they must have with these values.
    fixed: Map<String, Value>,
}

/// Why arguments will not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not JSON.
    #[error("its arguments are not JSON: {0}")]
    NotJson(String),
    /// Some other JSON.
    #[error("its arguments are not a JSON object")]
    NotAnObject,
    /// Against the schema.
    #[error("its arguments do not fit the tool's schema: {0}")]
    Misfit(String),
    /// Against what must stay.
    #[error("its argument `{0}` is not what it has to be")]
    NotFixed(String),
}

/// Faults that are named at once.
const FAULTS_MAX: usize = 3;

/// Bytes of what is said of the faults: they may quote the arguments.
const TOLD_BYTES_MAX: usize = 400;

// === impl Expected ===

impl Expected {
    /// What a tool with this JSON Schema takes, with `fixed` (a JSON object, where there is one) in it. Nothing is fetched
    /// for a schema: one that refers to elsewhere is as good as none.
    pub fn new(schema: Option<&Value>, fixed: Option<&str>) -> Self {
        let schema = schema.and_then(|schema| jsonschema::validator_for(schema).ok());
        let fixed = fixed.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        Self { schema, fixed }
    }

    /// Whether these arguments will do.
    ///
    /// # Errors
    /// They will not; why.
    pub fn check(&self, arguments: &str) -> Result<(), Unfit> {
        let value: Value =
            serde_json::from_str(arguments).map_err(|error| Unfit::NotJson(error.to_string()))?;
        let object = value.as_object().ok_or(Unfit::NotAnObject)?;
        let differs = |(name, fixed): &(&String, &Value)| object.get(*name) != Some(fixed);
        if let Some((name, _)) = self.fixed.iter().find(differs) {
            return Err(Unfit::NotFixed(name.clone()));
        }
        let Some(schema) = &self.schema else { return Ok(()) };
        let faults: Vec<String> = schema
            .iter_errors(&value)
            .take(FAULTS_MAX)
            .map(|error| format!("{} at `{}`", error.masked(), error.instance_path()))
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        let mut told = faults.join("; ");
        told.truncate(told.floor_char_boundary(TOLD_BYTES_MAX));
        Err(Unfit::Misfit(told))
    }
}

/// The arguments that a model wrote as text where it was to call a tool: a JSON object, alone or in a fence, either the
/// arguments themselves or a call around them. A call of another tool is none of this one.
pub fn in_text(text: &str, tool: &str) -> Option<String> {
    let start = text.find('{')?;
    let mut values = serde_json::Deserializer::from_str(text.get(start..)?).into_iter::<Map<String, Value>>();
    let mut object = values.next()?.ok()?;
    let named = object.get("name").and_then(Value::as_str).map(|name| name == tool);
    match (named, object.shift_remove("arguments")) {
        (Some(true), Some(Value::String(arguments))) => Some(arguments),
        (Some(true), Some(arguments)) => Some(arguments.to_string()),
        (Some(false), Some(_)) => None,
        (_, arguments) => {
            object.extend(arguments.map(|arguments| ("arguments".to_owned(), arguments)));
            Some(Value::Object(object).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_checked_against_schema_and_what_is_fixed() {
        let schema = json!({"type":"object","required":["path"],"properties":{"path":{"type":"string"}},
            "additionalProperties":false});
        let check = |schema: Option<&Value>, fixed: Option<&str>, arguments: &str| {
            Expected::new(schema, fixed).check(arguments).map_err(|unfit| unfit.to_string())
        };
        let some = Some(&schema);
        assert_eq!(check(some, None, r#"{"path":"a"}"#), Ok(()));
        assert_eq!(check(some, Some(r#"{"path":"a"}"#), r#"{"path":"a"}"#), Ok(()));
        assert_eq!(check(None, None, "{}"), Ok(()));
        let elsewhere = json!({"$ref": "https://example.com/schema.json"});
        assert_eq!(check(Some(&elsewhere), None, "{}"), Ok(()));
        for (arguments, reason) in [
            ("", "its arguments are not JSON: "),
            ("{\"path\":", "its arguments are not JSON: "),
            ("[1]", "its arguments are not a JSON object"),
            ("{}", "its arguments do not fit the tool's schema: \"path\" is a required property"),
            (r#"{"path":7,"more":1}"#, "its arguments do not fit the tool's schema: "),
        ] {
            let told = check(some, None, arguments).unwrap_err();
            assert!(told.starts_with(reason), "{told}");
        }
        assert_eq!(
            check(some, Some(r#"{"path":"a"}"#), r#"{"path":"b"}"#).unwrap_err(),
            "its argument `path` is not what it has to be"
        );
    }

    #[test]
    fn a_call_in_words_is_understood() {
        let arguments = r#"{"path":"a"}"#;
        for text in [
            arguments.to_owned(),
            format!("```json\n{arguments}\n```"),
            format!("Here: {{\"name\":\"edit\",\"arguments\":{arguments}}} done"),
            r#"<tool_call>{"name":"edit","arguments":"{\"path\":\"a\"}"}</tool_call>"#.to_owned(),
        ] {
            assert_eq!(in_text(&text, "edit").as_deref(), Some(arguments), "{text}");
        }
        assert_eq!(in_text(r#"{"name":"read","arguments":{}}"#, "edit"), None);
        for own in [r#"{"name":"a file"}"#, r#"{"arguments":[]}"#] {
            assert_eq!(in_text(own, "edit").as_deref(), Some(own));
        }
        assert_eq!(in_text("I cannot { do that", "edit"), None);
        assert_eq!(in_text("no", "edit"), None);
    }
}

//! Our entry put into a client's configuration file as it stands: a text in, a text out.
//!
//! Only the value at the format's path changes; whatever else the file has stays byte for byte, with its comments and its
//! indentation, but for the comma and the line breaks that a new entry needs. What comes out is read again and compared
//! before anybody gets it, so that a file this cannot edit well is refused rather than spoilt. Comments *within* our
//! entry would be lost, and refuse it too. What the client would not read is refused as no configuration of it: OpenClaw
//! reads JSON5, opencode JSON with comments and trailing commas, and our own export is plain JSON.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstObjectProp, CstRootNode};
use serde_json::{Map, Value};

use super::export::{Export, Format, OURS};

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// It says all of it already.
    Same,
    /// The text as it should be.
    Changed(String),
}

/// Why a text cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The client would not read it either.
    #[error("it cannot be read as JSON: {0}")]
    Unreadable(String),
    /// It is JSON, and no configuration.
    #[error("it holds no JSON object")]
    NoObject,
    /// Something else stands where our entry's place is.
    #[error("`{0}` is no object in it, so that there is no place for the models")]
    NotAnObject(String),
    /// Which one counts is the client's secret.
    #[error("`{0}` is written twice in it; take one out")]
    Twice(String),
    /// They cannot be kept where they are.
    #[error(
        "comments within `{path}` would be lost, such as {comment:?}; move them out of it, or take them out"
    )]
    Comments {
        /// The keys that lead to our entry.
        path: String,
        /// The first of them.
        comment: String,
    },
    /// The whole file would be replaced, and it is somebody else's.
    #[error("it is no export of this command, which has `base_url` and `models`; name another file")]
    NotOurs,
    /// The file has a form that cannot be edited without touching something else.
    #[error("it cannot be edited without changing other parts of it; put the entry in by hand")]
    Unsafe,
}

/// Marks a file's encoding; some editors write it, and it has to stay.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Characters of a comment that an error quotes.
const QUOTED_MAX: usize = 60;

/// The client's file `text` with our entry in it.
///
/// # Errors
///
/// Where the text is no configuration, or something in it would be lost.
pub fn edited(text: &str, export: &Export) -> Result<Edited, EditError> {
    if text.trim_start_matches(BYTE_ORDER_MARK).trim().is_empty() {
        return Ok(Edited::Changed(export.text()));
    }
    if export.format() == Format::Json {
        return replaced(text, export);
    }
    let unmarked = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mark = text.strip_suffix(unmarked).unwrap_or_default();
    let new = match inserted(unmarked, export)? {
        Edited::Same => return Ok(Edited::Same),
        Edited::Changed(new) => new,
    };
    Ok(Edited::Changed(format!("{mark}{new}")))
}

/// Our own file is replaced whole, if it is ours.
fn replaced(text: &str, export: &Export) -> Result<Edited, EditError> {
    let old: Value = serde_json::from_str(text).map_err(|error| EditError::Unreadable(error.to_string()))?;
    if OURS.iter().any(|key| old.get(key).is_none()) {
        return Err(EditError::NotOurs);
    }
    if old == export.entry() { Ok(Edited::Same) } else { Ok(Edited::Changed(export.text())) }
}

fn inserted(text: &str, export: &Export) -> Result<Edited, EditError> {
    let path = export.format().path();
    let root = parse(text, export.format())?;
    let before = value_of(&root)?;
    let comments = comments(root.clone().into());
    let mut entry = export.entry();
    match find(&root, path)? {
        Place::Entry(property) => {
            let old = property.to_serde_value().unwrap_or_default();
            keep(&mut entry, &old, export.format());
            if old == entry {
                return Ok(Edited::Same);
            }
            let inside = property.value().map(self::comments).unwrap_or_default();
            if let Some(comment) = inside.first() {
                let comment = comment.trim().chars().take(QUOTED_MAX).collect();
                return Err(EditError::Comments { path: path.join("."), comment });
            }
            property.set_value(input(&entry));
        }
        Place::Within(object, key, rest) => {
            let nest = |inner, key: &&str| CstInputValue::Object(vec![((*key).to_owned(), inner)]);
            object.append(key, rest.iter().rev().fold(input(&entry), nest));
        }
    }
    let new = root.to_string();
    let again = parse(&new, export.format()).map_err(|_| EditError::Unsafe)?;
    let is_kept = value_of(&again)? == with(before, path, entry) && self::comments(again.into()) == comments;
    if is_kept { Ok(Edited::Changed(new)) } else { Err(EditError::Unsafe) }
}

/// Where our entry is, or belongs.
enum Place<'a> {
    /// There is one.
    Entry(CstObjectProp),
    /// There is none: this object lacks this key, and the others below it.
    Within(CstObject, &'a str, &'a [&'a str]),
}

fn find<'a>(root: &CstRootNode, path: &'a [&'a str]) -> Result<Place<'a>, EditError> {
    let mut object = root.object_value().ok_or(EditError::NoObject)?;
    let mut so_far = Vec::new();
    let mut keys = path.iter();
    while let Some(key) = keys.next() {
        so_far.push(*key);
        let named = |property: &CstObjectProp| property.decoded_name().is_some_and(|name| name == *key);
        let mut found = object.properties().into_iter().filter(named);
        let Some(property) = found.next() else { return Ok(Place::Within(object, key, keys.as_slice())) };
        if found.next().is_some() {
            return Err(EditError::Twice(so_far.join(".")));
        }
        if keys.as_slice().is_empty() {
            return Ok(Place::Entry(property));
        }
        object = property.object_value().ok_or_else(|| EditError::NotAnObject(so_far.join(".")))?;
    }
    Err(EditError::Unsafe)
}

fn parse(text: &str, format: Format) -> Result<CstRootNode, EditError> {
    let is_json5 = format == Format::Openclaw;
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_missing_commas: false,
        allow_loose_object_property_names: is_json5,
        allow_single_quoted_strings: is_json5,
        allow_hexadecimal_numbers: is_json5,
        allow_unary_plus_numbers: is_json5,
        allow_bare_decimal_point_numbers: is_json5,
        allow_non_finite_numbers: is_json5,
        allow_extended_string_escapes: is_json5,
    };
    CstRootNode::parse(text, &options).map_err(|error| EditError::Unreadable(error.to_string()))
}

fn value_of(root: &CstRootNode) -> Result<Value, EditError> {
    root.to_serde_value().ok_or(EditError::NoObject)
}

/// Every comment below a node, in order. As deep as the parser goes, which has a limit of its own.
fn comments(node: CstNode) -> Vec<String> {
    match node.as_comment() {
        Some(comment) => vec![comment.raw_value()],
        None => node.children().into_iter().flat_map(comments).collect(),
    }
}

/// Keeps what users set within our entry.
fn keep(entry: &mut Value, old: &Value, format: Format) {
    for path in format.kept() {
        let set = path.iter().try_fold(old, |value, key| value.get(key));
        if let Some(set) = set.filter(|set| !set.is_null()) {
            *entry = with(std::mem::take(entry), path, set.clone());
        }
    }
}

/// A value with another one at this path.
fn with(value: Value, path: &[&str], new: Value) -> Value {
    let [key, rest @ ..] = path else { return new };
    let mut object = match value {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    let slot = object.entry(*key).or_insert(Value::Null);
    *slot = with(slot.take(), rest, new);
    Value::Object(object)
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(it) => CstInputValue::Bool(*it),
        Value::Number(it) => CstInputValue::Number(it.to_string()),
        Value::String(it) => CstInputValue::String(it.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(members) => {
            CstInputValue::Object(members.iter().map(|(key, value)| (key.clone(), input(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests;

//! From the text of the file to what is written in it: everything that can be understood, and each wrong key with its line.
//! At most [`PROBLEMS_MAX`] wrong keys are named at once. What the keys mean is `resolve`.

use std::collections::BTreeMap;

use serde_path_to_error::Segment;
use toml::de::{DeTable, DeValue};
use toml_edit::Key;

use super::file::File;
use super::{Problem, Secret};

/// Wrong keys that are named at once; each costs another reading of the file.
pub(super) const PROBLEMS_MAX: usize = 50;

// === impl File ===

impl File {
    /// Everything that can be understood of a text, and what cannot: each wrong key is named, left out, and the rest is
    /// read again.
    ///
    /// # Errors
    /// Where the text is no TOML, with line and column.
    pub fn parse(text: &str) -> Result<(Self, Vec<Problem>), Problem> {
        let syntax = |error: toml::de::Error| Problem { key: None, message: syntax_error(text, &error) };
        let places = DeTable::parse(text).map_err(syntax)?;
        let mut table: toml::Table = toml::from_str(text).map_err(syntax)?;
        let mut problems = Vec::new();
        while problems.len() < PROBLEMS_MAX {
            let error = match serde_path_to_error::deserialize(toml::Value::Table(table.clone())) {
                Ok(file) => return Ok((file, problems)),
                Err(error) => error,
            };
            let path: Vec<_> = error.path().iter().map_while(step).collect();
            let line = line_of(places.get_ref(), &path).map(|at| position(text, at).0);
            let place = line.map(|line| format!(" (line {line})")).unwrap_or_default();
            let key = (!path.is_empty()).then(|| written(&path));
            problems
                .push(Problem { key, message: format!("{}{place}", told(&path, error.inner().message())) });
            if !forget(&mut table, &path) {
                break;
            }
        }
        Ok((Self::default(), problems))
    }
}

/// One step of the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// What is wrong with the value. Where it may be a key of somebody, put in the wrong place, only what belongs there is said.
fn told(path: &[Step], message: &str) -> String {
    let may_be_secret =
        matches!(path.first(), Some(Step::Key(table)) if table == "keys" || table == "providers");
    let shows_it = message.starts_with("invalid type") || message.starts_with("invalid value");
    match message.rsplit_once(", expected ") {
        _ if !may_be_secret || !shows_it => message.to_owned(),
        // The value stands before it, whatever is in the value.
        Some((_, expected)) => format!("not what belongs here, which is {expected}"),
        None => "not what belongs here".to_owned(),
    }
}

/// The way as one would write it: `models."openai/gpt-oss".aliases[0]`.
fn written(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => text.push_str(&format!("[{index}]")),
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                let bare = key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
                if bare && !key.is_empty() { text.push_str(key) } else { text.push_str(&format!("{key:?}")) }
            }
        }
    }
    text
}

/// Where the value at the end of the way begins, or the last one on it that is there: a byte.
fn line_of(table: &DeTable<'_>, path: &[Step]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let Step::Key(first) = first else { return None };
    let (key, mut value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    let mut at = key.span().start;
    for step in rest {
        match (step, value.get_ref()) {
            (Step::Key(name), DeValue::Table(table)) => {
                let Some((key, inner)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
                (at, value) = (key.span().start, inner);
            }
            (Step::Index(index), DeValue::Array(array)) => {
                let Some(inner) = array.get(*index) else { break };
                (at, value) = (inner.span().start, inner);
            }
            _ => break,
        }
    }
    Some(at)
}

/// Leaves out the value at the end of the way, or the list that it is in; says whether it was there.
fn forget(table: &mut toml::Table, path: &[Step]) -> bool {
    let keys = path.iter().map_while(|step| match step {
        Step::Key(key) => Some(key),
        Step::Index(_) => None,
    });
    let keys: Vec<_> = keys.collect();
    let Some((last, way)) = keys.split_last() else { return false };
    let mut table = table;
    for key in way {
        let Some(inner) = table.get_mut(*key).and_then(toml::Value::as_table_mut) else { return false };
        table = inner;
    }
    table.remove(*last).is_some()
}

/// What is wrong with the text's form. The line itself is not shown: there may be a key in it.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', ", ");
    match error.span() {
        Some(span) => {
            let (line, column) = position(text, span.start);
            format!("line {line}, column {column}: {message}")
        }
        None => message,
    }
}

/// Line and column of a byte, both from one.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

/// The line of a key, as errors name keys; where it is not written, of the table that it belongs to.
pub(super) fn line(text: &str, key: &str) -> Option<usize> {
    let path: Vec<_> = Key::parse(key).ok()?.iter().map(|part| Step::Key(part.get().to_owned())).collect();
    let places = DeTable::parse(text).ok()?;
    Some(position(text, line_of(places.get_ref(), &path)?).0)
}

/// Every value of a text with its key: what tells which keys another text changes. Of tables in lists, the list is the
/// value.
pub(super) fn leaves(text: &str) -> BTreeMap<String, Secret> {
    let mut found = BTreeMap::new();
    if let Ok(table) = toml::from_str::<toml::Table>(text) {
        gather(&table, &mut Vec::new(), &mut found);
    }
    found
}

fn gather(table: &toml::Table, path: &mut Vec<Step>, found: &mut BTreeMap<String, Secret>) {
    for (key, value) in table {
        path.push(Step::Key(key.clone()));
        match value {
            // An empty table is a value, too: `[providers.lmstudio]` names a server.
            toml::Value::Table(inner) if !inner.is_empty() => gather(inner, path, found),
            value => {
                found.insert(written(path), Secret::new(value.to_string()));
            }
        }
        path.pop();
    }
}

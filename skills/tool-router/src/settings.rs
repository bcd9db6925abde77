//! The user's settings, checked. Everything that is wrong is named at once, each by its key.
//!
//! Rules are read from a map or from a list, whichever is written; an agent's are laid over those that hold for all. What
//! rules mean is in [`rules`](crate::rules).

use std::collections::{BTreeMap, BTreeSet};

use pointsman_sdk::{Error, Settings, Swap};
use serde_json::{Map, Value};

use crate::dispatcher::{Dispatcher, Dispatchers};
use crate::rules::{Answer, Pattern, Policy, Rule, Rules, Target};

/// JSON Schema of the settings, for the manifest.
pub(crate) const SCHEMA: &str = include_str!("settings.schema.json");

/// Rules of one map or list: far more than an agent has tools.
const RULES_MAX: usize = 256;

/// Agents with rules of their own.
const AGENTS_MAX: usize = 64;

/// Dispatchers.
const DISPATCHERS_MAX: usize = 16;

/// Models of one rule: no more than a route may have.
const MODELS_MAX: usize = 16;

/// Bytes of a name of a tool, an agent or a member; a pattern is a route's tag, which may have as many.
const NAME_BYTES_MAX: usize = 128;

/// Bytes of a model's name: as the host takes it.
const MODEL_BYTES_MAX: usize = 256;

/// Kinds of media that there can be rules for.
const MEDIA: [&str; 4] = ["image", "audio", "video", "document"];

/// Settings that make sense.
#[derive(Debug)]
pub(crate) struct Checked {
    /// What holds for agents without rules of their own.
    all: Policy,
    agents: BTreeMap<String, Policy>,
    pub(crate) dispatchers: Dispatchers,
}

/// What is written for all or for one agent.
#[derive(Default)]
struct Written {
    rules: Vec<Rule>,
    media: BTreeMap<String, Answer>,
    swap: Option<Swap>,
}

/// Reads values and remembers what is wrong with them.
#[derive(Default)]
struct Reader {
    problems: Vec<String>,
}

/// Reads and checks the user's settings.
pub(crate) fn read(settings: Settings<'_>) -> Result<Checked, Error> {
    let written: Map<String, Value> = settings.parse()?;
    let mut reader = Reader::default();
    reader.known("", &written, &["rules", "media", "swap", "agents", "dispatchers"]);
    let all = reader.written("", &written);
    let agents = reader.agents(written.get("agents"));
    let dispatchers = reader.dispatchers(written.get("dispatchers"));
    if !reader.problems.is_empty() {
        return Err(Error::invalid(reader.problems.join("; ")));
    }
    let all = Policy { rules: Rules::new(all.rules), media: all.media, swap: all.swap.unwrap_or(Swap::Wait) };
    let agents = agents.into_iter().map(|(name, own)| (name, over(&all, own))).collect();
    Ok(Checked { all, agents, dispatchers })
}

/// An agent's own rules over those that hold for all.
fn over(all: &Policy, own: Written) -> Policy {
    let mut media = all.media.clone();
    media.extend(own.media);
    Policy { rules: all.rules.under(own.rules), media, swap: own.swap.unwrap_or(all.swap) }
}

// === impl Checked ===

impl Checked {
    /// What holds for this agent.
    pub(crate) fn policy(&self, agent: Option<&str>) -> &Policy {
        agent.and_then(|name| self.agents.get(name)).unwrap_or(&self.all)
    }
}

// === impl Reader ===

impl Reader {
    fn wrong(&mut self, key: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("`{key}`: {what}"));
    }

    /// Names what nobody reads.
    fn known(&mut self, key: &str, object: &Map<String, Value>, known: &[&str]) {
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            self.wrong(&below(key, name), format_args!("unknown, there are {}", listed(known)));
        }
    }

    /// What is written for all, or for one agent.
    fn written(&mut self, key: &str, object: &Map<String, Value>) -> Written {
        Written {
            rules: self.rules(&below(key, "rules"), object.get("rules")),
            media: self.media(&below(key, "media"), object.get("media")),
            swap: self.swap(&below(key, "swap"), object.get("swap")),
        }
    }

    fn agents(&mut self, value: Option<&Value>) -> BTreeMap<String, Written> {
        let mut agents = BTreeMap::new();
        for (name, value) in self.table("agents", value, AGENTS_MAX) {
            let key = below("agents", name);
            let Some(own) = self.object(&key, value) else { continue };
            self.known(&key, own, &["rules", "media", "swap"]);
            let written = self.written(&key, own);
            agents.insert(name.clone(), written);
        }
        agents
    }

    /// Without the key OpenClaw's; with it, what it says.
    fn dispatchers(&mut self, value: Option<&Value>) -> Dispatchers {
        if value.is_none() {
            return [Dispatcher::of_openclaw()].into();
        }
        let mut dispatchers = Dispatchers::new();
        for (tool, value) in self.table("dispatchers", value, DISPATCHERS_MAX) {
            let key = below("dispatchers", tool);
            let Some(object) = self.object(&key, value) else { continue };
            self.known(&key, object, &["name", "arguments"]);
            let name = self.text(&below(&key, "name"), object.get("name"), NAME_BYTES_MAX);
            let arguments = self.text(&below(&key, "arguments"), object.get("arguments"), NAME_BYTES_MAX);
            if let (Some(name), Some(arguments)) = (name, arguments) {
                if name == arguments {
                    self.wrong(&key, "`name` and `arguments` are the same member");
                }
                dispatchers.insert(tool.clone(), Dispatcher { name, arguments });
            }
        }
        dispatchers
    }

    fn rules(&mut self, key: &str, value: Option<&Value>) -> Vec<Rule> {
        match value {
            None => Vec::new(),
            Some(Value::Array(list)) => self.list(key, list),
            Some(map @ Value::Object(_)) => {
                let mut rules = Vec::new();
                for (tool, value) in self.table(key, Some(map), RULES_MAX) {
                    let answer = self.answer(&below(key, tool), value, "primary");
                    rules.extend(answer.map(|answer| Rule { pattern: Pattern::new(tool), answer }));
                }
                rules
            }
            Some(_) => {
                self.wrong(key, "neither a map of tools nor a list of rules");
                Vec::new()
            }
        }
    }

    /// Rules of the form `{"tools": […], "model": "…", "fallbacks": […]}`.
    fn list(&mut self, key: &str, list: &[Value]) -> Vec<Rule> {
        let (mut rules, mut seen) = (Vec::new(), BTreeSet::new());
        for (place, value) in list.iter().enumerate() {
            let key = format!("{key}[{place}]");
            let Some(object) = self.object(&key, value) else { continue };
            let answer = self.of_list(&key, object);
            let tools = below(&key, "tools");
            let Some(Value::Array(names)) = object.get("tools").filter(|it| **it != Value::Array(Vec::new()))
            else {
                self.wrong(&tools, "a list of one or more names of tools");
                continue;
            };
            for (place, name) in names.iter().enumerate() {
                let key = format!("{tools}[{place}]");
                let Some(name) = self.text(&key, Some(name), NAME_BYTES_MAX) else { continue };
                if !seen.insert(name.clone()) {
                    self.wrong(&key, format_args!("`{name}` has a rule before this one"));
                }
                rules.extend(answer.clone().map(|answer| Rule { pattern: Pattern::new(&name), answer }));
            }
        }
        if seen.len() > RULES_MAX {
            self.wrong(key, format_args!("more than {RULES_MAX} tools"));
        }
        rules
    }

    /// What a rule of a list says; its model may be switched off like a rule of a map.
    fn of_list(&mut self, key: &str, object: &Map<String, Value>) -> Option<Answer> {
        self.known(key, object, &["tools", "model", "fallbacks", "swap"]);
        match object.get("model") {
            Some(Value::Null | Value::Bool(false)) if !object.contains_key("fallbacks") => Some(Answer::Off),
            _ => self.target(key, object, "model").map(Answer::Models),
        }
    }

    fn media(&mut self, key: &str, value: Option<&Value>) -> BTreeMap<String, Answer> {
        let mut media = BTreeMap::new();
        for (kind, value) in self.table(key, value, MEDIA.len()) {
            let key = below(key, kind);
            if !MEDIA.contains(&kind.as_str()) {
                self.wrong(&key, format_args!("no kind of media, there are {}", listed(&MEDIA)));
            }
            let answer = self.answer(&key, value, "primary");
            media.extend(answer.map(|answer| (kind.clone(), answer)));
        }
        media
    }

    /// What a rule of a map says: models, or null or `false`, which switches it off.
    fn answer(&mut self, key: &str, value: &Value, first: &str) -> Option<Answer> {
        if matches!(value, Value::Null | Value::Bool(false)) {
            return Some(Answer::Off);
        }
        let object = self.object(key, value)?;
        self.known(key, object, &[first, "fallbacks", "swap"]);
        self.target(key, object, first).map(Answer::Models)
    }

    fn target(&mut self, key: &str, object: &Map<String, Value>, first: &str) -> Option<Target> {
        let swap = self.swap(&below(key, "swap"), object.get("swap"));
        let first = self.text(&below(key, first), object.get(first), MODEL_BYTES_MAX);
        let key = below(key, "fallbacks");
        let mut models: Vec<String> = first.iter().cloned().collect();
        match object.get("fallbacks") {
            None => {}
            Some(Value::Array(list)) if list.len() < MODELS_MAX => {
                for (place, value) in list.iter().enumerate() {
                    models.extend(self.text(&format!("{key}[{place}]"), Some(value), MODEL_BYTES_MAX));
                }
            }
            Some(_) => self.wrong(&key, format_args!("no list of at most {} models", MODELS_MAX - 1)),
        }
        first.map(|_| Target { models, swap })
    }

    fn swap(&mut self, key: &str, value: Option<&Value>) -> Option<Swap> {
        match value?.as_str() {
            Some("never") => Some(Swap::Never),
            Some("if-idle") => Some(Swap::IfIdle),
            Some("wait") => Some(Swap::Wait),
            _ => {
                self.wrong(key, "it is `never`, `if-idle` or `wait`");
                None
            }
        }
    }

    /// The members of a table whose names are names; none where there is no table.
    fn table<'a>(
        &mut self,
        key: &str,
        value: Option<&'a Value>,
        most: usize,
    ) -> Vec<(&'a String, &'a Value)> {
        let Some(object) = value.and_then(|value| self.object(key, value)) else { return Vec::new() };
        if object.len() > most {
            self.wrong(key, format_args!("more than {most}"));
        }
        let mut members = Vec::new();
        for (name, value) in object {
            if is_name(name, NAME_BYTES_MAX) {
                members.push((name, value));
            } else {
                self.wrong(key, format_args!("{name:?} is no name of 1 to {NAME_BYTES_MAX} bytes"));
            }
        }
        members
    }

    fn object<'a>(&mut self, key: &str, value: &'a Value) -> Option<&'a Map<String, Value>> {
        let object = value.as_object();
        if object.is_none() {
            self.wrong(key, "it is no table");
        }
        object
    }

    fn text(&mut self, key: &str, value: Option<&Value>, bytes_max: usize) -> Option<String> {
        match value.map(Value::as_str) {
            Some(Some(text)) if is_name(text, bytes_max) => Some(text.to_owned()),
            Some(_) => {
                self.wrong(key, format_args!("it is no name of 1 to {bytes_max} bytes"));
                None
            }
            None => {
                self.wrong(key, "it is missing");
                None
            }
        }
    }
}

/// A key below another.
fn below(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

fn listed(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// It can stand in a route's tag or name a model: something, short, in one line.
fn is_name(name: &str, bytes_max: usize) -> bool {
    !name.trim().is_empty() && name.len() <= bytes_max && !name.contains(crate::is_unsafe)
}

#[cfg(test)]
mod tests;

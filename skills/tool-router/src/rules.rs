//! Which rule a tool's name means: the most specific one. An exact name goes before a prefix, a longer prefix before a
//! shorter one, a prefix before a pattern; patterns are tried in their order, an agent's own before those that hold for
//! all. A rule that is off decides, too: its tool is left alone.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pointsman_sdk::Swap;
use wildmatch::WildMatch;

use crate::dispatcher::Dispatchers;

/// What holds for an agent.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) rules: Rules,
    /// By kind of media.
    pub(crate) media: BTreeMap<String, Answer>,
    /// Of rules that do not say it themselves.
    pub(crate) swap: Swap,
}

/// Rules for tools, the most specific first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules(Vec<Rule>);

/// Who writes the calls of which tools.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) pattern: Pattern,
    pub(crate) answer: Answer,
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// These models.
    Models(Target),
    /// As without the rule, and without any that is less specific.
    Off,
}

/// Models in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) models: Vec<String>,
    pub(crate) swap: Option<Swap>,
}

/// Names of tools: `edit`, `edit*`, or with `*` (anything) and `?` (one character) anywhere.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    written: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Exact,
    /// Of so many bytes.
    Prefix(usize),
    Glob(WildMatch),
}

// === impl Policy ===

impl Policy {
    /// Who answers turns with media of this kind.
    pub(crate) fn target_of_media(&self, kind: &str) -> Option<&Target> {
        match self.media.get(kind)? {
            Answer::Models(target) => Some(target),
            Answer::Off => None,
        }
    }
}

// === impl Rules ===

impl Rules {
    /// In order, each pattern once.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self::default().under(rules)
    }

    /// These rules with others laid over them.
    pub(crate) fn under(&self, others: Vec<Rule>) -> Self {
        let is_new = |rule: &&Rule| !others.iter().any(|other| other.pattern.written == rule.pattern.written);
        let mut rules: Vec<Rule> = others.iter().chain(self.0.iter().filter(is_new)).cloned().collect();
        rules.sort_by_key(|rule| rule.pattern.place());
        Self(rules)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule that a tool's name means.
    pub(crate) fn of(&self, tool: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.pattern.matches(tool))
    }

    /// Some rule may be about a tool behind a dispatcher, and not only about the dispatchers themselves.
    pub(crate) fn reach_beyond(&self, dispatchers: &Dispatchers) -> bool {
        self.0.iter().any(|rule| !dispatchers.contains_key(&rule.pattern.written))
    }
}

// === impl Pattern ===

impl Pattern {
    pub(crate) fn new(written: &str) -> Self {
        let kind = match written.find(['*', '?']) {
            None => Kind::Exact,
            Some(at) if written.get(at..) == Some("*") => Kind::Prefix(at),
            Some(_) => Kind::Glob(WildMatch::new(written)),
        };
        Self { written: written.to_owned(), kind }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.written
    }

    fn matches(&self, tool: &str) -> bool {
        match &self.kind {
            Kind::Exact => self.written == tool,
            Kind::Prefix(bytes) => self.written.get(..*bytes).is_some_and(|prefix| tool.starts_with(prefix)),
            Kind::Glob(pattern) => pattern.matches(tool),
        }
    }

    /// Its place among others: the most specific first.
    fn place(&self) -> (u8, Reverse<usize>) {
        match self.kind {
            Kind::Exact => (0, Reverse(0)),
            Kind::Prefix(bytes) => (1, Reverse(bytes)),
            Kind::Glob(_) => (2, Reverse(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str) -> Rule {
        Rule { pattern: Pattern::new(pattern), answer: Answer::Off }
    }

    fn rules(patterns: &[&str]) -> Rules {
        Rules::new(patterns.iter().map(|it| rule(it)).collect())
    }

    #[test]
    fn the_most_specific_rule_is_meant() {
        let rules = rules(&["*", "?dit*", "mcp__*__write", "*_file", "edit*", "edit_f*", "edit"]);
        let check = |tool: &str, expected: &str| {
            let found = rules.of(tool).map(|rule| rule.pattern.as_str()).unwrap_or_default();
            assert_eq!(found, expected, "{tool}");
        };
        check("edit", "edit");
        check("edit_file", "edit_f*");
        check("edits", "edit*");
        check("read_file", "*");
        check("Edit", "*");
    }

    #[test]
    fn patterns_go_by_their_order_and_know_one_character_from_many() {
        let rules = rules(&["?dit*", "mcp__*__write", "*_file", "*write"]);
        let check = |tool: &str, expected: Option<&str>| {
            assert_eq!(rules.of(tool).map(|rule| rule.pattern.as_str()), expected, "{tool}");
        };
        check("Edit", Some("?dit*"));
        check("edit_file", Some("?dit*"));
        check("re-edit", None);
        check("mcp__disk__write", Some("mcp__*__write"));
        check("mcp__a__b__write", Some("mcp__*__write"));
        check("mcp__disk__read", None);
        check("overwrite", Some("*write"));
        check("write_file", Some("*_file"));
        check("", None);
    }

    #[test]
    fn what_is_laid_over_takes_the_place_of_the_same_pattern_and_goes_first_among_equals() {
        let over = rules(&["edit", "*_file", "b*"]).under(vec![rule("*x*"), rule("edit"), rule("a*")]);
        let order: Vec<&str> = over.0.iter().map(|rule| rule.pattern.as_str()).collect();
        assert_eq!(order, ["edit", "a*", "b*", "*x*", "*_file"]);
    }
}

//! Has the calls of some tools written by the models that the user's rules name, and turns with media answered by others.
//!
//! [`settings`] reads the rules, [`rules`] finds the one that a tool's name means, [`dispatcher`] looks behind calls that
//! stand for calls of other tools. A rule decides at the tool's name; arguments are waited for only to look behind a
//! dispatcher. Where no rule fits, or none of its models is there, it passes. It keeps nothing, and asks the host for nothing
//! but models.

mod dispatcher;
mod rules;
mod settings;

use pointsman_sdk::{
    Candidate, Error, Manifest, Route, Settings, Skill, ToolCall, ToolVerdict, Turn, Verdict, log, models,
    skill,
};
use serde_json::{Map, Value};

use crate::rules::{Answer, Policy, Rule, Target};
use crate::settings::Checked;

/// After `model-swapper`, so that a picture to be translated goes to the specialist for it.
const PRIORITY: i32 = 200;

/// Bytes of a tool's name in a reason: models write them.
const NAME_BYTES_MAX: usize = 100;

/// The skill.
#[derive(Debug)]
pub struct ToolRouter {
    settings: Checked,
}

/// A call that a rule is about.
struct Called<'a> {
    call: &'a ToolCall,
    /// The tool that is meant; behind a dispatcher, not the one that is called.
    tool: &'a str,
    /// What the dispatcher's call keeps.
    fixed: Option<String>,
}

impl Skill for ToolRouter {
    fn describe() -> Manifest {
        let description = "Has the calls of some tools written by the models that are good at them";
        Manifest::new("tool-router", env!("CARGO_PKG_VERSION"), description)
            .priority(PRIORITY)
            .settings_schema(settings::SCHEMA)
            .reusable()
    }

    fn configure(settings: Settings<'_>) -> Result<Self, Error> {
        Ok(Self { settings: settings::read(settings)? })
    }

    fn on_request(&self, turn: &Turn) -> Result<Verdict, Error> {
        let policy = self.settings.policy(turn.agent.as_deref());
        if turn.pinned || policy.media.is_empty() {
            return Ok(Verdict::Pass);
        }
        let target = turn.media.iter().find_map(|kind| Some((kind, policy.target_of_media(kind)?)));
        Ok(target
            .and_then(|(kind, target)| media_route(turn, kind, target, policy))
            .map_or(Verdict::Pass, Verdict::Route))
    }

    fn on_tool_call(&self, turn: &Turn, call: &ToolCall) -> Result<ToolVerdict, Error> {
        let policy = self.settings.policy(turn.agent.as_deref());
        if turn.pinned || policy.rules.is_empty() {
            return Ok(ToolVerdict::Pass);
        }
        Ok(self.decide(policy, call))
    }
}

skill!(ToolRouter: request, tool);

impl ToolRouter {
    /// What becomes of a call: behind a dispatcher by the inner name, else by its own.
    fn decide(&self, policy: &Policy, call: &ToolCall) -> ToolVerdict {
        if let Some(dispatcher) = self.settings.dispatchers.get(&call.name)
            && policy.rules.reach_beyond(&self.settings.dispatchers)
        {
            let Some(arguments) = call.parse::<Map<String, Value>>() else { return ToolVerdict::Wait };
            // Behind arguments that are no JSON stands nobody.
            let arguments = arguments.unwrap_or_default();
            if let Some(tool) = dispatcher.tool(&arguments)
                && let Some(rule) = policy.rules.of(tool)
            {
                let Some(fixed) = dispatcher.fixed(&arguments) else { return ToolVerdict::Pass };
                return verdict(policy, rule, &Called { call, tool, fixed: Some(fixed) });
            }
        }
        let own = Called { call, tool: &call.name, fixed: None };
        policy.rules.of(&call.name).map_or(ToolVerdict::Pass, |rule| verdict(policy, rule, &own))
    }
}

/// What a rule makes of a call.
fn verdict(policy: &Policy, rule: &Rule, called: &Called<'_>) -> ToolVerdict {
    let Answer::Models(target) = &rule.answer else { return ToolVerdict::Pass };
    let mut ids = known(target, rule.pattern.as_str());
    // Who calls is the last resort anyway: what comes after it in the rule would never be asked.
    ids.truncate(ids.iter().position(|id| *id == called.call.model).unwrap_or(ids.len()));
    let Some(first) = ids.first() else { return ToolVerdict::Pass };
    let reason = format!("{}: {first} writes the call", called.name());
    let route = Route::through(ids.iter().map(Candidate::new).collect())
        .swap(target.swap.unwrap_or(policy.swap))
        .tag(rule.pattern.as_str())
        .because(reason);
    match &called.fixed {
        Some(fixed) => ToolVerdict::reroute(route.with_fixed_arguments(fixed)),
        None => ToolVerdict::reroute(route),
    }
}

/// The route of a turn that has a medium of a kind for which there is a rule.
fn media_route(turn: &Turn, kind: &str, target: &Target, policy: &Policy) -> Option<Route> {
    let tag = format!("media.{kind}");
    let ids = known(target, &tag);
    let first = ids.first().filter(|first| **first != turn.current_model)?;
    let reason = format!("{tag}: {first} answers the turn");
    let route = Route::through(ids.iter().map(Candidate::new).collect());
    Some(route.swap(target.swap.unwrap_or(policy.swap)).tag(tag).because(reason))
}

/// The ids of the rule's models that some provider has, each once. The log says what is missing and how to mend it.
fn known(target: &Target, rule: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for name in &target.models {
        match models::find(name).filter(|model| model.kind != "embedding") {
            Some(model) if ids.contains(&model.id) => {}
            Some(model) => ids.push(model.id),
            None => log::warn(&format!(
                "`{rule}`: passed over `{name}`: no provider has it as a language model; download it there, or change the rule"
            )),
        }
    }
    ids
}

impl Called<'_> {
    /// For people: the tool, and the dispatcher it stands behind.
    fn name(&self) -> String {
        match self.tool == self.call.name {
            true => shown(self.tool),
            false => format!("{} behind {}", shown(self.tool), shown(&self.call.name)),
        }
    }
}

/// A name as one short line.
fn shown(name: &str) -> String {
    let kept = name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
    kept.chars().filter(|c| !is_unsafe(*c)).collect()
}

/// Control characters, and what breaks a line or makes it read backwards.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

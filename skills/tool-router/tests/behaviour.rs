//! What the tables of cases beside this file cannot say: what stays of a dispatcher's call, what the log says, what happens
//! where nothing is granted or written.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use pointsman_sdk::fake::{Host, Running, configured};
use pointsman_sdk::log::Level;
use pointsman_sdk::{Error, Hold, Model, Route, Skill, Swap, ToolCall, ToolVerdict, Turn, Verdict};
use tool_router::ToolRouter;

const RULES: &str = r#"{"rules": {"edit": {"primary": "coder"}, "mcp_*": {"primary": "coder"}}}"#;

const HERON: &str = "lmstudio/acme/heron-30b";

fn gateway() -> Running {
    Host::new()
        .with_model(Model::named(HERON).resident())
        .with_model(Model::named("lmstudio/acme/coder-7b"))
        .install()
}

fn says(settings: &str, call: &ToolCall) -> ToolVerdict {
    configured::<ToolRouter>(settings).unwrap().on_tool_call(&Turn::saying("tidy up"), call).unwrap()
}

fn rerouted(settings: &str, call: &ToolCall) -> Route {
    match says(settings, call) {
        ToolVerdict::Reroute(route) => route,
        other => panic!("{other:?}"),
    }
}

fn dispatched(arguments: &str) -> ToolCall {
    ToolCall::of("tool_call").by(HERON).with_arguments(arguments)
}

/// What a route fixes of the arguments.
fn fixed(route: &Route) -> Option<&str> {
    route.extra.iter().find(|(name, _)| name == "fixed-arguments").map(|(_, json)| json.as_str())
}

#[test]
fn a_dispatchers_call_keeps_all_but_the_inner_arguments() {
    let _gateway = gateway();
    let route = rerouted(RULES, &dispatched(r#"{"args": {"path": "a"}, "id": "edit", "why": "tidy"}"#));
    assert_eq!(fixed(&route), Some(r#"{"id":"edit","why":"tidy"}"#));
    assert_eq!(fixed(&rerouted(RULES, &dispatched(r#"{"id": "edit"}"#))), Some(r#"{"id":"edit"}"#));
    // A call of its own has nothing to keep.
    assert_eq!(fixed(&rerouted(RULES, &ToolCall::of("edit").by(HERON))), None);
}

#[test]
fn a_call_with_more_beside_its_arguments_than_can_be_kept_passes() {
    let gateway = gateway();
    let call = |bytes: usize| dispatched(&format!(r#"{{"id": "edit", "why": "{}"}}"#, "y".repeat(bytes)));
    assert_eq!(
        fixed(&rerouted(RULES, &call(16_000))).unwrap().len(),
        16_000 + r#"{"id":"edit","why":""}"#.len()
    );
    assert_eq!(says(RULES, &call(16_400)), ToolVerdict::Pass);
    assert!(gateway.lines().iter().any(|(_, line)| line.contains("more than can be kept")));
}

#[test]
fn a_reroute_says_why_and_which_rule_it_was() {
    let _gateway = gateway();
    let route = rerouted(RULES, &ToolCall::of("mcp_write").by(HERON));
    assert_eq!(route.reason, "mcp_write: lmstudio/acme/coder-7b writes the call");
    assert_eq!(route.tag.as_deref(), Some("mcp_*"));
    assert_eq!((route.swap, route.hold), (Swap::Wait, Hold::Turn));
}

#[test]
fn a_name_that_a_model_made_up_breaks_no_reason() {
    let _gateway = gateway();
    let name = format!("mcp_\r\n\u{1b}[31m\u{202E}{}", "é".repeat(5000));
    let reason = rerouted(RULES, &ToolCall::of(&name).by(HERON)).reason;
    assert!(reason.starts_with("mcp_[31mé") && reason.len() < 200, "{reason:?}");
    assert!(!reason.contains(|c: char| c.is_control() || c == '\u{202E}'));
}

#[test]
fn without_rules_nothing_is_waited_for_and_no_model_is_looked_at() {
    let gateway = gateway();
    for call in [ToolCall::of("edit"), ToolCall::of("tool_call"), dispatched(r#"{"id": "edit"}"#)] {
        assert_eq!(says("{}", &call), ToolVerdict::Pass);
    }
    let skill = configured::<ToolRouter>("{}").unwrap();
    let turn = Turn::saying("what is this?").with_media("image");
    assert_eq!(skill.on_request(&turn), Ok(Verdict::Pass));
    assert!(gateway.lines().is_empty());
}

#[test]
fn a_rule_for_the_dispatcher_alone_waits_for_nothing() {
    let _gateway = gateway();
    let settings = r#"{"rules": {"tool_call": {"primary": "coder"}}}"#;
    let route = rerouted(settings, &ToolCall::of("tool_call").by(HERON));
    assert_eq!((route.tag.as_deref(), fixed(&route)), (Some("tool_call"), None));
}

#[test]
fn a_model_that_is_not_there_is_told_in_the_log_with_the_rule() {
    let gateway = gateway();
    let settings = r#"{"rules": {"edit": {"primary": "nobody"}}, "media": {"image": {"primary": "nobody"}}}"#;
    assert_eq!(says(settings, &ToolCall::of("edit").by(HERON)), ToolVerdict::Pass);
    let skill = configured::<ToolRouter>(settings).unwrap();
    assert_eq!(skill.on_request(&Turn::saying("").with_media("image")), Ok(Verdict::Pass));
    let lines = gateway.lines();

    assert!(lines.iter().all(|(level, _)| *level == Level::Warn));
    assert!(lines[0].1.starts_with("`edit`: passed over `nobody`"), "{lines:?}");
    assert!(lines[1].1.starts_with("`media.image`: passed over `nobody`"), "{lines:?}");
}

#[test]
fn without_the_grant_everything_passes() {
    let denied = Error::new("denied", "not granted");
    let _gateway = Host::new().with_model(Model::named(HERON)).failing("models", denied).install();
    assert_eq!(says(RULES, &ToolCall::of("edit").by(HERON)), ToolVerdict::Pass);
}

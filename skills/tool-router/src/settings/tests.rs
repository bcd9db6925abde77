//! Both shapes mean the same, agents' rules are laid over, and every refusal names its key.

use super::*;

fn checked(json: &str) -> Checked {
    read(Settings::new(json)).unwrap()
}

/// What is wrong, one by one.
fn refusals(json: &str) -> Vec<String> {
    read(Settings::new(json)).unwrap_err().message.split("; ").map(str::to_owned).collect()
}

fn answer(settings: &Checked, agent: Option<&str>, tool: &str) -> Option<Answer> {
    settings.policy(agent).rules.of(tool).map(|rule| rule.answer.clone())
}

fn models(names: &[&str]) -> Option<Answer> {
    let models = names.iter().map(|name| (*name).to_owned()).collect();
    Some(Answer::Models(Target { models, swap: None }))
}

#[test]
fn nothing_has_to_be_written() {
    let settings = checked("{}");
    assert!(settings.policy(None).rules.is_empty() && settings.policy(Some("main")).media.is_empty());
    assert_eq!(settings.policy(None).swap, Swap::Wait);
    assert_eq!(settings.dispatchers, [Dispatcher::of_openclaw()].into());
    assert!(serde_json::from_str::<Value>(SCHEMA).is_ok());
}

#[test]
fn both_shapes_mean_the_same() {
    let map = r#"{"rules": {"edit": {"primary": "a", "fallbacks": ["b"]}, "write": {"primary": "a", "fallbacks": ["b"]}, "read": null}}"#;
    let list = r#"{"rules": [{"tools": ["edit", "write"], "model": "a", "fallbacks": ["b"]}, {"tools": ["read"], "model": null}]}"#;
    for json in [map, list] {
        let settings = checked(json);
        assert_eq!(answer(&settings, None, "edit"), models(&["a", "b"]));
        assert_eq!(answer(&settings, None, "write"), models(&["a", "b"]));
        assert_eq!(answer(&settings, None, "read"), Some(Answer::Off));
        assert_eq!(answer(&settings, None, "exec"), None);
    }
}

#[test]
fn an_agents_rules_are_laid_over_those_for_all() {
    let settings = checked(
        r#"{
            "rules": {"edit": {"primary": "a"}, "write*": {"primary": "a", "swap": "never"}},
            "media": {"image": {"primary": "v"}, "document": {"primary": "d"}},
            "agents": {
                "main": {"rules": [{"tools": ["edit"], "model": false}, {"tools": ["exec"], "model": "b"}]},
                "cron": {"rules": {"write_file": {"primary": "c"}}, "media": {"image": false}, "swap": "if-idle"}
            }
        }"#,
    );
    assert_eq!(answer(&settings, Some("main"), "edit"), Some(Answer::Off));
    assert_eq!(answer(&settings, Some("main"), "exec"), models(&["b"]));
    assert_eq!(answer(&settings, Some("cron"), "edit"), models(&["a"]));
    assert_eq!(answer(&settings, Some("cron"), "write_file"), models(&["c"]));
    for agent in [None, Some("stranger")] {
        assert_eq!(answer(&settings, agent, "edit"), models(&["a"]));
        assert_eq!(answer(&settings, agent, "exec"), None);
    }
    let swap = |agent| settings.policy(agent).swap;
    assert_eq!((swap(None), swap(Some("main")), swap(Some("cron"))), (Swap::Wait, Swap::Wait, Swap::IfIdle));
    let sees = |agent, kind| settings.policy(agent).target_of_media(kind).is_some();
    assert!(sees(None, "image") && !sees(Some("cron"), "image") && sees(Some("cron"), "document"));
    assert!(!sees(None, "audio"));
}

#[test]
fn dispatchers_are_those_that_are_written() {
    assert!(checked(r#"{"dispatchers": {}}"#).dispatchers.is_empty());
    let settings = checked(r#"{"dispatchers": {"mcp_call": {"name": "tool", "arguments": "input"}}}"#);
    assert_eq!(settings.dispatchers.keys().collect::<Vec<_>>(), ["mcp_call"]);
}

#[test]
fn every_refusal_names_its_key() {
    let check = |json: &str, expected: &[&str]| {
        let told = refusals(json);
        assert_eq!(told.len(), expected.len(), "{json}: {told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{json}: {told}");
        }
    };
    check(r#"{"rule": {}}"#, &["`rule`: unknown"]);
    check(r#"{"rules": 1}"#, &["`rules`: neither a map"]);
    check(r#"{"rules": {"edit": "a"}}"#, &["`rules.edit`: it is no table"]);
    check(r#"{"rules": {"edit": true}}"#, &["`rules.edit`: it is no table"]);
    check(r#"{"rules": {"edit": {}}}"#, &["`rules.edit.primary`: it is missing"]);
    check(r#"{"rules": {"": null}}"#, &["`rules`: \"\" is no name"]);
    check(r#"{"rules": {"edit": {"model": "a"}}}"#, &["`rules.edit.model`: unknown", "`rules.edit.primary`"]);
    check(r#"{"rules": {"edit": {"primary": "a", "fallbacks": "b"}}}"#, &["`rules.edit.fallbacks`"]);
    check(r#"{"rules": {"edit": {"primary": "a", "fallbacks": ["b", ""]}}}"#, &["`rules.edit.fallbacks[1]`"]);
    check(
        r#"{"rules": {"edit": {"primary": "a\nb", "swap": "no"}}}"#,
        &["`rules.edit.swap`", "`rules.edit.primary`"],
    );
    check(r#"{"rules": [{"tools": [], "model": "a"}]}"#, &["`rules[0].tools`"]);
    check(r#"{"rules": [{"tools": ["a", 1]}]}"#, &["`rules[0].model`: it is missing", "`rules[0].tools[1]`"]);
    check(r#"{"rules": [{"tools": ["a"], "model": false, "fallbacks": ["b"]}]}"#, &["`rules[0].model`"]);
    let twice = r#"{"rules": [{"tools": ["a"], "model": "x"}, {"tools": ["b", "a"], "model": "y"}]}"#;
    check(twice, &["`rules[1].tools[1]`: `a` has a rule before this one"]);
    check(r#"{"media": {"smell": {"primary": "a"}}}"#, &["`media.smell`: no kind"]);
    check(r#"{"agents": {"main": {"edit": null}}}"#, &["`agents.main.edit`: unknown"]);
    check(r#"{"agents": {"main": {"rules": {"edit": {}}}}}"#, &["`agents.main.rules.edit.primary`"]);
    check(r#"{"dispatchers": {"d": {"name": "a"}}}"#, &["`dispatchers.d.arguments`: it is missing"]);
    check(r#"{"dispatchers": {"d": {"name": "a", "arguments": "a"}}}"#, &["`dispatchers.d`: `name`"]);
    // Two places, told together.
    check(r#"{"swap": 1, "media": {"image": {}}}"#, &["`media.image.primary`", "`swap`"]);
}

#[test]
fn rules_are_bounded() {
    let rules = |count: usize| {
        let rules: Vec<String> = (0..count).map(|it| format!(r#""t{it}": null"#)).collect();
        format!(r#"{{"rules": {{{}}}}}"#, rules.join(","))
    };
    assert!(read(Settings::new(&rules(RULES_MAX))).is_ok());
    assert_eq!(refusals(&rules(RULES_MAX + 1)), ["`rules`: more than 256"]);
    let fallbacks = |count: usize| {
        format!(
            r#"{{"rules": {{"a": {{"primary": "a", "fallbacks": [{}]}}}}}}"#,
            vec!["\"b\""; count].join(",")
        )
    };
    assert!(read(Settings::new(&fallbacks(15))).is_ok());
    assert_eq!(refusals(&fallbacks(16)), ["`rules.a.fallbacks`: no list of at most 15 models"]);
    let long = format!(r#"{{"rules": {{"{}": null}}}}"#, "a".repeat(NAME_BYTES_MAX + 1));
    assert!(refusals(&long)[0].starts_with("`rules`: "));
}

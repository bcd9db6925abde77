//! What skills say to tool calls: the chain, verdicts that nobody should believe, skills that fail, and calls in a table of
//! cases.

#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use pointsman::id::ModelId;
use pointsman::skill::{
    Activation, Behind, FAILURES_MAX, Hook, Inquiry, Limits, OnFailure, Skills, StepResult, ToolCall,
    ToolOutcome, trial,
};
use pointsman::turn::verdict::{Swap, ToolDecision};

use pointsman_tests::guests::guest;

use crate::skills::{Setup, turn};

fn call(name: &str, arguments: Option<&str>) -> ToolCall {
    ToolCall {
        id: "call_7".to_owned(),
        name: name.to_owned(),
        arguments: arguments.map(str::to_owned),
        model: ModelId::of("lmstudio", "acme/heron-30b"),
    }
}

async fn ask(skills: &Arc<Skills>, call: &ToolCall) -> ToolOutcome {
    Inquiry::new(skills.generation(), turn("tidy up"), Behind::default()).tool_call(call).await
}

fn denial(outcome: &ToolOutcome) -> &str {
    match &outcome.decision {
        ToolDecision::Deny(reason) => reason,
        other => panic!("{other:?} {:?}", outcome.steps),
    }
}

#[tokio::test]
async fn the_first_skill_that_does_more_than_pass_decides() {
    // A skill that hears no calls is not asked about them, and one that passed is.
    let (skills, _housekeeping, _) = Setup::of(&["router", "hears-calls"]).start().await;
    let asked = |name| {
        let skills = skills.clone();
        async move { ask(&skills, &call(name, None)).await }
    };

    let passed = asked("read").await;
    assert_eq!((&passed.decision, &passed.skill), (&ToolDecision::Pass, &None));
    assert_eq!(passed.steps.len(), 1, "{passed:?}");
    assert_eq!(
        (passed.steps[0].skill.as_str(), &passed.steps[0].result),
        ("hears-calls", &StepResult::Passed)
    );

    let rerouted = asked("reroute").await;
    let ToolDecision::Reroute(reroute) = &rerouted.decision else { panic!("{rerouted:?}") };
    assert_eq!((reroute.route.candidates[0].model.as_str(), reroute.route.swap), ("otter", Swap::Never));
    assert_eq!(reroute.fixed, None);
    assert_eq!(rerouted.skill.as_ref().map(|it| it.as_str()), Some("hears-calls"));
    assert_eq!(rerouted.steps[0].result, StepResult::Decided);

    assert_eq!(
        asked("rewrite").await.decision,
        ToolDecision::Rewrite("{\"path\":\"/tmp/elsewhere\"}".to_owned())
    );
    assert_eq!(denial(&asked("deny").await), "not that one:\nuse `read`");
}

#[tokio::test]
async fn a_skill_may_wait_for_the_arguments_and_then_not_any_longer() {
    let (skills, _housekeeping, _) = Setup::of(&["hears-calls"]).start().await;
    let waits = ask(&skills, &call("wait-then-deny", None)).await;
    assert_eq!((waits.decision, waits.steps[0].result.clone()), (ToolDecision::Wait, StepResult::Waits));
    assert_eq!(denial(&ask(&skills, &call("wait-then-deny", Some("{}"))).await), "seen");

    let waits = ask(&skills, &call("wait", Some("{}"))).await;
    assert_eq!((waits.decision, waits.steps[0].result.clone()), (ToolDecision::Pass, StepResult::Passed));
}

#[tokio::test]
async fn who_waits_with_all_arguments_leaves_it_to_the_next() {
    let wasm = guest("hears-calls");
    let (skills, _housekeeping, _) = Setup::of(&["hears-calls"]).component("another", wasm).start().await;
    let named = ask(&skills, &call("wait", None)).await;
    assert_eq!((named.decision, named.steps.len()), (ToolDecision::Wait, 1));
    let complete = ask(&skills, &call("wait", Some("{}"))).await;
    assert_eq!((complete.decision, complete.steps.len()), (ToolDecision::Pass, 2));
}

#[tokio::test]
async fn a_skill_sees_the_call_its_turn_and_the_models_of_the_moment() {
    let (skills, _housekeeping, _) = Setup::of(&["hears-calls"]).start().await;
    // The request saw no models; the call comes later and sees those that there are now.
    let looked = ask(&skills, &call("look", Some("{\"a\": 1}"))).await;
    assert_eq!(
        denial(&looked),
        "call_7 lmstudio/acme/heron-30b {\"a\": 1} in tidy up: 1 models, now or later, still: true"
    );
}

/// What `hears-calls` does wrong, and what the step says of it.
const BAD: [(&str, &str); 11] = [
    ("crowd", "gave a verdict that was refused: it has 1000 candidates, and must have 1 to 16"),
    ("control", "gave a verdict that was refused: the reason holds control characters"),
    ("fixed", "gave a verdict that was refused: `fixed-arguments` is not a JSON object"),
    ("no-json", "gave a verdict that was refused: the rewrite is not a JSON object"),
    ("list", "gave a verdict that was refused: the rewrite is not a JSON object"),
    ("silence", "gave a verdict that was refused: the denial is empty"),
    ("escape", "gave a verdict that was refused: the denial holds control characters"),
    ("err", "answered with an error: unavailable: the oracle is out"),
    ("trap", "cannot make sense of call_7"),
    ("spin", "of computing time"),
    ("sleep", "did not answer within 300ms"),
];

#[tokio::test]
async fn a_call_that_a_skill_fails_at_passes_and_the_reason_is_told() {
    let limits = Limits { wall_clock: Duration::from_millis(300), ..Limits::default() };
    let (skills, _housekeeping, _) = Setup::of(&["hears-calls"]).limits(limits).start().await;
    for (name, reason) in BAD {
        let outcome = ask(&skills, &call(name, None)).await;
        assert_eq!((&outcome.decision, &outcome.skill), (&ToolDecision::Pass, &None), "{name}");
        let StepResult::Failed { message } = &outcome.steps[0].result else { panic!("{name}: {outcome:?}") };
        assert!(message.contains(reason), "{name}: {message}");
        assert_eq!(skills.statuses()[0].last_error.as_ref(), Some(message));
        // It does well in between, so that it is not taken out of use.
        assert_eq!(denial(&ask(&skills, &call("deny", None)).await), "not that one:\nuse `read`");
    }
}

#[tokio::test]
async fn where_the_user_said_so_a_failure_denies_the_call() {
    let refusing = Setup::of(&["hears-calls"]).skill("hears-calls", |it| it.on_failure = OnFailure::Refuse);
    let (skills, _housekeeping, _) = refusing.start().await;
    let outcome = ask(&skills, &call("err", None)).await;
    assert_eq!(
        denial(&outcome),
        "the skill `hears-calls` answered with an error: unavailable: the oracle is out"
    );
    assert_eq!(outcome.skill.as_ref().map(|it| it.as_str()), Some("hears-calls"));
}

#[tokio::test]
async fn who_fails_at_calls_again_and_again_is_taken_out_of_use() {
    let (skills, housekeeping, _) = Setup::of(&["hears-calls"]).start().await;
    let inquiry = Inquiry::new(skills.generation(), turn(""), Behind::default());
    assert!(inquiry.hears_tool_calls());
    let failing = async {
        for _ in 0..FAILURES_MAX {
            ask(&skills, &call("err", None)).await;
        }
        while skills.generation().has(Hook::Tool) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = housekeeping.run() => panic!("it runs as long as the skills are there"),
        () = failing => {}
    }
    // A call of a request that began before it went is still heard by it.
    assert!(inquiry.hears_tool_calls());
    let now = Inquiry::new(skills.generation(), turn(""), Behind::default());
    assert!(!now.hears_tool_calls() && now.tool_call(&call("deny", None)).await.steps.is_empty());
}

#[tokio::test]
async fn where_no_skill_hears_calls_nobody_watches_for_them() {
    let disabled = |it: &mut pointsman::skill::SkillConfig| it.activation = Activation::Disabled;
    let setup = Setup::of(&["router", "hears-calls"]).skill("hears-calls", disabled);
    let (skills, _housekeeping, _) = setup.start().await;
    assert!(!Inquiry::new(skills.generation(), turn(""), Behind::default()).hears_tool_calls());
}

#[tokio::test]
async fn a_table_of_cases_may_be_about_tool_calls() {
    let table = r#"
        [[cases]]
        call = { name = "read" }
        expect = { verdict = "pass" }
        [[cases]]
        call = { name = "reroute" }
        expect = { verdict = "reroute", model = "otter", fallbacks = [], swap = "never", says = "otter writes" }
        [[cases]]
        call = { name = "wait-then-deny" }
        expect = { verdict = "wait" }
        [[cases]]
        call = { name = "wait-then-deny", arguments = "{}" }
        expect = { verdict = "deny", says = "seen" }
        [[cases]]
        text = "tidy up"
        current = "lmstudio/acme/otter-8b"
        call = { name = "look", arguments = { path = "a" }, id = "c" }
        expect = { verdict = "deny", says = "c lmstudio/acme/otter-8b {\"path\":\"a\"} in tidy up: 0 models" }
        [[cases]]
        call = { name = "rewrite", model = "lmstudio/acme/heron-30b" }
        expect = { verdict = "rewrite", says = "elsewhere" }
        [[cases]]
        call = { name = "no-json" }
        expect = { verdict = "fail", says = "not a JSON object" }
        [[cases]]
        name = "this is wrong"
        call = { name = "reroute" }
        expect = { verdict = "reroute", swap = "wait" }
        [[cases]]
        name = "this, too"
        call = { name = "reroute" }
        expect = { verdict = "reroute", fallbacks = ["owl"] }
        [[cases]]
        text = "a turn is nothing to it"
        expect = { verdict = "pass" }
    "#;
    let report = trial::run(guest("hears-calls"), table).await.unwrap();
    let bad: Vec<_> =
        report.cases.iter().filter_map(|it| Some((it.name.as_str(), it.because.as_deref()?))).collect();
    let expected =
        [("this is wrong", "expected the swap \"wait\""), ("this, too", "expected the fallbacks [\"owl\"]")];
    assert_eq!((bad.as_slice(), report.ok), (expected.as_slice(), false));
    assert_eq!(report.cases[0].name, "a call of read");

    let pass = "expect = { verdict = \"pass\" }";
    for (case, line, reason) in [
        (pass.to_owned(), 5, "needs its `text`"),
        ("text = \"\"\nexpect = { verdict = \"wait\" }".to_owned(), 5, "to a turn a skill says"),
        (
            "call = { name = \"a\" }\nexpect = { verdict = \"reply\" }".to_owned(),
            5,
            "to a tool call a skill says",
        ),
        (format!("call = {{ tool = \"a\" }}\n{pass}"), 6, "unknown field `tool`"),
    ] {
        let table = format!("[[cases]]\ntext = \"\"\n{pass}\n\n[[cases]]\n{case}\n");
        let error = trial::run(guest("hears-calls"), &table).await.unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}")) && error.contains(reason), "{error}");
    }
}

/// The component that ships with the gateway.
fn router() -> Vec<u8> {
    let bundled = pointsman::app::bundled();
    bundled.into_iter().find(|it| it.name == "tool-router").unwrap().wasm.to_vec()
}

#[tokio::test]
async fn the_bundled_router_does_as_its_tables_of_cases_say() {
    let router = router();
    let tables = [
        include_str!("../../skills/tool-router/tests/cases.toml"),
        include_str!("../../skills/tool-router/tests/list.toml"),
    ];
    for table in tables {
        let report = trial::run(router.clone(), table).await.unwrap();
        let bad: Vec<_> = report.cases.iter().filter(|case| !case.ok).collect();
        assert!(report.ok, "{bad:#?}");
    }
}

#[tokio::test]
async fn the_bundled_router_names_every_setting_that_is_wrong() {
    let router = router();
    let told = async |settings: &str| {
        let table = format!("{settings}\n[[cases]]\ntext = \"\"\nexpect = {{ verdict = \"pass\" }}");
        trial::run(router.clone(), &table).await.unwrap_err().to_string()
    };
    // The host holds them against the schema first.
    let schema = told("[settings]\nswap = \"maybe\"\nrules = { edit = { primary = 7 } }").await;
    assert!(schema.contains("`/swap`") && schema.contains("`/rules/edit/primary`"), "{schema}");
    let on = told("[settings.rules]\nedit = true").await;
    assert!(on.contains("`/rules/edit`"), "{on}");
    let own = told("[settings]\nrules = [{ tools = [\"a\", \"a\"], model = \" \" }]").await;
    assert!(own.contains("`rules[0].model`") && own.contains("`rules[0].tools[1]`"), "{own}");
}

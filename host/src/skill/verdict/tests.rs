//! Every check over and under its bound, through the one function that the chain calls.

use super::*;

/// A good route, to be spoilt.
fn route() -> types::Route {
    types::Route {
        candidates: vec![candidate()],
        swap: types::Swap::Wait,
        hold: types::Hold::Turn,
        afterwards: types::Afterwards::Restore,
        tag: Some("a".to_owned()),
        reason: "translate: into German".to_owned(),
        extra: Vec::new(),
    }
}

fn candidate() -> types::Candidate {
    let model = "translategemma".to_owned();
    types::Candidate { model, context_length: Some(2048), prompt: None, patch: None, extra: Vec::new() }
}

fn part(content: types::Part, fields: Option<&str>) -> types::ComposedPart {
    types::ComposedPart { content, fields: fields.map(str::to_owned), extra: Vec::new() }
}

fn prompted(role: &str, parts: Vec<types::ComposedPart>) -> types::Route {
    let messages = vec![types::ComposedMessage { role: role.to_owned(), parts }];
    let mut route = route();
    route.candidates[0].prompt = Some(types::Prompt { messages, keep_tools: false, extra: Vec::new() });
    route
}

fn patched(patch: &str) -> types::Route {
    let mut route = route();
    route.candidates[0].patch = Some(patch.to_owned());
    route
}

/// Checks a verdict on a turn with one medium; the error as people see it.
fn refused(verdict: request_hook::Verdict) -> String {
    check(verdict, 1).map(|_| String::new()).unwrap_or_else(|error| error.to_string())
}

#[test]
fn a_good_route_passes_field_by_field() {
    let parts = vec![
        part(types::Part::Media(0), Some(r#"{"source_lang_code":"en"}"#)),
        part(types::Part::UserText, None),
    ];
    let verdict = check(request_hook::Verdict::Route(prompted("user", parts)), 1).unwrap();
    let Verdict::Decide(Decision::Route(route)) = verdict else { panic!("{verdict:?}") };
    assert_eq!((route.swap, route.hold, route.afterwards), (Swap::Wait, Hold::Turn, Afterwards::Restore));
    assert_eq!((route.tag.as_deref(), route.reason.as_str()), (Some("a"), "translate: into German"));
    let candidate = &route.candidates[0];
    assert_eq!((candidate.model.as_str(), candidate.context_length), ("translategemma", Some(2048)));
    let message = &candidate.prompt.as_ref().unwrap().messages[0];
    assert_eq!((message.role, message.parts.len()), (Role::User, 2));
    assert_eq!(message.parts[0].content, Content::Media(0));
}

#[test]
fn texts_are_bounded_and_clean() {
    let spoilt = |spoil: &dyn Fn(&mut types::Route)| {
        let mut route = route();
        spoil(&mut route);
        refused(request_hook::Verdict::Route(route))
    };
    assert_eq!(spoilt(&|it| it.reason = "x".repeat(500)), "");
    assert_eq!(spoilt(&|it| it.reason = "x".repeat(501)), "the reason has 501 bytes, more than 500");
    assert_eq!(spoilt(&|it| it.reason = "a\r\nb".to_owned()), "the reason holds control characters");
    assert_eq!(spoilt(&|it| it.reason = "a\u{202E}b".to_owned()), "the reason holds control characters");
    assert_eq!(spoilt(&|it| it.tag = Some("a\0".to_owned())), "the tag holds control characters");
    assert_eq!(spoilt(&|it| it.candidates[0].model = " ".to_owned()), "a candidate's model is empty");
    assert_eq!(
        spoilt(&|it| it.candidates[0].model = "a\nb".to_owned()),
        "a candidate's model holds control characters"
    );
    assert_eq!(spoilt(&|it| it.candidates.clear()), "it has 0 candidates, and must have 1 to 16");
    assert_eq!(
        spoilt(&|it| it.candidates = vec![candidate(); 17]),
        "it has 17 candidates, and must have 1 to 16"
    );
    assert_eq!(spoilt(&|it| it.candidates[0].context_length = Some(0)), "a context of 0 tokens");
    assert_eq!(
        spoilt(&|it| it.candidates[0].context_length = Some(1 << 31)),
        "a context of 2147483648 tokens"
    );
    assert_eq!(refused(request_hook::Verdict::Reply("two\nlines\tin *Markdown*".to_owned())), "");
    assert_eq!(
        refused(request_hook::Verdict::Reply("\u{1b}[2J".to_owned())),
        "the reply holds control characters"
    );
}

#[test]
fn a_refusal_refuses() {
    let refuse =
        |status| refused(request_hook::Verdict::Refuse(types::Refusal { status, message: "no".to_owned() }));
    assert_eq!([refuse(400), refuse(599)], ["", ""]);
    assert_eq!(refuse(399), "status 399 is not between 400 and 599");
    assert_eq!(refuse(600), "status 600 is not between 400 and 599");
}

#[test]
fn patches_touch_only_what_they_may() {
    let cases = [
        (r#"{"temperature":0,"chat_template_kwargs":{"model":1}}"#, ""),
        ("{}", ""),
        (r#"{"model":"x"}"#, "a candidate's patch may not touch `model`"),
        (r#"{"mo\u0064el":"x"}"#, "a candidate's patch may not touch `model`"),
        (r#"{"a":1,"messages":null}"#, "a candidate's patch may not touch `messages`"),
        (r#"{"stream":false}"#, "a candidate's patch may not touch `stream`"),
        (r#"{"input":""}"#, "a candidate's patch may not touch `input`"),
        (r#"{"system":""}"#, "a candidate's patch may not touch `system`"),
        (
            "[]",
            "a candidate's patch is not a JSON object: invalid type: sequence, expected a map at line 1 column 0",
        ),
        (
            "null",
            "a candidate's patch is not a JSON object: invalid type: null, expected a map at line 1 column 4",
        ),
        ("{", "a candidate's patch is not a JSON object: EOF while parsing an object at line 1 column 1"),
        ("{} {}", "a candidate's patch is not a JSON object: trailing characters at line 1 column 4"),
    ];
    for (patch, expected) in cases {
        assert_eq!(refused(request_hook::Verdict::Route(patched(patch))), expected, "{patch}");
    }
    assert_eq!(refused(request_hook::Verdict::Amend(r#"{"top_p":1}"#.to_owned())), "");
    assert_eq!(
        refused(request_hook::Verdict::Amend(r#"{"model":1}"#.to_owned())),
        "the patch may not touch `model`"
    );
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    assert!(refused(request_hook::Verdict::Amend(deep)).contains("recursion limit exceeded"));
}

#[test]
fn prompts_name_only_what_is_there() {
    let check = |role: &str, parts, expected: &str| {
        assert_eq!(refused(request_hook::Verdict::Route(prompted(role, parts))), expected);
    };
    check("system", vec![part(types::Part::Text("be\nbrief".to_owned()), None)], "");
    check(
        "tool",
        vec![part(types::Part::UserText, None)],
        "`tool` is not a role; `system`, `user` and `assistant` are",
    );
    check("user", vec![], "it has 0 parts in a message, and must have 1 to 64");
    check("user", vec![part(types::Part::Media(1), None)], "a prompt names medium 1 of a turn that has 1");
    check(
        "user",
        vec![part(types::Part::Text("\u{8}".to_owned()), None)],
        "a prompt's text holds control characters",
    );
    check(
        "user",
        vec![part(types::Part::UserText, Some("7"))],
        "a part's fields is not a JSON object: invalid type: integer `7`, expected a map at line 1 column 1",
    );
    check(
        "user",
        vec![part(types::Part::UserText, Some(r#"{"image_url":{"url":"file:///etc/passwd"}}"#))],
        "a part's fields may not touch `image_url`",
    );
}

#[test]
fn what_is_said_to_a_tool_call_is_checked_like_what_is_said_to_a_turn() {
    use tool_hook::ToolVerdict as Said;
    let check = |said: Said| check_tool(said, 0).map_err(|error| error.to_string());
    assert_eq!(check(Said::Pass), Ok(ToolDecision::Pass));
    assert_eq!(check(Said::Wait), Ok(ToolDecision::Wait));
    assert!(matches!(check(Said::Reroute(route())), Ok(ToolDecision::Reroute(_))));
    let crowd = types::Route { candidates: vec![candidate(); CANDIDATES_MAX + 1], ..route() };
    assert_eq!(check(Said::Reroute(crowd)).unwrap_err(), "it has 17 candidates, and must have 1 to 16");

    let fixing = |json: &str| {
        let extra = vec![("fixed-arguments".to_owned(), json.to_owned()), ("more".to_owned(), String::new())];
        check(Said::Reroute(types::Route { extra, ..route() }))
    };
    let Ok(ToolDecision::Reroute(rerouted)) = fixing(r#"{"id":"edit"}"#) else { panic!() };
    assert_eq!(rerouted.fixed.as_deref(), Some(r#"{"id":"edit"}"#));
    assert!(fixing("\"edit\"").unwrap_err().starts_with("`fixed-arguments` is not a JSON object: "));

    let padded = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
    let most = padded(ARGUMENTS_BYTES_MAX);
    assert_eq!(check(Said::Rewrite(most.clone())), Ok(ToolDecision::Rewrite(most)));
    for (bad, reason) in [
        (padded(ARGUMENTS_BYTES_MAX + 1), "the rewrite has 1048577 bytes, more than 1048576"),
        ("[1]".to_owned(), "the rewrite is not a JSON object: "),
        ("{\"a\": 1} and".to_owned(), "the rewrite is not a JSON object: "),
        (String::new(), "the rewrite is not a JSON object: "),
    ] {
        let told = check(Said::Rewrite(bad)).unwrap_err();
        assert!(told.starts_with(reason), "{told}");
    }

    let lines = "not here:\n\tonly below src/".to_owned();
    assert_eq!(check(Said::Deny(lines.clone())), Ok(ToolDecision::Deny(lines)));
    for (bad, reason) in [
        (" \n".to_owned(), "the denial is empty"),
        ("\u{1b}[2J".to_owned(), "the denial holds control characters"),
        ("n".repeat(MESSAGE_BYTES_MAX + 1), "the denial has 4097 bytes, more than 4096"),
    ] {
        assert_eq!(check(Said::Deny(bad)).unwrap_err(), reason);
    }
}

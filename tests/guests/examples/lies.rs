//! Gives the bad verdict that the user's text names.

use guests::prelude::*;

fn prompt(content: Part, fields: Option<&str>) -> Verdict {
    let part = ComposedPart { content, fields: fields.map(str::to_owned), extra: Vec::new() };
    let message = ComposedMessage { role: "user".to_owned(), parts: vec![part] };
    let prompt = Prompt { messages: vec![message], keep_tools: false, extra: Vec::new() };
    let mut route = guests::route("otter");
    route.candidates[0].prompt = Some(prompt);
    Verdict::Route(route)
}

fn patch(patch: &str) -> Verdict {
    let mut route = guests::route("otter");
    route.candidates[0].patch = Some(patch.to_owned());
    Verdict::Route(route)
}

fn refuse(status: u16) -> Verdict {
    Verdict::Refuse(Refusal { status, message: "no".to_owned() })
}

guests::guest!(warm "lies", |turn| {
    let mut route = guests::route("otter");
    Ok(match turn.user_text.as_str() {
        "control" => {
            route.reason = "two\r\nlines".to_owned();
            Verdict::Route(route)
        }
        "long" => {
            route.reason = "x".repeat(10_000);
            Verdict::Route(route)
        }
        "nobody" => {
            route.candidates.clear();
            Verdict::Route(route)
        }
        "crowd" => {
            route.candidates = vec![guests::candidate("otter"); 1000];
            Verdict::Route(route)
        }
        "status" => refuse(200),
        "header" => {
            route.reason = "ok\r\nset-cookie: session=stolen".to_owned();
            Verdict::Route(route)
        }
        "tag" => {
            route.tag = Some("\u{1b}[2J".to_owned());
            Verdict::Route(route)
        }
        "escape" => Verdict::Reply("\u{1b}]0;title\u{7}".to_owned()),
        "stream" => patch(r#"{"stream":false}"#),
        "unknown" => Verdict::Route(guests::route("nobody/has-this")),
        "media" => prompt(Part::Media(7), None),
        "fields" => prompt(Part::UserText, Some("[1]")),
        "patch" => patch("{not json"),
        "model" => patch(r#"{"mo\u0064el":"other"}"#),
        "amend" => Verdict::Amend(r#"{"messages":[]}"#.to_owned()),
        _ => Verdict::Pass,
    })
});

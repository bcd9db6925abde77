//! Says to a tool call what the tool's name tells it to: good verdicts (`reroute`, `rewrite`, `deny`, `wait`, `look`) and
//! bad ones (`crowd`, `control`, `no-json`, `list`, `silence`, `escape`, `fixed`, `err`, `trap`, `spin`, `sleep`);
//! everything else passes.

wit_bindgen::generate!({
    inline: r#"
        package guests:hearing;
        world guest {
            import pointsman:skill/models@0.1.0;
            import pointsman:skill/clock@0.1.0;
            export pointsman:skill/lifecycle@0.1.0;
            export pointsman:skill/tool-hook@0.1.0;
        }
    "#,
    path: "../../wit",
    world: "guests:hearing/guest",
    generate_all,
});

use exports::pointsman::skill::lifecycle::{Guest as Lifecycle, Manifest};
use exports::pointsman::skill::tool_hook::{Guest as ToolHook, ToolCall, ToolVerdict};
use pointsman::skill::types::{Afterwards, Candidate, Error, Hold, Route, Swap, Turn};
use pointsman::skill::{clock, models};

struct Component;

fn route(candidates: usize, reason: &str) -> Route {
    let model = "otter".to_owned();
    let candidate = Candidate { model, context_length: None, prompt: None, patch: None, extra: Vec::new() };
    Route {
        candidates: vec![candidate; candidates],
        swap: Swap::Never,
        hold: Hold::Session,
        afterwards: Afterwards::Restore,
        tag: None,
        reason: reason.to_owned(),
        extra: Vec::new(),
    }
}

/// What it sees of the call, the turn and the house, and whether its clock stands still.
fn look(turn: &Turn, call: &ToolCall) -> String {
    let (seen, now) = (models::all().len(), clock::now());
    let still = (0..100).all(|_| clock::now() == now);
    format!(
        "{} {} {} in {}: {seen} models, {} later, still: {still}",
        call.id,
        call.model,
        call.arguments.as_deref().unwrap_or("none"),
        turn.user_text,
        if now > 1.7e12 { "now or" } else { "not" },
    )
}

impl Lifecycle for Component {
    fn describe() -> Manifest {
        Manifest {
            name: "hears-calls".to_owned(),
            version: "1.0.0".to_owned(),
            description: "The test guest `hears-calls`.".to_owned(),
            priority: 100,
            settings_schema: None,
            reusable: true,
            extra: Vec::new(),
        }
    }

    fn configure(_settings: String) -> Result<(), Error> {
        Ok(())
    }
}

impl ToolHook for Component {
    fn on_tool_call(turn: Turn, call: ToolCall) -> Result<ToolVerdict, Error> {
        Ok(match call.name.as_str() {
            "reroute" => ToolVerdict::Reroute(route(1, "test: otter writes it")),
            "rewrite" => ToolVerdict::Rewrite(r#"{"path":"/tmp/elsewhere"}"#.to_owned()),
            "deny" => ToolVerdict::Deny("not that one:\nuse `read`".to_owned()),
            "wait" => ToolVerdict::Wait,
            "wait-then-deny" if call.arguments.is_some() => ToolVerdict::Deny("seen".to_owned()),
            "wait-then-deny" => ToolVerdict::Wait,
            "look" => ToolVerdict::Deny(look(&turn, &call)),
            "crowd" => ToolVerdict::Reroute(route(1000, "test")),
            "control" => ToolVerdict::Reroute(route(1, "two\r\nlines")),
            "fixed" => ToolVerdict::Reroute(Route {
                extra: vec![("fixed-arguments".to_owned(), "edit".to_owned())],
                ..route(1, "test")
            }),
            "no-json" => ToolVerdict::Rewrite("{\"path\": ".to_owned()),
            "list" => ToolVerdict::Rewrite("[]".to_owned()),
            "silence" => ToolVerdict::Deny(" ".to_owned()),
            "escape" => ToolVerdict::Deny("\u{1b}]0;title\u{7}".to_owned()),
            "err" => {
                let (code, message) = ("unavailable".to_owned(), "the oracle is out".to_owned());
                return Err(Error { code, message, retryable: false });
            }
            "trap" => panic!("cannot make sense of {}", call.id),
            "spin" => loop {
                std::hint::black_box(0);
            },
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_secs(3600));
                ToolVerdict::Pass
            }
            _ => ToolVerdict::Pass,
        })
    }
}

export!(Component);

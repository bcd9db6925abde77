//! OpenAI's SDK for Python, by its streaming helper, by raw chunks and whole, sees each kind of call as it has to be: with
//! the emulated LM Studio, and with a real llama-server whose scripted models reason, call and write.

use pointsman::app::Running;
use pointsman_tests::engine::{self, Model, Router, Setup};
use pointsman_tests::gguf::{Script, tool_call};
use pointsman_tests::guests::guest;
use pointsman_tests::tools;
use pointsman_tests::world::{self, GENERAL, OTHER, VISION, World, lmstudio};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{calling, written_by};
use crate::clients::python;
use lmstudio_emulator::config::{Answers, Tuning};

/// Rules for three models: one that calls, one that writes well, one that writes badly.
fn rules(writer: &str, clumsy: &str) -> String {
    format!(
        "[skills.tool-router.settings.rules]\n\
         edit = {{ primary = \"{writer}\" }}\n\
         patch = {{ primary = \"{clumsy}\", fallbacks = [\"{writer}\"] }}\n\
         write = {{ primary = \"{clumsy}\" }}\n\
         [skills.hears-calls]\ngrants = [\"models\"]\n"
    )
}

/// The tools on offer.
const TOOLS: [&str; 7] = ["read", "edit", "patch", "write", "deny", "rewrite", "tool_call"];

/// A call as a client is to see it.
type Expected = (&'static str, String);

/// What is asked for in which words, which calls are to come of it, and how the answer is to end.
struct Case {
    words: &'static str,
    calls: Vec<Expected>,
    finish: &'static str,
    says: &'static str,
}

fn case(words: &'static str, calls: Vec<Expected>) -> Case {
    Case { words, calls, finish: "tool_calls", says: "" }
}

/// What is expected where the models write like this.
fn cases(own: impl Fn(&str) -> String, written: impl Fn(&str) -> String) -> Vec<Case> {
    let rewritten = || r#"{"path":"/tmp/elsewhere"}"#.to_owned();
    vec![
        case("call read", vec![("read", own("read"))]),
        case("call edit", vec![("edit", written("edit"))]),
        case("call edit, call read", vec![("edit", written("edit")), ("read", own("read"))]),
        case("call patch", vec![("patch", written("patch"))]),
        case("call write", vec![("write", own("write"))]),
        case("call rewrite", vec![("rewrite", rewritten())]),
        Case { calls: Vec::new(), finish: "stop", says: "not that one", ..case("call deny", Vec::new()) },
        Case { says: "not that one", ..case("call deny, call read", vec![("read", own("read"))]) },
        case("call tool_call {\"id\":\"edit\"}", vec![("tool_call", written("tool_call"))]),
    ]
}

/// Compares what the SDK sees with what it is to see.
async fn check(gateway: &Running, cases: &[Case]) {
    let mut request = calling("", &TOOLS, false);
    request["tools"][6]["function"]["parameters"] = json!({
        "type": "object", "required": ["id", "args"],
        "properties": {"id": {"type": "string"}, "args": {"type": "object"}},
    });
    let words: Vec<&str> = cases.iter().map(|case| case.words).collect();
    let asked = json!({"words": words, "tools": request["tools"]});
    let seen = python(&gateway.url(), "calls", &asked).await;
    for (case, seen) in cases.iter().zip(seen.as_array().unwrap()) {
        let expected: Vec<Value> =
            case.calls.iter().map(|(tool, arguments)| json!([tool, parsed(arguments)])).collect();
        for way in ["streamed", "helper", "whole"] {
            let seen = &seen[way];
            let (words, calls) = (case.words, seen["calls"].as_array().unwrap());
            let without_ids: Vec<Value> =
                calls.iter().map(|call| json!([call[1], parsed(call[2].as_str().unwrap())])).collect();
            assert_eq!(without_ids, expected, "{words} {way}: {seen}");
            assert_eq!(seen["finish"], case.finish, "{words} {way}: {seen}");
            assert!(calls.iter().all(|call| !call[0].as_str().unwrap().is_empty()), "{words} {way}: {seen}");
            assert!(seen["text"].as_str().unwrap().contains(case.says), "{words} {way}: {seen}");
        }
    }
}

/// Models put spaces where they like.
fn parsed(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_sdk_sees_every_call_as_it_has_to_be() {
    if tools::is_skipped("openai-python") {
        return;
    }
    let clumsy = Tuning { answers: Some(Answers::Clumsy), ..Tuning::of(VISION) };
    let skills = [("hears-calls.wasm", guest("hears-calls"))];
    let world = World::with_skills(lmstudio().tuned(clumsy), &rules(OTHER, VISION), &skills).await;
    let written = |tool: &str| match tool {
        "tool_call" => r#"{"id":"edit","args":{}}"#.to_owned(),
        _ => written_by(OTHER),
    };
    check(&world.gateway, &cases(|_| written_by(GENERAL), written)).await;
    world.resting_on(GENERAL).await;
}

/// A model that calls what it is told to, and says what it saw of the result.
fn caller() -> Script {
    let own = |tool: &str| tool_call(tool, &json!({"path": "p", "text": "by the caller"}));
    let mut script = Script::new("acme/caller").answer("The tool answered: not that one.");
    // The word that was given first decides.
    for (word, calls) in [
        ("call edit, call read", vec![own("edit"), own("read")]),
        ("call deny, call read", vec![own("deny"), own("read")]),
        ("call tool_call", vec![tool_call("tool_call", &json!({"id": "edit", "args": {"path": "p"}}))]),
    ] {
        script = script.when(word, &calls.join("\n"));
    }
    for tool in ["read", "edit", "patch", "write", "deny", "rewrite"] {
        script = script.when(&format!("call {tool}"), &own(tool));
    }
    script
}

/// A model that writes the call it is asked for.
fn writer(name: &str, arguments: &Value) -> Script {
    let mut script = Script::new(name);
    for tool in ["edit", "patch", "write"] {
        script = script.when(&format!("`{tool}`"), &tool_call(tool, arguments));
    }
    script.when("`tool_call`", &tool_call("tool_call", &json!({"id": "edit", "args": {"path": "w"}})))
}

/// A router with room for one model, and a gateway in front of it.
async fn llama_server() -> (Router, Running, TempDir) {
    let good = writer("acme/writer", &json!({"path": "w", "text": "by the writer"}));
    // A real engine forces what a model writes into the schema, so a bad writer is one that cannot be loaded.
    let models = [caller().into(), good.into(), Model::broken("acme/clumsy")];
    let router = Setup::of(models).start().await;
    router.load_and_wait("acme/caller").await;
    let folder = TempDir::new().unwrap();
    let skills = folder.path().join("data/skills");
    std::fs::create_dir_all(&skills).unwrap();
    std::fs::write(skills.join("hears-calls.wasm"), guest("hears-calls")).unwrap();
    let toml = format!(
        "[defaults]\nmodel = \"acme/caller\"\n{}\n[providers.engine]\nkind = \"llama-server\"\nurl = \"{{url}}\"\n",
        rules("acme/writer", "acme/clumsy")
    );
    let gateway = world::gateway(folder.path(), router.url(), &toml).await;
    (router, gateway, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_real_engine_are_written_by_another_of_its_models() {
    if tools::is_skipped("openai-python") || engine::is_skipped() {
        return;
    }
    let (_router, gateway, _folder) = llama_server().await;
    let own = |_: &str| r#"{"path":"p","text":"by the caller"}"#.to_owned();
    let written = |tool: &str| match tool {
        "tool_call" => r#"{"id":"edit","args":{"path":"w"}}"#.to_owned(),
        _ => r#"{"path":"w","text":"by the writer"}"#.to_owned(),
    };
    check(&gateway, &cases(own, written)).await;
    gateway.stop().await;
}

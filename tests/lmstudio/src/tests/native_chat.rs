//! The native chat: whole and as events, with tools, with memory, with a load in the middle, and broken.

use super::*;
use crate::fault::{Ending, Fault, Kind};
use crate::log::Event;

const CHAT: &str = "/api/v1/chat";

fn asked(input: &str) -> Value {
    json!({ "model": QWEN, "input": input })
}

fn streamed(input: &str) -> Value {
    json!({ "model": QWEN, "input": input, "stream": true })
}

/// Names and data of all events; each name stands in its data too.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    let blocks = answer.text.split_terminator("\n\n").map(|block| {
        let (name, data) = block.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["type"], name);
        (name.to_owned(), data)
    });
    blocks.collect()
}

/// Names of events, one for each run of the same.
fn names(events: &[(String, Value)]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn a_whole_answer_has_the_real_keys() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let answer = stage.post(CHAT, &asked("count to 3")).await.json();
    assert_eq!(keys(&answer), ["model_instance_id", "output", "stats", "response_id"]);
    assert_eq!(answer["output"], json!([{ "type": "message", "content": "[qwen/qwen3-8b] 1 2 3" }]));
    let stats = [
        "input_tokens",
        "total_output_tokens",
        "reasoning_output_tokens",
        "tokens_per_second",
        "time_to_first_token_seconds",
    ];
    assert_eq!(
        (keys(&answer["stats"]), &answer["stats"]["total_output_tokens"]),
        (stats.to_vec(), &json!(4))
    );
    let id = answer["response_id"].as_str().unwrap().strip_prefix("resp_").unwrap();
    assert!(id.len() == 48 && id.bytes().all(|it| it.is_ascii_hexdigit()), "{id}");

    let cold = json!({ "model": GPT, "input": "hi", "reasoning": "low", "store": false });
    let cold = stage.post(CHAT, &cold).await.json();
    assert_eq!((keys(&cold).len(), &cold["output"][0]["type"]), (3, &json!("reasoning")));
    assert!(cold["stats"]["model_load_time_seconds"].is_number(), "this request loaded it");
    assert!(cold["stats"]["reasoning_output_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn an_answer_can_be_gone_on_from() {
    let stage = Stage::set(Config::default().loaded(QWEN).loaded(VISION)).await;
    let picture = json!({ "model": VISION, "input": [
        { "type": "text", "content": "what is it?" }, { "type": "image", "data_url": PIXEL },
    ] });
    let first = stage.post(CHAT, &picture).await.json();
    assert!(first["output"][0]["content"].as_str().unwrap().ends_with("image sha256:cdb30873"));
    let mut next =
        json!({ "model": VISION, "input": "and now?", "previous_response_id": first["response_id"] });
    let second = stage.post(CHAT, &next).await.json();
    let tokens = |answer: &Value| answer["stats"]["input_tokens"].as_u64().unwrap();
    assert!(tokens(&second) > tokens(&first), "what was said before counts");
    next["model"] = json!(QWEN);
    assert!(
        stage.post(CHAT, &next).await.error().contains("does not support images"),
        "the picture is still there"
    );
    let forgotten = json!({ "model": QWEN, "input": "x", "previous_response_id": "resp_0" });
    let forgotten = stage.post(CHAT, &forgotten).await;
    let error = &forgotten.json()["error"];
    assert_eq!((forgotten.status.as_u16(), keys(error)), (400, vec!["message", "type", "param", "code"]));
    assert_eq!((&error["code"], &error["param"]), (&json!("invalid_value"), &json!("previous_response_id")));
    assert!(
        forgotten.error().starts_with("Could not find stored response for previous_response_id 'resp_0'.")
    );
}

#[tokio::test]
async fn events_tell_of_the_load_and_of_everything_after_it() {
    let stage = Stage::set(Config::default()).await;
    let mut body = streamed("count to 3");
    body["reasoning"] = json!("on");
    let answer = stage.post(CHAT, &body).await;
    let events = events(&answer);
    let expected = [
        "chat.start",
        "model_load.start",
        "model_load.progress",
        "model_load.end",
        "prompt_processing.start",
        "prompt_processing.progress",
        "prompt_processing.end",
        "reasoning.start",
        "reasoning.delta",
        "reasoning.end",
        "message.start",
        "message.delta",
        "message.end",
        "chat.end",
    ];
    assert_eq!(names(&events), expected);
    assert!(!answer.text.contains("[DONE]"));
    let of = |name: &str| &events.iter().find(|(own, _)| own == name).unwrap().1;
    assert_eq!(keys(of("chat.start")), ["type", "model_instance_id"]);
    assert_eq!(keys(of("model_load.end")), ["type", "model_instance_id", "load_time_seconds"]);
    let deltas = events.iter().filter(|(name, _)| name == "message.delta");
    let text: String = deltas.map(|(_, data)| data["content"].as_str().unwrap().to_owned()).collect();
    let result = &of("chat.end")["result"];
    assert_eq!((text.as_str(), &result["output"][1]["content"]), ("[qwen/qwen3-8b] 1 2 3", &json!(text)));
    assert!(result["stats"]["model_load_time_seconds"].is_number());
    let warm = stage.post(CHAT, &streamed("hi")).await;
    assert!(!warm.text.contains("model_load") && warm.text.contains("\"response_id\":\"resp_"));
}

#[tokio::test]
async fn tools_are_run_on_the_server() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let integrations = json!([
        { "type": "ephemeral_mcp", "server_label": "zoo", "server_url": "http://x", "allowed_tools": ["lookup"] },
        "mcp/files",
    ]);
    let mut body = streamed("call lookup {\"q\":\"otters\"}");
    body["integrations"] = integrations;
    let events_of = |answer: Answer| events(&answer);
    let called = events_of(stage.post(CHAT, &body).await);
    let tools: Vec<&(String, Value)> =
        called.iter().filter(|(name, _)| name.starts_with("tool_call")).collect();
    let provider = json!({ "type": "ephemeral_mcp", "server_label": "zoo" });
    assert_eq!(tools.len(), 3);
    assert!(tools.iter().all(|(_, data)| data["tool"] == "lookup" && data["provider_info"] == provider));
    assert_eq!(tools[1].1["arguments"], json!({ "q": "otters" }));
    assert_eq!(tools[2].1["output"], "[{\"type\":\"text\",\"text\":\"{\\\"q\\\":\\\"otters\\\"}\"}]");
    let output = &called.last().unwrap().1["result"]["output"];
    assert_eq!((&output[0]["type"], &output[1]["type"]), (&json!("tool_call"), &json!("message")));
    body["input"] = json!("call echo please");
    let plugin = events_of(stage.post(CHAT, &body).await);
    let start = &plugin.iter().find(|(name, _)| name == "tool_call.start").unwrap().1;
    assert_eq!(start["provider_info"], json!({ "type": "plugin", "plugin_id": "mcp/files" }));
    body["input"] = json!("call lookupp");
    let failed = events_of(stage.post(CHAT, &body).await);
    let failure = &failed.iter().find(|(name, _)| name == "tool_call.failure").unwrap().1;
    assert_eq!(failure["reason"], "Cannot find tool with name lookupp.");
    assert_eq!(failure["metadata"], json!({ "type": "invalid_name", "tool_name": "lookupp" }));
    let output = &failed.last().unwrap().1["result"]["output"];
    assert_eq!(output[0]["type"], "invalid_tool_call");
}

#[tokio::test]
async fn what_breaks_in_the_middle_ends_with_an_error_and_the_last_event() {
    let crash = "The model has crashed without additional information. (Exit code: 11)";
    let cases = [
        (Kind::Crash { after_chunks: 2 }, crash),
        (Kind::StreamError { after_chunks: 2, message: "oh".to_owned() }, "oh"),
    ];
    for (kind, message) in cases {
        let stage = Stage::set(Config::default().loaded(QWEN).fault(Fault::always(kind.clone()))).await;
        let broken = events(&stage.post(CHAT, &streamed("count to 9")).await);
        let [.., (error, data), (end, result)] = broken.as_slice() else { panic!("{broken:?}") };
        assert_eq!((error.as_str(), end.as_str()), ("error", "chat.end"));
        assert_eq!(data["error"], json!({ "type": "internal_error", "message": message }));
        assert_eq!(result["result"]["output"][0]["content"], "[qwen/qwen3-8b] 1 ", "what was generated");
        let whole = stage.post(CHAT, &asked("hi")).await;
        assert_eq!((whole.status.as_u16(), whole.error().as_str()), (400, message), "{kind:?}");
    }
    let stage = Stage::set(Config::default().fault(Fault::once(Kind::LoadCrash))).await;
    let failed = events(&stage.post(CHAT, &streamed("hi")).await);
    assert_eq!(names(&failed), ["chat.start", "model_load.start", "error", "chat.end"]);
    assert!(failed[2].1["error"]["message"].as_str().unwrap().contains("startup was aborted"));
    let cut = Fault::once(Kind::CutStream { after_chunks: 1, ending: Ending::Abrupt });
    stage.emulator.faults([cut]);
    assert!(stage.in_background(CHAT, &streamed("hi")).await.unwrap().is_err());
}

#[tokio::test]
async fn an_unload_and_a_client_that_leaves_end_it() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let stall = || Fault::once(Kind::Stall { after_chunks: 1 });
    stage.emulator.faults([stall()]);
    let stream = stage.in_background(CHAT, &streamed("count to 9"));
    stage.emulator.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
    stage.unload(QWEN).await;
    assert!(stream.await.unwrap().unwrap().text.contains("\"message\":\"Model unloaded.\""));
    stage.load(QWEN).await;
    stage.emulator.faults([stall()]);
    let stream = stage.in_background(CHAT, &streamed("count to 9"));
    let holds = |event: &Event| matches!(event, Event::FaultHolds { .. });
    stage.emulator.wait_for(|entries| entries.iter().filter(|it| holds(&it.event)).count() == 2).await;
    stream.abort();
    stage.emulator.wait_for_event(|event| matches!(event, Event::ClientDisconnected { .. })).await;
}

#[tokio::test]
async fn a_body_is_read_strictly() {
    let stage = Stage::set(Config::default().loaded(QWEN).loaded(GPT)).await;
    let cases = [
        (json!({ "input": "x" }), "\"model\" is required", "missing_required_parameter"),
        (json!({ "model": QWEN }), "\"input\" is required", "missing_required_parameter"),
        (json!({ "model": QWEN, "input": 5 }), "Expected string or array, received number", "invalid_type"),
        (
            json!({ "model": QWEN, "input": "x", "seed": 1 }),
            "Unrecognized key(s) in object: 'seed'",
            "unrecognized_keys",
        ),
        (
            json!({ "model": QWEN, "input": [{ "type": "message", "content": "x" }] }),
            "Invalid discriminator value. Expected 'text' | 'image'",
            "invalid_union",
        ),
        (
            json!({ "model": QWEN, "input": "x", "temperature": 1.5 }),
            "Number must be less than or equal to 1",
            "invalid_value",
        ),
        (
            json!({ "model": QWEN, "input": "x", "reasoning": "hard" }),
            "Invalid enum value.",
            "invalid_enum_value",
        ),
        (
            json!({ "model": GPT, "input": "x", "reasoning": "off" }),
            "Reasoning setting 'off' is not supported",
            "invalid_value",
        ),
        (
            json!({ "model": QWEN, "input": "x", "previous_response_id": "5" }),
            "Invalid input: must start with",
            "invalid_string",
        ),
        (
            json!({ "model": "acme/nope", "input": "x" }),
            "Invalid model identifier \"acme/nope\".",
            "model_not_found",
        ),
    ];
    for (body, message, code) in cases {
        let answer = stage.post(CHAT, &body).await;
        let error = answer.json()["error"].clone();
        assert!(answer.status == 400 && answer.error().starts_with(message), "{body}: {}", answer.text);
        assert_eq!((&error["type"], &error["code"]), (&json!("invalid_request"), &json!(code)), "{body}");
    }
    stage.emulator.change(|server| server.native_chat_unknown_status = 404);
    assert_eq!(stage.post(CHAT, &json!({ "model": "acme/nope", "input": "x" })).await.status, 404);
}

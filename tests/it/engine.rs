//! What the gateway relies on in llama.cpp's router, proven against the real one without the gateway between: loads and
//! unloads that go on after their answer, limits, streams that break off, processes that die, and scripted models.
//!
//! A router with another behaviour than here needs another provider: these tests are what a new version is held
//! against.

#![cfg(test)]

use pointsman_tests::engine::{self, Model, Router, Setup, says};
use pointsman_tests::gguf::{Script, Selector, WORD_LONG, WORD_SAY, WORD_THINK};
use pointsman_tests::live::Live;
use pointsman_tests::world::Answer;
use serde_json::{Value, json};

/// Columns at which a model speaks slowly enough to be interrupted in the middle, on any machine.
const SLOW: u32 = 100_000;

/// What the router writes into a stream, and as a body, where a model's process went away.
const PROXY_ERROR: &str = "proxy error: Failed to read connection";

/// A model that speaks slowly.
fn slow(name: &str) -> Model {
    Script::new(name).feed_forward(SLOW).into()
}

/// A request with a tool.
fn with_tool(model: &str, text: &str) -> Value {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let function =
        json!({"name": "get_weather", "description": "The weather of a city.", "parameters": parameters});
    let mut body = says(model, text);
    body["tools"] = json!([{"type": "function", "function": function}]);
    body
}

/// A request whose answer does not end by itself.
fn endless(model: &str) -> Value {
    says(model, WORD_LONG)
}

/// A stream that has begun to speak.
async fn speaking(router: &Router, model: &str) -> Live {
    let mut live = router.open(&endless(model)).await;
    live.until("tock").await;
    live
}

/// What a stream's chunks say of this field, put together.
fn joined(answer: &Answer, field: &str) -> String {
    let chunks = answer.chunks();
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str()).collect()
}

/// The message of an error and its status.
fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.error().unwrap_or_default())
}

/// The states of a model among the router's events.
fn states(events: &str, model: &str) -> Vec<String> {
    let all = events.lines().filter_map(|line| line.strip_prefix("data: "));
    let all = all.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = all.filter(|event| event["model"] == model);
    own.filter_map(|event| event["data"]["status"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scripted_model_says_its_name_and_is_counted() {
    if engine::is_skipped() {
        return;
    }
    let router = Setup::of([Model::new("alpha"), Model::new("acme/beta")]).loaded_max(2).start().await;
    for name in ["alpha", "acme/beta"] {
        let mut body = says(name, "Who are you?");
        body["stream_options"] = json!({"include_usage": true});
        let answer = router.ask(&body).await;
        assert_eq!(answer.text(), format!("Hello, this is {name} speaking."), "{answer:?}");
        assert!(answer.is_terminated(), "{answer:?}");
        let chunks = answer.chunks();
        assert!(chunks.last().unwrap()["usage"]["completion_tokens"].as_u64() > Some(3), "{answer:?}");
        assert!(chunks.iter().all(|chunk| chunk["model"] == name), "{answer:?}");
        // The hottest and widest sampling changes nothing.
        let hot = json!({"temperature": 2.0, "top_p": 1.0, "top_k": 0, "seed": 7, "stream": false});
        body.as_object_mut().unwrap().extend(hot.as_object().unwrap().clone());
        body.as_object_mut().unwrap().remove("stream_options");
        assert_eq!(router.ask(&body).await.text(), format!("Hello, this is {name} speaking."));
    }
    let plain = router.post("/v1/completions", &json!({"model": "alpha", "prompt": "Once"})).await;
    let plain: Value = serde_json::from_str(&plain.body).unwrap();
    assert_eq!(plain["choices"][0]["text"], "Hello, this is alpha speaking.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scripted_model_calls_thinks_and_answers() {
    if engine::is_skipped() {
        return;
    }
    let script = Script::new("alpha").when("PING", "The answer is pong.");
    let router = Router::start([script]).await;
    let call = router.ask(&with_tool("alpha", "What is the weather?")).await;
    let chunks = call.chunks();
    let deltas = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].as_object());
    let (mut name, mut arguments, mut frames) = (String::new(), String::new(), 0);
    for delta in deltas {
        name.push_str(delta["function"]["name"].as_str().unwrap_or_default());
        arguments.push_str(delta["function"]["arguments"].as_str().unwrap_or_default());
        frames += 1;
    }
    assert_eq!(name, "get_weather", "{call:?}");
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"city": "Paris"}), "{call:?}");
    assert!(frames > 1, "the arguments come in pieces: {call:?}");
    assert!(chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "tool_calls"), "{call:?}");

    let mut result = with_tool("alpha", "What is the weather?");
    let asked = json!({"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}});
    let turn = [
        json!({"role": "assistant", "content": null, "tool_calls": [asked]}),
        json!({"role": "tool", "tool_call_id": "1", "content": "It rains."}),
    ];
    result["messages"].as_array_mut().unwrap().extend(turn);
    assert_eq!(router.ask(&result).await.text(), "alpha saw the result of the tool.");

    assert_eq!(router.ask(&with_tool("alpha", WORD_SAY)).await.text(), "Hello, this is alpha speaking.");
    assert_eq!(router.ask(&says("alpha", "PING me")).await.text(), "The answer is pong.");
    let thought = router.ask(&says("alpha", WORD_THINK)).await;
    assert_eq!(joined(&thought, "reasoning_content").trim(), "alpha weighs the matter.", "{thought:?}");
    assert_eq!(thought.text().trim(), "After some thought, yes.", "{thought:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_forced_by_a_word_and_not_by_the_tools_name() {
    if engine::is_skipped() {
        return;
    }
    let router = Router::start([Script::new("alpha")]).await;
    let mut body = with_tool("alpha", WORD_SAY);
    body["stream"] = json!(false);
    // Forced, it has to write a call where it would have spoken.
    body["max_tokens"] = json!(8);
    body["tool_choice"] = json!({"type": "function", "function": {"name": "get_weather"}});
    assert_eq!(router.ask(&body).await.text(), "Hello, this is alpha speaking.");
    body = with_tool("alpha", "What is the weather?");
    body["stream"] = json!(false);
    body["tool_choice"] = json!("required");
    let answer = router.ask(&body).await;
    let message: Value = serde_json::from_str(&answer.body).unwrap();
    let message = &message["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["function"]["name"], "get_weather", "{answer:?}");
    body["tool_choice"] = json!("none");
    assert!(router.ask(&body).await.text().starts_with("<tool_call>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_aborts_in_a_request_takes_the_request_with_it() {
    if engine::is_skipped() {
        return;
    }
    let router = Router::start([Script::new("frail").aborts_when_forced()]).await;
    assert_eq!(router.ask(&says("frail", "Hello?")).await.text(), "Hello, this is frail speaking.");
    let mut body = with_tool("frail", "What is the weather?");
    body["tool_choice"] = json!("required");
    let answer = router.ask(&body).await;
    assert!(answer.body.trim_end().ends_with(PROXY_ERROR) && !answer.is_terminated(), "{answer:?}");
    let died = router.until("frail", |it| it.status == "unloaded").await;
    assert!(died.failed, "{died:?}");
    assert_eq!(router.ask(&says("frail", "Hello?")).await.text(), "Hello, this is frail speaking.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_its_own_decides_what_is_said() {
    if engine::is_skipped() {
        return;
    }
    let strict = format!(
        "{{%- if messages[-1].content == 'Not this' -%}}{{{{ raise_exception('anything but this') }}}}{{%- endif -%}}{}",
        Selector::Answer
    );
    let router = Router::start([Script::new("strict").template(&strict)]).await;
    let refusal = router.ask(&says("strict", "Not this")).await;
    assert_eq!(refusal.status, 400, "{refusal:?}");
    assert!(refusal.body.contains("anything but this"), "{refusal:?}");
    assert_eq!(router.ask(&says("strict", "That")).await.text(), "strict saw the result of the tool.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_translator_takes_its_languages_beside_the_messages_alone() {
    if engine::is_skipped() {
        return;
    }
    let script =
        Script::translator("translategemma").when("de", "Guten Tag, Welt!").when("hi", "नमस्ते दुनिया!");
    let router = Router::start([script]).await;
    let mut body = says("translategemma", "Hello, world!");
    for (target, text) in [("de", "Guten Tag, Welt!"), ("hi", "नमस्ते दुनिया!")] {
        body["chat_template_kwargs"] = json!({"source_lang_code": "en", "target_lang_code": target});
        let answer = router.ask(&body).await;
        assert_eq!(answer.text(), text, "{answer:?}");
        let prompt = router.post("/apply-template", &body).await.body;
        assert!(prompt.contains(&format!("en to {target}: Hello, world!")), "{prompt}");
    }
    // Codes that stand in the part are passed over: the engine writes the part anew.
    let part = json!([{"type": "text", "text": "Hello, world!", "source_lang_code": "en", "target_lang_code": "de"}]);
    let body = json!({"model": "translategemma", "messages": [{"role": "user", "content": part}]});
    let prompt = router.post("/apply-template", &body).await.body;
    assert!(prompt.contains("en-GB to en-GB: Hello, world!"), "{prompt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_talks_until_it_is_stopped_and_refuses_what_is_too_long() {
    if engine::is_skipped() {
        return;
    }
    let router = Router::start([Model::new("alpha")]).await;
    let mut body = endless("alpha");
    body["max_tokens"] = json!(7);
    let answer = router.ask(&body).await;
    assert_eq!(answer.text(), "tick tock tick tock tick tock tick");
    assert!(answer.chunks().iter().any(|it| it["choices"][0]["finish_reason"] == "length"), "{answer:?}");
    let refusal = router.ask(&says("alpha", &"x".repeat(5000))).await;
    let refusal: Value = serde_json::from_str(&refusal.body).unwrap();
    assert_eq!(refusal["error"]["type"], "exceed_context_size_error", "{refusal}");
    assert_eq!(refusal["error"]["n_ctx"], 4096, "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_goes_on_after_its_answer_and_is_followed() {
    if engine::is_skipped() {
        return;
    }
    // A file that is read, not mapped, takes a while and says how far it is.
    let slow = slow("slow").with("load-mode", "none");
    let router = Setup::of([slow, Model::new("alpha")]).start().await;
    let mut events = router.events().await;
    let begun = router.load("slow").await;
    assert_eq!((begun.status, begun.body.as_str()), (200, "{\"success\":true}"));
    let again = (400, "model is already running".to_owned());
    assert_eq!(refused(&router.load("slow").await), again);
    let text = events.until("\"status\":\"loaded\"").await;
    let states = states(&text, "slow");
    assert_eq!((states.first().unwrap().as_str(), states.last().unwrap().as_str()), ("loading", "loaded"));
    assert!(text.contains("\"progress\""), "{text}");
    assert_eq!(refused(&router.load("slow").await), again);
    let listed = router.until("slow", |it| it.status == "loaded").await;
    assert!(listed.json["meta"]["size"].as_u64() > Some(100_000_000), "{listed:?}");
    assert_eq!(listed.json["meta"]["n_ctx"], 4096, "{listed:?}");
    let unknown = refused(&router.load("nobody").await);
    assert_eq!(unknown.0, 404, "{unknown:?}");
    assert_eq!(router.loaded().await, ["slow"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unload_goes_on_after_its_answer() {
    if engine::is_skipped() {
        return;
    }
    // A busy process may not end when it is told to, and is given its time, of which the router may wait for the end.
    let router = Router::start([slow("alpha").with("stop-timeout", "5")]).await;
    assert_eq!(refused(&router.unload("alpha").await), (400, "model is not running".to_owned()));
    assert_eq!(refused(&router.unload("nobody").await), (400, "model is not found".to_owned()));
    router.load_and_wait("alpha").await;
    let _speaking = speaking(&router, "alpha").await;
    let begun = router.unload("alpha").await;
    assert_eq!((begun.status, begun.body.as_str()), (200, "{\"success\":true}"));
    let (loaded, again) = (router.loaded().await, router.load("alpha").await);
    // Where it has ended at once after all, that was an ordinary load.
    if again.status == 200 {
        router.until("alpha", |it| it.status == "loaded").await;
    } else {
        assert_eq!(
            (refused(&again).0, loaded),
            (400, vec!["alpha".to_owned()]),
            "so long it counts as loaded"
        );
        router.until("alpha", |it| it.status == "unloaded").await;
        assert_eq!(router.children(), []);
        router.load_and_wait("alpha").await;
    }
    router.unload_and_wait("alpha").await;
    assert_eq!(router.children(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unload_cancels_a_load() {
    if engine::is_skipped() {
        return;
    }
    let heavy = Script::new("heavy").feed_forward(4 * SLOW);
    let heavy = Model::from(heavy).with("load-mode", "none");
    let router = Router::start([heavy, Model::new("alpha")]).await;
    let mut events = router.events().await;
    assert_eq!(router.load("heavy").await.status, 200);
    events.until("\"progress\"").await;
    assert_eq!(router.unload("heavy").await.status, 200);
    let text = events.until("\"status\":\"unloaded\"").await;
    assert!(!states(&text, "heavy").contains(&"loaded".to_owned()), "{text}");
    router.load_and_wait("alpha").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_limit_an_idle_model_goes_and_a_busy_one_stays() {
    if engine::is_skipped() {
        return;
    }
    let router = Router::start([slow("alpha"), Model::new("beta")]).await;
    router.load_and_wait("beta").await;
    router.load_and_wait("alpha").await;
    assert_eq!(router.loaded().await, ["alpha"]);
    let streamed = speaking(&router, "alpha").await;
    let full = (500, "model limit reached, try again later".to_owned());
    assert_eq!(refused(&router.load("beta").await), full);
    // A request waits for its turn where a load does not, and harms nobody.
    let hello = says("beta", "Hello?");
    let leave = async {
        router.logged("name=beta queued").await;
        assert_eq!(router.loaded().await, ["alpha"]);
        drop(streamed);
    };
    let (answer, ()) = tokio::join!(router.ask(&hello), leave);
    assert_eq!(answer.text(), "Hello, this is beta speaking.");
    assert_eq!(router.loaded().await, ["beta"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unload_in_the_middle_of_a_stream_ends_in_a_bare_line() {
    if engine::is_skipped() {
        return;
    }
    let router = Router::start([slow("alpha")]).await;
    let streamed = speaking(&router, "alpha").await;
    assert_eq!(router.unload("alpha").await.status, 200);
    let answer = streamed.finish().await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.trim_end().ends_with(PROXY_ERROR), "{answer:?}");
    assert!(!answer.is_terminated() && answer.error().is_none(), "{answer:?}");
    assert!(!answer.body.contains(&format!("data: {PROXY_ERROR}")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_dies_is_seen_and_loaded_again() {
    if engine::is_skipped() {
        return;
    }
    let router = Router::start([slow("alpha")]).await;
    let streamed = speaking(&router, "alpha").await;
    router.kill("alpha");
    let answer = streamed.finish().await;
    assert!(answer.body.trim_end().ends_with(PROXY_ERROR) && !answer.is_terminated(), "{answer:?}");
    let died = router.until("alpha", |it| it.status == "unloaded").await;
    assert!(died.failed && died.exit_code != Some(0), "{died:?}");
    assert_eq!(router.ask(&says("alpha", "Hello?")).await.text(), "Hello, this is alpha speaking.");
    let back = router.until("alpha", |it| it.status == "loaded").await;
    assert!(!back.failed, "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_is_seen_in_the_list() {
    if engine::is_skipped() {
        return;
    }
    let router = Router::start([Model::broken("broken"), Model::new("alpha")]).await;
    assert_eq!(router.load("broken").await.status, 200);
    let failed = router.until("broken", |it| it.failed).await;
    assert_eq!((failed.status.as_str(), failed.exit_code), ("unloaded", Some(1)), "{failed:?}");
    let chat = refused(&router.ask(&says("broken", "Hello?")).await);
    assert_eq!(chat, (500, "model name=broken failed to load".to_owned()));
    assert_eq!(router.ask(&says("alpha", "Hello?")).await.text(), "Hello, this is alpha speaking.");
    let unknown = refused(&router.ask(&says("nobody", "Hello?")).await);
    assert_eq!(unknown, (400, "model 'nobody' not found".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_tell_texts_apart() {
    if engine::is_skipped() {
        return;
    }
    let router = Router::start([Model::embeddings("embed")]).await;
    let ask = json!({"model": "embed", "input": ["to translate", "translate to", "quartz"]});
    let answer = router.post("/v1/embeddings", &ask).await;
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let vector = |at: usize| -> Vec<f64> {
        let numbers = answer["data"][at]["embedding"].as_array().unwrap_or_else(|| panic!("{answer}"));
        numbers.iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let alike = |one: usize, other: usize| -> f64 {
        vector(one).iter().zip(vector(other)).map(|(one, other)| one * other).sum()
    };
    assert!(alike(0, 1) > 0.99 && alike(0, 2) < 0.8, "{} {}", alike(0, 1), alike(0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_wants_its_key_and_comes_back_where_it_was() {
    if engine::is_skipped() {
        return;
    }
    let mut router = Setup::of([Model::new("alpha")]).key("sesame").start().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let stranger = http.get(format!("{}/models", router.url())).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    router.add(Model::new("beta")).await;
    router.load_and_wait("beta").await;
    let (url, children) = (router.url().to_owned(), router.children());
    assert_eq!(children.iter().map(|child| child.model.as_str()).collect::<Vec<_>>(), ["beta"]);
    router.restart().await;
    assert_eq!(router.url(), url);
    assert_eq!((router.loaded().await, router.children()), (Vec::new(), Vec::new()));
    assert_eq!(router.models().await.len(), 2);
}

//! Answers: their shape, whole and streamed, what is refused, what models say.

use super::*;

#[tokio::test]
async fn a_whole_answer_has_the_real_keys_in_the_real_order() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let answer = stage.say(QWEN, "hello there").await.json();
    let expected = ["id", "object", "created", "model", "choices", "usage", "stats", "system_fingerprint"];
    assert_eq!(keys(&answer), expected);
    let choice = &answer["choices"][0];
    assert_eq!(keys(choice), ["index", "message", "logprobs", "finish_reason"]);
    assert_eq!(keys(&choice["message"]), ["role", "content", "reasoning_content", "tool_calls"]);
    assert_eq!(choice["message"]["tool_calls"], json!([]));
    assert_eq!(answer["usage"]["prompt_tokens"], 2, "eleven bytes are two tokens");
    let id = answer["id"].as_str().unwrap().strip_prefix("chatcmpl-").unwrap();
    assert!(id.len() == 21 && id.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit()), "{id}");
}

#[tokio::test]
async fn a_stream_says_the_same_as_a_whole_answer() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let whole = stage.say(QWEN, "count to 7").await.content();
    let mut body = said(QWEN, "count to 7");
    body["stream"] = json!(true);
    let plain = stage.chat(&body).await;
    assert_eq!((plain.streamed(), whole.as_str()), (whole.clone(), "[qwen/qwen3-8b] 1 2 3 4 5 6 7"));
    assert!(plain.is_done() && !plain.text.contains("event:") && !plain.text.contains("usage"));
    let events = plain.events();
    let (last, deltas) = events.split_last().unwrap();
    assert!(deltas.len() > 5 && deltas.iter().all(|it| it["choices"][0]["delta"]["role"] == "assistant"));
    assert_eq!(
        last["choices"][0],
        json!({ "index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop" })
    );
    let order = ["id", "object", "created", "model", "system_fingerprint", "choices"];
    assert!(events.iter().all(|it| keys(it) == order));
    body["stream_options"] = json!({ "include_usage": true });
    let counted = stage.chat(&body).await.events();
    let usage = counted.last().unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]["completion_tokens"]), (&json!([]), &json!(8)));
}

#[tokio::test]
async fn answers_stop_at_the_allowed_length() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let mut body = said(QWEN, "please write 200 words");
    assert_eq!(stage.chat(&body).await.content().split(' ').count(), 201);
    body["max_tokens"] = json!(10);
    let answer = stage.chat(&body).await;
    assert_eq!(answer.content().split_whitespace().count(), 10);
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "length");
}

/// Arguments that the tools' schema allows.
const MADE_UP: &str = r#"{"path":"written by qwen/qwen3-8b","line":1}"#;

#[tokio::test]
async fn tools_are_called_when_asked_for() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let cases: [(&str, Value, Calls); 7] = [
        ("call edit", Value::Null, &[("edit", MADE_UP)]),
        ("Please use the edit tool.", Value::Null, &[("edit", MADE_UP)]),
        (
            "call edit {\"path\":\"ü\"} then call read {\"a\":1}",
            Value::Null,
            &[("edit", r#"{"path":"ü"}"#), ("read", r#"{"a":1}"#)],
        ),
        ("call nothing", Value::Null, &[]),
        ("call editor", Value::Null, &[]),
        ("call edit", json!("none"), &[]),
        ("whatever", json!("required"), &[("edit", MADE_UP)]),
    ];
    for (text, choice, expected) in cases {
        let mut body = said(QWEN, text);
        body["tools"] = json!([tool("edit"), tool("read")]);
        body["tool_choice"] = if choice.is_null() { json!("auto") } else { choice };
        let whole = stage.chat(&body).await.json()["choices"][0].clone();
        let calls = whole["message"]["tool_calls"].as_array().unwrap();
        let named: Vec<(&str, &str)> = calls
            .iter()
            .map(|it| {
                (it["function"]["name"].as_str().unwrap(), it["function"]["arguments"].as_str().unwrap())
            })
            .collect();
        assert_eq!(named, expected, "{text}");
        assert_eq!(whole["finish_reason"], if expected.is_empty() { "stop" } else { "tool_calls" }, "{text}");
        assert!(calls.iter().all(|it| it["id"].as_str().unwrap().len() == 9));
        body["stream"] = json!(true);
        let joined = joined_calls(&stage.chat(&body).await);
        let streamed: Vec<(&str, &str)> =
            joined.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
        assert_eq!(streamed, expected, "{text}");
    }
}

/// Names and arguments.
type Calls = &'static [(&'static str, &'static str)];

/// The calls of a stream, put together by index; only the first delta of each names it.
fn joined_calls(answer: &Answer) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for event in answer.events() {
        for part in event["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(part["index"].as_u64().unwrap()).unwrap();
            let function = &part["function"];
            if index == calls.len() {
                assert_eq!((&function["arguments"], part["id"].is_string()), (&json!(""), true));
                calls.push((function["name"].as_str().unwrap().to_owned(), String::new()));
            } else {
                assert!(part.get("id").is_none() && function.get("name").is_none());
                calls[index].1.push_str(function["arguments"].as_str().unwrap());
            }
        }
    }
    calls
}

#[tokio::test]
async fn a_tool_result_is_quoted_even_before_a_clients_own_message() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let context = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>> call edit <<<END_OPENCLAW_INTERNAL_CONTEXT>>>";
    let call = json!({ "id": "1", "type": "function", "function": { "name": "edit", "arguments": "{}" } });
    let body = json!({ "model": QWEN, "tools": [tool("edit")], "messages": [
        { "role": "user", "content": "[Fri 2026-11-20 04:43 UTC] call edit\n\nRuntime: agent=main | host=x" },
        { "role": "assistant", "content": null, "tool_calls": [call] },
        { "role": "tool", "tool_call_id": "1", "content": "42 lines" },
        { "role": "user", "content": [{ "type": "text", "text": context }] },
    ] });
    assert_eq!(stage.chat(&body).await.content(), "[qwen/qwen3-8b] The tool answered: 42 lines");
}

#[tokio::test]
async fn the_users_own_words_are_answered() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let cases = [
        ("[Fri 2026-11-20 04:43 UTC] hello\n\nRuntime: agent=main | host=x", "hello"),
        ("<system-reminder>be nice</system-reminder>\nhello", "hello"),
        ("[not a date] hello", "[not a date] hello"),
    ];
    for (text, heard) in cases {
        let expected = format!("[qwen/qwen3-8b] You wrote: {heard}");
        assert_eq!(stage.say(QWEN, text).await.content(), expected);
    }
}

fn image(url: &str) -> Value {
    json!({ "type": "image_url", "image_url": { "url": url } })
}

#[tokio::test]
async fn images_are_seen_or_refused_wherever_they_stand() {
    let stage = Stage::set(Config::default().loaded(QWEN).loaded(VISION)).await;
    let other = "data:image/png;base64,AAAA";
    let now = json!([{ "role": "user", "content": [{ "type": "text", "text": "what?" }, image(PIXEL), image(other)] }]);
    let before = json!([
        { "role": "user", "content": [image(PIXEL)] },
        { "role": "assistant", "content": "a pixel" },
        { "role": "user", "content": "thanks" },
    ]);
    let remote = json!([{ "role": "user", "content": [image("https://example.com/a.png")] }]);
    let no_vision = Err("Model does not support images. Please use a model that does.");
    let cases = [
        (VISION, &now, Ok("You wrote: what? image sha256:cdb30873 image sha256:709e80c8")),
        (VISION, &before, Ok("You wrote: thanks")),
        (VISION, &remote, Err("Invalid url: 'url' field must be a base64 encoded image.")),
        (QWEN, &now, no_vision),
        (QWEN, &before, no_vision),
    ];
    for (model, messages, expected) in cases {
        for stream in [false, true] {
            let answer = stage.chat(&json!({ "model": model, "messages": messages, "stream": stream })).await;
            match expected {
                Ok(text) => {
                    let said = if stream { answer.streamed() } else { answer.content() };
                    assert_eq!(said, format!("[{model}] {text}"));
                }
                Err(message) => assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, message)),
            }
        }
    }
}

#[tokio::test]
async fn the_strict_template_takes_one_coded_part_and_nothing_else() {
    let stage = Stage::set(Config::default().loaded(STRICT)).await;
    let coded = |kind: &str, name: &str, value: Value| json!({ "type": kind, name: value, "source_lang_code": "de-DE", "target_lang_code": "en" });
    let text = coded("text", "text", json!("Guten Morgen."));
    let picture = coded("image_url", "image_url", json!({ "url": PIXEL }));
    let user = |content: Value| json!({ "role": "user", "content": content });
    let roles = "Conversation roles must alternate";
    let one = "User role must provide `content` as an iterable with exactly one item.";
    let uncoded = json!({ "type": "text", "text": "Guten Morgen." });
    let mut half = text.clone();
    half.as_object_mut().unwrap().remove("source_lang_code");
    let said = "[google/translategemma-12b-it] ";
    let cases = [
        (json!([user(json!([text.clone()]))]), json!({}), Ok("Good morning.")),
        (json!([user(json!([picture.clone()]))]), json!({}), Ok("image sha256:cdb30873")),
        (
            json!([user(json!([coded("image", "image", json!(PIXEL))]))]),
            json!({}),
            Ok("image sha256:cdb30873"),
        ),
        (json!([user(json!("Guten Morgen."))]), json!({}), Err(one)),
        (json!([user(json!([uncoded.clone()]))]), json!({}), Err(one)),
        (json!([user(json!([half]))]), json!({}), Err(one)),
        (json!([user(json!([text.clone(), picture]))]), json!({}), Err(one)),
        (json!([user(json!([]))]), json!({}), Err(one)),
        (
            json!([{ "role": "system", "content": "Be nice." }, user(json!([text.clone()]))]),
            json!({}),
            Err(roles),
        ),
        (json!([user(json!([text.clone()])), { "role": "tool", "content": "x" }]), json!({}), Err(roles)),
        (json!([user(json!([text.clone()]))]), json!({ "tools": [tool("edit")] }), Err(roles)),
        (
            json!([user(json!([uncoded]))]),
            json!({ "chat_template_kwargs": { "source_lang_code": "de", "target_lang_code": "en" } }),
            Err(one),
        ),
    ];
    for (messages, extra, expected) in cases {
        let mut body = json!({ "model": STRICT, "messages": messages });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = stage.chat(&body).await;
        match expected {
            Ok(text) => {
                assert!(answer.content().starts_with(said) && answer.content().contains(text), "{body}")
            }
            Err(message) => {
                assert_eq!(answer.status, 400, "{body}: {}", answer.text);
                let error = format!("Error rendering prompt with jinja template: \"{message}");
                assert!(answer.error().starts_with(&error), "{body}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn a_translation_model_translates_however_it_is_asked() {
    let stage = Stage::set(Config::default().loaded(ORDINARY)).await;
    let card = "You are a professional German (de) to English (en) translator. Produce only the English translation.\
                \n\n\nWo ist der Bahnhof?";
    let cases = [
        (card, "Where is the station?"),
        ("Translate from English to Japanese:\nHello, world!", "こんにちは、世界！"),
        ("Bitte ins Französische oder into French: Vielen Dank", "Merci beaucoup."),
        ("Vielen Dank", "Thank you very much."),
        ("good morning", "Guten Morgen."),
        ("Translate to Czech: xyzzy", "(cs) xyzzy"),
    ];
    for (text, expected) in cases {
        assert_eq!(stage.say(ORDINARY, text).await.content(), format!("[{ORDINARY}] {expected}"), "{text}");
    }
    let picture = json!({ "model": ORDINARY, "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "Translate the text in the image from German to English." }, image(PIXEL),
    ] }] });
    let answer = stage.chat(&picture).await.content();
    assert!(answer.contains("The picture says: ") && answer.ends_with("image sha256:cdb30873"), "{answer}");
}

#[tokio::test]
async fn a_prompt_beyond_the_context_is_an_error() {
    let config = Config::default().loaded_with_context(QWEN, 4096).loaded_with_context(ORDINARY, 8192);
    let stage = Stage::set(config).await;
    let fits = "a".repeat(4096 * 4);
    let long = "a".repeat(4097 * 4);
    let message = "Input does not fit in context length. The input has 4097 tokens, but the context length only \
                   supports 4096 tokens.";
    assert_eq!(stage.say(QWEN, &fits).await.status, 200);
    let whole = stage.say(QWEN, &long).await;
    assert_eq!((whole.status.as_u16(), whole.error().as_str()), (400, message));
    let mut body = said(QWEN, &long);
    body["stream"] = json!(true);
    let stream = stage.chat(&body).await;
    assert!(stream.status == 200 && stream.ends_with_error(message) && !stream.is_done(), "{}", stream.text);
    let limited = stage.say(ORDINARY, &"a".repeat(2049 * 4)).await;
    assert!(limited.error().contains("only supports 2048 tokens"), "{}", limited.text);
    stage.emulator.change(|server| server.overflow = crate::config::Overflow::Status);
    assert_eq!(stage.chat(&body).await.status, 400);
    stage.emulator.change(|server| server.overflow = crate::config::Overflow::Empty);
    let empty = stage.chat(&body).await;
    assert!(empty.is_done() && empty.streamed().is_empty());
}

#[tokio::test]
async fn what_the_real_one_does_not_take_is_refused() {
    let stage = Stage::set(Config::default().loaded(QWEN)).await;
    let cases = [
        (
            "response_format",
            json!({ "type": "json_object" }),
            "'response_format.type' must be 'json_schema' or 'text'",
        ),
        ("tool_choice", json!({ "type": "function" }), "Invalid tool_choice type: 'object'."),
    ];
    for (key, value, message) in cases {
        let mut body = said(QWEN, "hi");
        body[key] = value;
        let answer = stage.chat(&body).await;
        assert!(answer.status == 400 && answer.error().starts_with(message), "{}", answer.text);
    }
    let mut tolerated = said(QWEN, "hi");
    tolerated["nonsense"] = json!(1);
    assert_eq!(stage.chat(&tolerated).await.status, 200);
}

//! What reaches the models: an agent's request recast for the specialist, anything else byte for byte.

#![cfg(test)]

use lmstudio_emulator::Fault;
use lmstudio_emulator::fault::{Kind, Route};
use pointsman_tests::openclaw;
use pointsman_tests::world::{Answer, GENERAL, OTHER, PIXEL, SPECIALIST, World, lmstudio, says, shows};
use serde_json::{Value, json};

/// The body of the last chat request that reached LM Studio.
fn last_chat(world: &World) -> Value {
    world.chats().last().unwrap().json()
}

fn picture() -> Value {
    json!({"type": "image_url", "image_url": {"url": PIXEL}})
}

async fn as_openclaw(world: &World, body: &Value) -> Answer {
    let url = format!("{}/v1/chat/completions", world.gateway.url());
    let sent = world.http.post(url).headers(openclaw::headers()).json(body).send().await.unwrap();
    Answer::read(sent).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_picture_reaches_the_strict_specialist_as_one_part_with_the_codes() {
    let world = World::start(lmstudio()).await;
    let body = openclaw::request("Translate the text in this image from German into English", &[picture()]);
    assert!(body.to_string().len() > 30_000);
    let answer = as_openclaw(&world, &body).await;
    assert!(answer.text().starts_with(&format!("[{SPECIALIST}] The picture says:")), "{answer:?}");
    assert!(answer.is_terminated() && answer.header("content-type").starts_with("text/event-stream"));
    assert_eq!(answer.header("x-pointsman-skill"), "model-swapper");

    let sent = last_chat(&world);
    let mut part = picture();
    part["source_lang_code"] = json!("de");
    part["target_lang_code"] = json!("en");
    assert_eq!(sent["messages"], json!([{"role": "user", "content": [part]}]));
    assert_eq!(sent["model"], SPECIALIST);
    for key in ["tools", "tool_choice"] {
        assert!(sent.get(key).is_none(), "{key} was sent to a translator");
    }
    assert_eq!(sent["stream_options"], json!({"include_usage": true}), "what is not the conversation stays");
    let record = world.record(&answer).await;
    assert_eq!((record.agent.as_deref(), &*record.attempts[0].sent), (Some("main"), "prompt"));
    assert_eq!(&*record.session, "0b8f7c3e-5d0e-4a55-9f0e-2f1f6f0c9d11");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_alone_is_translated() {
    let world = World::start(lmstudio()).await;
    let last_answer = json!({"model": "auto", "stream": true, "messages": [
        {"role": "user", "content": "Greet me."},
        {"role": "assistant", "content": "Good morning."},
        {"role": "user", "content": "translate that into Hindi"}]});
    let cases = [
        (
            says("Translate into German: Where is the station?"),
            "Where is the station?",
            "en",
            "de",
            "Wo ist der Bahnhof?",
        ),
        (
            openclaw::request("Translate from English into German:\n\nI would like a coffee, please.", &[]),
            "I would like a coffee, please.",
            "en",
            "de",
            "Ich hätte gern einen Kaffee, bitte.",
        ),
        (last_answer, "Good morning.", "en", "hi", "सुप्रभात।"),
    ];
    for (index, (body, text, source, target, translated)) in cases.into_iter().enumerate() {
        let answer = world.ask(&format!("s{index}"), &body).await;
        assert_eq!(answer.text(), format!("[{SPECIALIST}] {translated}"), "{answer:?}");
        let part =
            json!({"type": "text", "text": text, "source_lang_code": source, "target_lang_code": target});
        assert_eq!(last_chat(&world)["messages"], json!([{"role": "user", "content": [part]}]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_template_is_followed_by_an_instruction_on_the_same_model() {
    let ordinary = "lmstudio-community/translategemma-12b-it";
    let refusal =
        json!({"error": "Error rendering prompt with jinja template: \"Conversation roles must alternate\""});
    let kind = Kind::Answer { status: 400, body: refusal.to_string() };
    let faults = lmstudio().fault(Fault::once(kind).on(Route::Chat).model(ordinary));
    let toml = format!("[skills.model-swapper.settings.intents.translate]\nmodels = [\"{ordinary}\"]\n");
    let world = World::configured(faults, &toml).await;
    let answer = world.ask("s", &says("Translate into German: Thank you very much.")).await;
    assert_eq!(answer.text(), format!("[{ordinary}] Vielen Dank."), "{answer:?}");
    let chats = world.chats();
    assert_eq!(chats.len(), 2);
    assert!(chats[0].json()["messages"][0]["content"][0]["source_lang_code"].is_string());
    let told = chats[1].json()["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(
        told.contains("translator from English (en) to German (de)")
            && told.ends_with("\n\n\nThank you very much.")
    );
    assert_eq!(world.loads(ordinary), 1, "the model stayed where it was");
    let record = world.record(&answer).await;
    let outcomes: Vec<_> = record.attempts.iter().map(|attempt| &*attempt.outcome).collect();
    assert!(outcomes[0].contains("jinja") && outcomes[1] == "served", "{outcomes:?}");
    world.resting_on(GENERAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_picture_becomes_a_placeholder_and_this_turns_never() {
    let world = World::start(lmstudio()).await;
    let first = world.ask("s", &shows("Translate the text in this image into English")).await;
    assert!(first.text().contains("sha256:"), "{first:?}");
    world.resting_on(GENERAL).await;

    let mut next = shows("Translate the text in this image into English");
    next["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": first.text()}),
        json!({"role": "user", "content": "Thanks. What is the capital of France?"}),
    ]);
    let answer = world.ask("s", &next).await;
    assert!(answer.text().starts_with(&format!("[{GENERAL}]")), "{answer:?}");
    let placeholder =
        json!({"type": "text", "text": "[image from an earlier turn, not shown to this model]"});
    let mut expected = next.clone();
    expected["model"] = json!(GENERAL);
    expected["messages"][0]["content"][1] = placeholder;
    assert_eq!(last_chat(&world), expected);
    assert_eq!(world.record(&answer).await.placeholders, 1);

    let refused = world.ask("s", &shows("What do you think of it?")).await;
    assert_eq!(
        refused.error().as_deref(),
        Some("Model does not support images. Please use a model that does.")
    );
    assert_eq!((refused.status, world.record(&refused).await.placeholders), (400, 0));
    assert!(last_chat(&world).to_string().contains(PIXEL));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_bytes_of_model_change() {
    let world = World::start(lmstudio()).await;
    let user = r#"[{"role":"user","content":"hi"}]"#;
    let cases = [
        r#"{"model":@,"messages":#,"stream":true}"#,
        "\r\n{ \"messages\" : #\t,\n \"model\"  :  @ , \"temperature\":1.0e0,\"top_p\":0.10, \"seed\": 12345678901234567890123 }\n",
        r#"{"messages":#,"mod\u0065l":@,"x_unknown":{"model":"mine","deep":[1.10,2E+3,-0.0,null,"caf\u00e9 \ud83d\ude00 é 😀\/"]}}"#,
        r#"{"model":@,"messages":#,"metadata":{"user_id":"{\"session_id\":\"x\"}"},"model":@}"#,
        r#"{"messages":[{"content":"hi","role":"user","name":"a","cache_control":{"type":"ephemeral"}},{"role":"user","content":[{"text":"two","type":"text","x":1}]}],"model":@}"#,
    ];
    for (names, served) in
        [(["\"auto\"", "\"auto\""], GENERAL), (["\"nobody\"", "\"openai\\/gpt-oss-20b\""], GENERAL)]
    {
        for case in cases {
            let sent = |first: &str, last: &str| {
                let two = case.matches('@').count() == 2;
                let once = if two { case.replacen('@', first, 1) } else { case.to_owned() };
                once.replace('@', last).replace('#', user)
            };
            world.raw(sent(names[0], names[1])).await;
            let quoted = json!(served).to_string();
            let seen = world.chats().last().unwrap().body.clone();
            assert_eq!(String::from_utf8_lossy(&seen), sent(&quoted, &quoted));
        }
    }
    world.raw(format!("{{ \"messages\":{user}}}")).await;
    let seen = world.chats().last().unwrap().body.clone();
    assert_eq!(String::from_utf8_lossy(&seen), format!("{{\"model\":\"{GENERAL}\", \"messages\":{user}}}"));
    assert_eq!(world.chats().last().unwrap().header("content-length"), Some(seen.len().to_string().as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_model_joins_the_baseline_and_displaces_what_was_there() {
    let world = World::start(lmstudio()).await;
    let mut body = says("hello");
    body["model"] = json!("qwen3");
    let answer = world.ask("s", &body).await;
    assert!(answer.text().starts_with(&format!("[{OTHER}]")), "{answer:?}");
    world.idle().await;
    let translated = world.ask("s", &says("Translate into German: Good morning.")).await;
    assert!(translated.text().ends_with("Guten Morgen."), "{translated:?}");
    world.idle().await;
    world.resting_on(OTHER).await;
    assert_eq!(world.loads(GENERAL), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_model_is_not_routed_away() {
    for (route_named, served) in [(true, SPECIALIST), (false, GENERAL)] {
        let toml = format!("[defaults]\nroute_named_models = {route_named}\n");
        let world = World::configured(lmstudio(), &toml).await;
        let mut body = says("Translate into German: Good morning.");
        body["model"] = json!(GENERAL);
        let answer = world.ask("s", &body).await;
        assert!(answer.text().starts_with(&format!("[{served}]")), "{answer:?}");
    }
}

//! When the skill routes, where to, and when it keeps out: the rules around a request rather than its words.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use model_swapper::ModelSwapper;
use pointsman_sdk::fake::{Host, Running, configured};
use pointsman_sdk::{Afterwards, Hold, Model, Part, Route, Skill, Swap, Turn, Verdict};

fn gateway() -> Running {
    Host::new()
        .with_model(Model::named("lmstudio/acme/owl-9b").taking("image").of_size(6000))
        .with_model(Model::named("lmstudio/acme/heron-30b").taking("image").of_size(20000).resident())
        .with_model(Model::named("lmstudio/google/translategemma-12b-it").taking("image").of_size(8000))
        .install()
}

fn route(settings: &str, turn: &Turn) -> Option<Route> {
    let skill = configured::<ModelSwapper>(settings).unwrap();
    match skill.on_request(turn).unwrap() {
        Verdict::Route(route) => Some(route),
        Verdict::Pass => None,
        other => panic!("{other:?}"),
    }
}

fn request() -> Turn {
    Turn::saying("Translate this into German: The train is late again.")
}

#[test]
fn a_translation_waits_for_its_specialist_and_puts_the_model_back() {
    let _gateway = gateway();
    let route = route("{}", &request()).unwrap();

    assert_eq!((route.swap, route.hold, route.afterwards), (Swap::Wait, Hold::Turn, Afterwards::Restore));
    assert_eq!(route.reason, "translate: English → German");
    assert_eq!(route.candidates.len(), 2);
    assert!(
        route.candidates.iter().all(|candidate| candidate.model == "lmstudio/google/translategemma-12b-it")
    );
}

#[test]
fn a_picture_is_translated_by_its_own_intent() {
    let _gateway = gateway();
    let turn = Turn::saying("What does this sign say in English?").with_media("image");
    let route = route("{}", &turn).unwrap();

    assert_eq!(route.reason, "image-translation: German → English (image)");
    assert_eq!(route.candidates[0].prompt.as_ref().unwrap().messages[0].parts[0].content, Part::Media(0));
}

#[test]
fn a_picture_is_read_by_the_resident_vision_model_then_the_smallest() {
    let _gateway = gateway();
    let route =
        route("{}", &Turn::saying("Transcribe the text in this picture.").with_media("image")).unwrap();
    let models: Vec<_> = route.candidates.iter().map(|candidate| candidate.model.as_str()).collect();
    assert_eq!(models, ["lmstudio/acme/heron-30b", "lmstudio/acme/owl-9b"]);
    assert!(route.reason.starts_with("ocr: "));
}

#[test]
fn what_a_person_picked_and_what_was_cut_short_are_left_alone() {
    let _gateway = gateway();
    let mut pinned = request();
    pinned.pinned = true;
    let mut cut = request();
    cut.user_text_truncated = true;
    assert_eq!(route("{}", &pinned), None);
    assert_eq!(route("{}", &cut), None);
}

#[test]
fn text_beyond_the_specialists_context_passes() {
    let _gateway = gateway();
    let long = format!("Translate this into German:\n{}", "The train is late again. ".repeat(250));
    assert_eq!(route("{}", &Turn::saying(&long)), None);
    let settings = r#"{"intents": {"translate": {"context": 16384}}}"#;
    assert!(route(settings, &Turn::saying(&long)).is_some());

    let answer = "The train is late again. ".repeat(90);
    assert_eq!(route("{}", &Turn::saying("Translate that into Hindi").after(&answer)), None);
}

#[test]
fn a_text_that_is_in_the_language_already_passes() {
    let _gateway = gateway();
    let turn = Turn::saying(
        "Translate this into English: The train to the coast is late again, and nobody says why.",
    );
    assert_eq!(route("{}", &turn), None);
}

#[test]
fn a_missing_model_passes_and_the_log_says_how_to_mend_it() {
    let gateway = Host::new().install();
    assert_eq!(route("{}", &request()), None);
    let (_, line) = gateway.lines().pop().unwrap();
    assert!(line.contains("translategemma") && line.contains("intents.translate.models"), "{line}");
}

#[test]
fn several_pictures_are_more_than_the_specialist_takes() {
    let _gateway = gateway();
    let turn = Turn::saying("Translate this into English").with_media("image").with_media("image");
    assert_eq!(route("{}", &turn), None);
}

#[test]
fn settings_name_languages_models_and_what_happens_afterwards() {
    let _gateway = gateway();
    let settings = r#"{
        "target": "fr", "swap": "if-idle",
        "intents": {"translate": {"models": ["owl"], "afterwards": "keep", "hold": "session"}}
    }"#;
    let route = route(settings, &Turn::saying("Translate \"the train is late\"")).unwrap();
    assert_eq!(route.reason, "translate: English → French");
    assert_eq!((route.swap, route.hold, route.afterwards), (Swap::IfIdle, Hold::Session, Afterwards::Keep));
    assert_eq!(route.candidates.len(), 1);
}

#[test]
fn a_wish_about_the_style_is_told_before_the_strict_template_is_tried() {
    let _gateway = gateway();
    let turn =
        Turn::saying("Please translate this into German. Keep the tone formal.\n\nThe train is late again.");
    let route = route("{}", &turn).unwrap();
    let first = &route.candidates[0].prompt.as_ref().unwrap().messages[0].parts[0].content;
    assert!(matches!(first, Part::Text(text) if text.contains("Keep the tone formal.")), "{first:?}");
    assert!(route.candidates[1].patch.is_some());
}

#[test]
fn an_intent_of_the_users_own_is_heard_by_its_words() {
    let _gateway = gateway();
    let settings = r#"{"intents": {"birds": {"task": "chat", "keywords": ["heron"], "patterns": ["\\bspecies \\d+"], "models": ["owl"]}}}"#;
    let heard = route(settings, &Turn::saying("Tell me about the grey heron.")).unwrap();
    assert_eq!(heard.reason, "birds: the turn says `heron`");
    assert_eq!(heard.candidates[0].prompt, None);
    assert!(route(settings, &Turn::saying("What is species 42?")).is_some());
    assert_eq!(route(settings, &Turn::saying("Tell me about herons.")), None);
}

#[test]
fn an_intent_can_be_called_by_its_name() {
    let _gateway = gateway();
    let route =
        route("{}", &Turn::saying("translate: Der Zug nach Hamburg hat heute leider wieder Verspätung."))
            .unwrap();
    assert_eq!(route.reason, "translate: German → English");
}

#[test]
fn no_text_makes_it_stumble() {
    let _gateway = gateway();
    let skill = configured::<ModelSwapper>("{}").unwrap();
    let pieces = [
        "translate",
        "\"",
        "„",
        "翻译",
        "成",
        ":",
        "\n",
        "```",
        "→",
        "into German",
        "übersetze",
        "'",
        ".",
        " ",
        "\u{301}",
        "🦀",
        "是",
        "é",
        "\\\"",
        "(",
        "訳して",
        "اردو",
    ];
    let mut seed = 7_usize;
    for _ in 0..4000 {
        let mut text = String::new();
        for _ in 0..seed % 9 + 1 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(seed >> 33) % pieces.len()]);
            if seed.is_multiple_of(3) {
                text.push(' ');
            }
        }
        let turn = Turn::saying(&text).after("Ja.");
        skill.on_request(&turn).unwrap();
        skill.on_request(&turn.with_media("image")).unwrap();
    }
}

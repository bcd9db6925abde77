//! Intents with examples: when an embedding model is asked, what it decides, and that nothing it answers breaks a request.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use model_swapper::ModelSwapper;
use pointsman_sdk::fake::{Host, Running, configured};
use pointsman_sdk::log::Level;
use pointsman_sdk::{Error, Model, Route, Skill, Turn, Verdict};

const SUMMARISE: &str = r#"{"intents": {
    "summarise": {"task": "chat", "models": ["owl"], "keywords": ["tldr"],
        "examples": ["Sum this up for me", "What are the main points?", "Give me the gist of it"]}
}}"#;

const MOLE: &str = "lmstudio/acme/mole-embed";

/// A gateway whose embedding model puts the examples on the first two axes and everything else where the test says.
fn gateway() -> Host {
    Host::new()
        .with_model(Model::named("lmstudio/acme/owl-9b").taking("image").of_size(6000))
        .with_model(Model::named("lmstudio/acme/otter-8b").of_size(5000).resident())
        .with_model(Model::named("lmstudio/google/translategemma-12b-it").taking("image").of_size(8000))
        .with_model(Model::named("lmstudio/acme/vole-embed").of_kind("embedding"))
        .with_model(Model::named(MOLE).of_kind("embedding").resident())
        .with_embedding("Sum this up for me", &[1.0, 0.0, 0.0])
        .with_embedding("What are the main points?", &[3.0, 4.0, 0.0])
        .with_embedding("Give me the gist of it", &[0.0, 1.0, 0.0])
}

fn decide(skill: &ModelSwapper, turn: &Turn) -> Option<Route> {
    match skill.on_request(turn).unwrap() {
        Verdict::Route(route) => Some(route),
        Verdict::Pass => None,
        other => panic!("{other:?}"),
    }
}

fn reason(skill: &ModelSwapper, text: &str) -> Option<String> {
    decide(skill, &Turn::saying(text)).map(|route| route.reason)
}

/// The texts of every question so far.
fn asked(host: &Running) -> Vec<Vec<String>> {
    host.embedded().into_iter().map(|asked| asked.inputs).collect()
}

/// What the log says of examples, leaving out how near turns were.
fn complaints(host: &Running) -> Vec<(Level, String)> {
    host.lines().into_iter().filter(|(_, line)| line.starts_with("examples are not compared")).collect()
}

#[test]
fn a_turn_like_an_example_goes_where_its_words_would_send_it() {
    let host = gateway().with_embedding("Boil it down to essentials", &[0.7, 0.7, 0.1]).install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();

    let route = decide(&skill, &Turn::saying("  Boil it down to essentials\n")).unwrap();
    assert_eq!(route.reason, "summarise: like \"What are the main points?\"");
    assert_eq!(route.tag.as_deref(), Some("summarise"));
    assert_eq!((route.candidates.len(), route.candidates[0].model.as_str()), (1, "lmstudio/acme/owl-9b"));
    assert_eq!(route.candidates[0].prompt, None);
    assert_eq!(host.embedded()[0].model, MOLE);
}

#[test]
fn below_the_threshold_a_turn_is_like_nothing_and_the_log_says_how_near_it_was() {
    let far = gateway().with_embedding("Tell me a joke", &[0.6, 0.0, 0.8]);
    let host = far.with_embedding("Sum this up for me!", &[2.0, 0.0, 0.0]).install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    assert_eq!(reason(&skill, "Tell me a joke"), None);
    assert_eq!(
        host.lines(),
        [(Level::Debug, "nearest by its examples is summarise: 0.600, it takes 0.800".into())]
    );

    let with = |threshold: &str| {
        SUMMARISE.replace("\"keywords\"", &format!("\"threshold\": {threshold}, \"keywords\""))
    };
    let skill = configured::<ModelSwapper>(&with("0.6")).unwrap();
    assert_eq!(reason(&skill, "Tell me a joke").unwrap(), "summarise: like \"Sum this up for me\"");
    let skill = configured::<ModelSwapper>(&with("1")).unwrap();
    assert!(reason(&skill, "Sum this up for me!").is_some());
}

#[test]
fn of_two_intents_the_one_more_alike_is_meant_and_one_without_a_model_gives_way() {
    let settings = |legal: &str| {
        format!(
            r#"{{"intents": {{
                "summarise": {{"task": "chat", "models": ["owl"], "examples": ["Sum this up for me"]}},
                "legal": {{"task": "chat", "models": ["{legal}"], "examples": ["Is this clause valid?"], "priority": 9}}
            }}}}"#
        )
    };
    let host = gateway().with_embedding("Is this clause valid?", &[1.0, 1.0, 0.0]);
    let host = host.with_embedding("Does the clause hold?", &[1.0, 0.7, 0.0]);
    let _host = host.with_embedding("What does the clause say?", &[1.0, 0.2, 0.0]).install();

    let skill = configured::<ModelSwapper>(&settings("otter")).unwrap();
    assert_eq!(reason(&skill, "Does the clause hold?").unwrap(), "legal: like \"Is this clause valid?\"");
    assert_eq!(
        reason(&skill, "What does the clause say?").unwrap(),
        "summarise: like \"Sum this up for me\""
    );
    let skill = configured::<ModelSwapper>(&settings("gone")).unwrap();
    assert_eq!(reason(&skill, "Does the clause hold?").unwrap(), "summarise: like \"Sum this up for me\"");
}

#[test]
fn where_words_decide_or_nothing_is_to_be_compared_no_model_is_asked() {
    let host = gateway().install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    assert_eq!(reason(&skill, "tldr of the report").unwrap(), "summarise: the turn says `tldr`");
    assert!(reason(&skill, "summarise: the report").is_some());
    assert!(reason(&skill, "Translate this into German: The train is late again.").is_some());
    // Heard, and left alone for its own reasons.
    let same = "Translate this into English: The train to the coast is late again, and nobody says why.";
    assert_eq!(reason(&skill, same), None);
    assert_eq!(reason(&skill, "Don't translate this, please. It is fine."), None);
    assert_eq!(reason(&skill, "  \n"), None);
    let mut pinned = Turn::saying("Boil it down to essentials");
    pinned.pinned = true;
    assert_eq!(decide(&skill, &pinned), None);

    let shipped = configured::<ModelSwapper>("{}").unwrap();
    assert_eq!(reason(&shipped, "Boil it down to essentials"), None);
    let keyword = SUMMARISE.replace("owl", "gone");
    let missing = configured::<ModelSwapper>(&keyword).unwrap();
    assert_eq!(reason(&missing, "tldr of the report"), None);
    assert_eq!(asked(&host), Vec::<Vec<String>>::new());
}

#[test]
fn an_intent_that_needs_media_or_size_is_not_compared_without() {
    let settings = r#"{"intents": {
        "ocr": {"examples": ["Get me the words off this photo"]},
        "summarise-long": {"enabled": true, "keywords": [], "models": ["owl"], "min_bytes": 30, "examples": ["Sum this up for me"]}
    }}"#;
    let host = gateway()
        .with_embedding("Get me the words off this photo", &[1.0, 0.0])
        .with_embedding("Sum this up for me", &[0.0, 1.0])
        .with_embedding("Pull the lettering out", &[1.0, 0.1])
        .with_embedding("A long text that only stands there.", &[0.7, 0.7])
        .install();
    let skill = configured::<ModelSwapper>(settings).unwrap();
    assert_eq!(reason(&skill, "Pull the lettering out"), None);
    assert!(asked(&host).is_empty());

    // A translation that was heard and left alone is no picture to be read.
    let two = Turn::saying("Translate this into English").with_media("image").with_media("image");
    assert_eq!(decide(&skill, &two), None);
    assert!(asked(&host).is_empty());

    let route = decide(&skill, &Turn::saying("Pull the lettering out").with_media("image")).unwrap();
    assert_eq!(route.reason, "ocr: like \"Get me the words off this photo\"");
    assert!(route.candidates[0].prompt.is_some());
    // Size alone means nothing where there are examples.
    assert_eq!(reason(&skill, "A long text that only stands there."), None);
    assert_eq!(asked(&host).len(), 2);
}

#[test]
fn examples_are_embedded_once_and_again_for_another_model() {
    let host =
        || gateway().with_embedding("Hello there", &[0.0, 0.0, 1.0]).with_embedding("Hm", &[0.0, 0.0, 1.0]);
    let first = host().install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    assert_eq!((reason(&skill, "Hello there"), reason(&skill, "Hm")), (None, None));
    let asked_first = asked(&first);
    assert_eq!((asked_first[0].len(), asked_first[0][0].as_str()), (4, "Hello there"));
    assert_eq!(asked_first[1], ["Hm"]);
    drop(first);

    let vole = Model::named("a/vole").of_kind("embedding").resident();
    let other = host().with_model(vole).install();
    let skill_b =
        configured::<ModelSwapper>(&SUMMARISE.replacen('{', "{\"embedding_model\": \"vole\",", 1)).unwrap();
    assert_eq!((reason(&skill, "Hm"), reason(&skill_b, "Hm")), (None, None));
    let models: Vec<_> =
        other.embedded().into_iter().map(|asked| (asked.model, asked.inputs.len())).collect();
    assert_eq!(models, [(MOLE.to_owned(), 1), ("a/vole".to_owned(), 4)]);
    drop(other);

    let only = Host::new().with_model(Model::named("a/vole").of_kind("embedding").resident());
    let only = only.failing("inference", Error::new("unavailable", "away")).install();
    assert_eq!(reason(&skill, "Hm"), None);
    assert_eq!(asked(&only)[0].len(), 4);
}

#[test]
fn the_beginning_of_a_turn_is_compared_as_it_was_cleaned() {
    let long = format!("{}ü{}", "x".repeat(2047), "y".repeat(100));
    let host = gateway().with_embedding(&"x".repeat(2047), &[1.0, 0.0, 0.0]);
    let host = host.with_embedding("Boil \"it\" down", &[1.0, 0.0, 0.0]).install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    assert!(reason(&skill, &long).is_some());
    assert!(reason(&skill, "\"Boil \\\"it\\\" down\"").is_some());
    assert_eq!(asked(&host)[1], ["Boil \"it\" down"]);
}

#[test]
fn what_is_refused_passes_with_one_line_of_its_kind() {
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    for code in ["unavailable", "denied", "limit"] {
        let host = gateway().failing("inference", Error::new(code, "not now")).install();
        assert_eq!((reason(&skill, "Hello"), reason(&skill, "Hello again")), (None, None));
        let line = format!("examples are not compared: {code}: not now");
        assert_eq!(complaints(&host), [(Level::Warn, line)]);
        assert_eq!(asked(&host).len(), 2);
    }
}

#[test]
fn without_an_embedding_model_examples_are_off_and_the_log_says_so_once() {
    let vole = Model::named("lmstudio/acme/vole-embed").of_kind("embedding");
    let mut loading = Model::named("lmstudio/acme/shrew-embed").of_kind("embedding").resident();
    "loading".clone_into(&mut loading.instances[0].state);
    let host = Host::new()
        .with_model(Model::named("lmstudio/acme/otter-8b").resident())
        .with_model(vole)
        .with_model(loading)
        .install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    assert_eq!((reason(&skill, "Hello"), reason(&skill, "Hello again")), (None, None));
    assert!(asked(&host).is_empty());
    let lines = complaints(&host);
    assert_eq!((lines.len(), lines[0].0), (1, Level::Debug));
    assert!(lines[0].1.contains("embedding_model"), "{lines:?}");
}

#[test]
fn a_model_that_is_named_is_asked_whether_or_not_it_is_known() {
    for (name, wanted) in [("vole", "lmstudio/acme/vole-embed"), ("unheard-of", "unheard-of")] {
        let host = gateway().install();
        let settings = SUMMARISE.replacen('{', &format!("{{\"embedding_model\": \"{name}\","), 1);
        let skill = configured::<ModelSwapper>(&settings).unwrap();
        assert_eq!(reason(&skill, "Hello"), None);
        assert_eq!(host.embedded()[0].model, wanted);
    }
}

#[test]
fn a_wrong_number_of_vectors_passes() {
    for count in [0, 1, 3] {
        let host =
            gateway().with_embedding("Sum it up", &[1.0, 0.0, 0.0]).with_vectors_at_most(count).install();
        let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
        assert_eq!((reason(&skill, "Sum it up"), reason(&skill, "Sum it up")), (None, None));
        let line = format!("examples are not compared: the embedding model gave {count} vectors for 4 texts");
        assert_eq!(complaints(&host), [(Level::Warn, line)]);
    }
}

#[test]
fn a_turn_whose_vector_is_nothing_passes_and_nothing_of_that_answer_is_kept() {
    let host = gateway()
        .with_embedding("zeros", &[0.0, 0.0, 0.0])
        .with_embedding("not a number", &[f32::NAN, 1.0, 0.0])
        .with_embedding("Sum it up", &[1.0, 0.0, 0.0])
        .install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    assert_eq!((reason(&skill, "zeros"), reason(&skill, "not a number")), (None, None));
    assert!(reason(&skill, "Sum it up").is_some());
    assert_eq!(complaints(&host).len(), 1);
    assert_eq!(asked(&host).iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4]);
}

#[test]
fn an_example_whose_vector_is_nothing_is_left_out() {
    let host = gateway()
        .with_embedding("Sum this up for me", &[f32::NAN, 0.0, 0.0])
        .with_embedding("What are the main points?", &[0.0, 0.0, 0.0])
        .with_embedding("Sum it up", &[1.0, 0.0, 0.0])
        .with_embedding("The gist", &[0.0, 1.0, 0.0])
        .install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    assert_eq!(reason(&skill, "Sum it up"), None);
    assert_eq!(reason(&skill, "The gist").unwrap(), "summarise: like \"Give me the gist of it\"");
    assert_eq!(complaints(&host).len(), 1);
    assert_eq!(asked(&host).iter().map(Vec::len).collect::<Vec<_>>(), [4, 1]);
}

#[test]
fn vectors_of_different_lengths_are_forgotten() {
    let host =
        gateway().with_embedding("Sum it up", &[1.0, 0.0, 0.0]).with_embedding("odd", &[1.0]).install();
    let skill = configured::<ModelSwapper>(SUMMARISE).unwrap();
    assert!(reason(&skill, "Sum it up").is_some());
    assert_eq!(reason(&skill, "odd"), None);
    assert!(reason(&skill, "Sum it up").is_some());
    assert_eq!(complaints(&host).len(), 1);
    assert_eq!(asked(&host).iter().map(Vec::len).collect::<Vec<_>>(), [4, 1, 4]);
}

#[test]
fn a_reason_is_one_short_line() {
    let example = format!("Say \"it\"\n\u{202e}briefly{}", "é".repeat(60));
    let settings =
        serde_json::json!({"intents": {"brief": {"task": "chat", "models": ["owl"], "examples": [example]}}});
    let _host = gateway().with_embedding(&example, &[1.0]).with_embedding("Short!", &[1.0]).install();
    let skill = configured::<ModelSwapper>(&settings.to_string()).unwrap();
    let expected = format!("brief: like \"Say 'it'  briefly{}…\"", "é".repeat(60 - 17));
    assert_eq!(reason(&skill, "Short!").unwrap(), expected);
}

//! What people are answered: every command, what it says where something is missing, and how long it may be.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use chat_commands::ChatCommands;
use pointsman_sdk::activity::SkillInfo;
use pointsman_sdk::fake::{Host, configured};
use pointsman_sdk::{Error, Model, Skill, Turn};

const OTTER: &str = "lmstudio/acme/otter-8b";
const OWL: &str = "lmstudio/acme/owl-9b";

/// What the user wrote, in a conversation that uses the otter, taken apart as the host does.
fn say(settings: &str, text: &str) -> String {
    let mut turn = Turn::saying(text);
    turn.current_model = OTTER.to_owned();
    answer(settings, &turn)
}

fn answer(settings: &str, turn: &Turn) -> String {
    let skill = configured::<ChatCommands>(settings).unwrap();
    let line = turn.user_text.trim_start_matches(['/', '!']);
    let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let answer = skill.on_command(turn, name, arguments).unwrap();
    assert!(answer.len() <= 8192, "{} bytes", answer.len());
    answer
}

fn embedding(id: &str) -> Model {
    let mut model = Model::named(id);
    model.kind = "embedding".to_owned();
    model
}

fn busy(mut model: Model, context_length: u32, in_flight: u32, queued: u32) -> Model {
    model = model.resident();
    for instance in &mut model.instances {
        (instance.context_length, instance.in_flight, instance.queued) = (context_length, in_flight, queued);
    }
    model
}

fn remote(id: &str) -> Model {
    let mut model = Model::named(id).resident();
    model.local = false;
    model
}

fn gateway() -> Host {
    Host::new()
        .with_model(remote("cloud/big/heron-400b"))
        .with_model(Model::named(OWL).of_size(6000))
        .with_model(busy(Model::named(OTTER).of_size(5000), 32768, 1, 2))
        .with_model(embedding("lmstudio/nomic-embed"))
        .with_model(embedding("embedder/nomic"))
}

fn crowd(models: usize) -> Host {
    (0..models)
        .fold(Host::new(), |host, at| host.with_model(Model::named(&format!("lmstudio/acme/m{at:03}"))))
}

#[test]
fn models_are_listed_by_provider_with_what_is_in_memory() {
    let _host = gateway().install();
    let expected = "3 language models. This conversation uses `lmstudio/acme/otter-8b`.

`lmstudio`, 2 models:

- `lmstudio/acme/otter-8b`: in memory, context 32768 tokens, serving 1, 2 waiting; **this conversation's model**
- `lmstudio/acme/owl-9b`

`cloud`, 1 model:

- `cloud/big/heron-400b`: remote";
    assert_eq!(say("{}", "/models"), expected);
}

#[test]
fn models_of_one_provider() {
    let _host = gateway().install();
    let answer = say("{}", "/models Cloud");
    assert!(answer.starts_with("1 language model. ") && answer.ends_with(": remote"), "{answer}");
    assert!(!answer.contains("owl"));

    let unknown = say("{}", "/models nowhere");
    assert_eq!(unknown, "No provider `nowhere`. There are: `cloud`, `embedder`, `lmstudio`.");
    assert_eq!(say("{}", "/models embedder"), "`embedder` has no language models.");
    assert_eq!(say("{}", "/models embedder 3"), "`embedder` has no language models.");
}

#[test]
fn pages_say_how_to_get_the_next() {
    let _host = crowd(45).install();
    let first = say("{}", "/models");
    assert!(first.ends_with("- `lmstudio/acme/m019`\n\nPage 1 of 3. Next: `/models 2`"), "{first}");
    let second = say("{}", "!models lmstudio 2");
    assert!(
        second.contains("m020") && second.ends_with("Page 2 of 3. Next: `!models lmstudio 3`"),
        "{second}"
    );
    let last = say("{}", "/models 3");
    assert!(last.ends_with("- `lmstudio/acme/m044`\n\nPage 3 of 3."), "{last}");

    let beyond = "There is no page 4: 45 language models fill 3 pages. The last: `/models 3`";
    assert_eq!(say("{}", "/models 4"), beyond);
    assert!(say("{}", "/models 99999999999999999999999").contains("fill 3 pages"));
    assert!(say(r#"{"page_size": 50}"#, "/models").ends_with("m044`"));
}

#[test]
fn long_names_make_shorter_pages_and_none_is_left_out() {
    let long = "x".repeat(220);
    let host = (0..90).fold(Host::new(), |host, at| {
        host.with_model(busy(Model::named(&format!("p{}/{long}-{at:02}", at % 3)), 4096, 1, 1))
    });
    let _host = host.install();
    let settings = r#"{"page_size": 100}"#;
    let pages: Vec<_> = (1..=9)
        .map(|page| say(settings, &format!("/models {page}")))
        .take_while(|page| !page.contains("no page"))
        .collect();
    let listed: usize = pages.iter().map(|page| page.matches("\n- ").count()).sum();
    assert_eq!(listed, 90);
    assert!((4..=5).contains(&pages.len()), "{}", pages.len());
}

#[test]
fn a_provider_may_be_called_by_a_number() {
    let _host = Host::new().with_model(Model::named("2/acme/owl")).install();
    assert!(say("{}", "/models 2").contains("`2/acme/owl`"));
    assert!(say("{}", "/models 3").starts_with("There is no page 3: 1 language model fill"));
}

#[test]
fn no_models_at_all_are_explained() {
    for host in [Host::new(), gateway().failing("models", Error::new("denied", "not granted"))] {
        let _host = host.install();
        for text in ["/models", "/models 2", "/models lmstudio"] {
            assert!(say("{}", text).contains("`pointsman doctor`"), "{text}");
        }
        assert!(say("{}", "/model owl").starts_with("No model `owl`; nothing was changed."));
    }
}

#[test]
fn the_model_in_use_and_why() {
    let _host = gateway().install();
    let change = "Change it with `/model ID`; `/models` lists them.";
    let of = |requested: &str, pinned| {
        let mut turn = Turn::saying("/model");
        (turn.requested_model, turn.pinned) = (requested.to_owned(), pinned);
        turn.current_model = OTTER.to_owned();
        answer("{}", &turn)
    };
    let uses = |why: &str| format!("This conversation uses `{OTTER}`{why}. {change}");
    assert_eq!(of("auto", false), uses(", the default: none was picked"));
    assert_eq!(of("lmstudio/auto", false), uses(", the default: none was picked"));
    assert_eq!(of("gpt-unknown", false), uses(", the default: none was picked"));
    assert_eq!(of("otter", false), uses(", the default here: the client asks for it"));
    assert_eq!(of("owl", false), uses(": a skill's route holds it there"));
    assert_eq!(of("auto", true), uses(": a person picked it, here or for every conversation"));

    assert!(answer("{}", &Turn::saying("/model")).starts_with("No model: "));
}

#[test]
fn a_picked_model_says_until_when() {
    let _host = gateway().with_session("session", OTTER).install();
    let stays = "it was picked, and stays until `/model default`";
    assert!(say("{}", "/model").starts_with(&format!("This conversation uses `{OTTER}`: {stays}.")));

    let _host = gateway().with_session("session", "gone/acme/wren").install();
    let answer = say("{}", "/model");
    let told = format!("`gone/acme/wren` was picked, but no provider has it now: requests go to `{OTTER}`.");
    assert!(answer.starts_with(&told) && answer.contains("`/model default`"), "{answer}");
}

#[test]
fn a_model_is_picked_by_any_name_of_it() {
    let host = gateway().install();
    let answer = say("{}", "/model OWL");
    assert_eq!(host.session_model("session").as_deref(), Some(OWL));
    let expected = format!(
        "This conversation uses `{OWL}` from now on; it stays until `/model default`. It is not in memory: the next \
         message loads it."
    );
    assert_eq!(answer, expected);
    assert!(say("{}", "/model owl").contains(" already; it stays until `/model default`."));
    assert!(say("{}", "/model otter").ends_with("until `/model default`."), "it is in memory");
    assert!(say("{}", "/model heron").ends_with("until `/model default`."), "it is elsewhere");
}

#[test]
fn a_model_that_was_loaded_before_says_how_long_that_took() {
    let mut owl = Model::named(OWL);
    owl.load_seconds = Some(12.4);
    let _host = Host::new().with_model(owl).install();
    assert!(say("{}", "/model owl").ends_with("loads it; last time that took 12 s."));
}

#[test]
fn default_unpicks() {
    let host = gateway().with_session("session", OWL).install();
    let answer = say("{}", "!model Default");
    assert_eq!(host.session_model("session"), None);
    let expected = format!(
        "This conversation is back to its default; `{OWL}` is no longer picked. `!model` says which it is."
    );
    assert_eq!(answer, expected);
    assert!(say("{}", "/model default").starts_with("No model was picked"));
}

#[test]
fn a_name_that_means_nothing_changes_nothing() {
    let host = (0..7).fold(gateway(), |host, at| {
        host.with_model(Model::named(&format!("lmstudio/acme/super-wren-{}b", 10_u64.pow(at))))
    });
    let host = host.with_model(embedding("e/my-wren")).install();
    let answer = say("{}", "/model WREN");
    assert!(
        answer.starts_with(
            "No model `WREN`; nothing was changed. Close to it: `lmstudio/acme/super-wren-1b`, "
        )
    );
    assert_eq!(answer.matches("super-wren").count(), 5);
    assert_eq!(say("{}", "/model zzz"), "No model `zzz`; nothing was changed. `/models` lists them.");
    assert_eq!(host.session_model("session"), None);
}

#[test]
fn embedding_models_are_refused() {
    let host = gateway().with_model(Model::named("cloud/my-nomic-chat")).install();
    let proposed = say("{}", "/model nomic");
    assert!(proposed.ends_with("; nothing was changed. Close to it: `cloud/my-nomic-chat`."), "{proposed}");
    let answer = say("{}", "/model nomic-embed");
    assert_eq!(
        answer,
        "`lmstudio/nomic-embed` is of kind embedding and answers no conversations; nothing was changed."
    );
    assert_eq!(host.session_model("session"), None);
}

#[test]
fn errors_are_said_in_one_line() {
    let message =
        "`sessions` is not granted to chat-commands;\nadd it to `grants` of `[skills.chat-commands]`";
    let _host = gateway().failing("sessions", Error::new("denied", message)).install();
    let expected = format!("The model was not changed: {}.", message.replace('\n', " "));
    assert_eq!(say("{}", "/model owl"), expected);
    assert_eq!(say("{}", "/model default"), expected);

    let _host = Host::new().install();
    assert_eq!(say("{}", "/why"), "There is no telling why: no session `session`.");
}

#[test]
fn skills_and_what_is_wrong_with_them() {
    let _host = Host::new()
        .with_skill(SkillInfo::active("model-swapper", "0.1.0"))
        .with_skill(SkillInfo::active("own", "2.0.0-rc.1").in_state("quarantined"))
        .with_skill(
            SkillInfo::active("broken", "").in_state("failed").with_fact("reason", "it imports\n`clocks`."),
        )
        .with_skill(SkillInfo::active("strange", "1.0.0").in_state("resting"))
        .install();
    let expected = "- `model-swapper` 0.1.0, active
- `own` 2.0.0-rc.1, quarantined: it failed too often
- `broken`, failed: it imports `clocks`
- `strange` 1.0.0, resting";
    assert_eq!(say("{}", "/skills"), expected);
}

#[test]
fn many_skills_are_counted_and_none_are_explained() {
    let reason = "word ".repeat(70);
    let host = (0..60).fold(Host::new(), |host, at| {
        host.with_skill(SkillInfo::active(&format!("skill-{at}"), "1.0.0").with_fact("reason", &reason))
    });
    let _host = host.install();
    let answer = say("{}", "/skills");
    let shown = answer.matches("- `").count();
    assert!(answer.ends_with(&format!("\n\nand {} more skills.", 60 - shown)), "{answer}");

    let _host = Host::new().failing("activity", Error::new("denied", "not granted")).install();
    assert!(say("{}", "/skills").ends_with("was not granted `activity`."));
    assert_eq!(say("{}", "/why"), "There is no telling why: not granted.");
}

#[test]
fn why_is_what_the_gateway_says() {
    let _host = Host::new().with_explanation("session", "**Because.**\n\n- so").install();
    assert_eq!(say("{}", "/why"), "**Because.**\n\n- so");
    let _host = Host::new().with_explanation("session", &"- a step\n".repeat(2000)).install();
    assert!(say("{}", "/why").ends_with("- a step\n\n(cut here; `pointsman why` says all of it)"));
}

#[test]
fn whatever_is_left_over_is_answered_with_the_usage() {
    let _host = gateway().install();
    for (text, usage) in [
        ("/models lmstudio 1 2", "/models [provider] [page]"),
        ("/models lmstudio one", "/models [provider] [page]"),
        ("/models lmstudio 0", "/models [provider] [page]"),
        ("/models 0", "/models [provider] [page]"),
        ("/models -1 1 1", "/models [provider] [page]"),
        ("!model owl please", "!model [id|default]"),
        ("/skills all", "/skills"),
        ("/why not", "/why"),
    ] {
        assert_eq!(say("{}", text), format!("Usage: `{usage}`"), "{text}");
    }
}

#[test]
fn the_manifest_its_schema_and_the_settings_agree() {
    let manifest = ChatCommands::describe();
    assert!(manifest.reusable);
    let schema: serde_json::Value = serde_json::from_str(&manifest.settings_schema.unwrap()).unwrap();
    let page_size = schema.pointer("/properties/page_size").unwrap();
    let bounds = ["/minimum", "/maximum"].map(|at| page_size.pointer(at).unwrap().as_u64().unwrap());
    for (size, is_right) in [
        (bounds[0], true),
        (bounds[1], true),
        (bounds[0] - 1, false),
        (bounds[1] + 1, false),
        (page_size.pointer("/default").unwrap().as_u64().unwrap(), true),
    ] {
        let settings = format!(r#"{{"page_size": {size}}}"#);
        assert_eq!(configured::<ChatCommands>(&settings).is_ok(), is_right, "{size}");
    }
    assert!(configured::<ChatCommands>(r#"{"page": 1}"#).unwrap_err().message.contains("page"));
}

#[test]
fn only_its_own_commands_are_answered() {
    let skill = configured::<ChatCommands>("{}").unwrap();
    let names: Vec<_> = skill.commands().into_iter().map(|command| command.name).collect();
    assert_eq!(names, ["models", "model", "skills", "why"]);
    let error = skill.on_command(&Turn::saying("/translate x"), "translate", "x").unwrap_err();
    assert_eq!((error.code.as_str(), error.message.as_str()), ("not-found", "no command `translate`"));
}

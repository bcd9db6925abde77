//! Skills in the folder beside the bundled one: broken ones cost nobody anything, one without grants is told `denied`,
//! and the example of the SDK does its work.

#![cfg(test)]

use lmstudio_emulator::config::Model;
use lmstudio_emulator::{Config as LmStudio, Event};
use pointsman::skill::State;
use pointsman_tests::world::{GENERAL, World, lmstudio, says, shows};
use pointsman_tests::{guests, tools};

const TRANSLATE: &str = "Translate into German: Where is the station?";

#[tokio::test(flavor = "multi_thread")]
async fn broken_skills_are_passed_over_and_named() {
    let broken = ["spins", "traps", "hogs-at-once", "hogs-by-growth", "errs"];
    let skills: Vec<_> = broken.iter().map(|name| (format!("{name}.wasm"), guests::guest(name))).collect();
    let mut skills: Vec<_> = skills.iter().map(|(file, wasm)| (file.as_str(), wasm.clone())).collect();
    skills.push(("not-wasm.wasm", b"hello".to_vec()));
    skills.push(("spins-in-configure.wasm", guests::guest("spins-in-configure")));
    let world = World::with_skills(lmstudio(), "", &skills).await;

    let plain = world.ask("s", &says("hello")).await;
    assert_eq!(plain.text(), format!("[{GENERAL}] You wrote: hello"), "{plain:?}");
    let record = world.record(&plain).await;
    for name in broken {
        let step = record
            .steps
            .iter()
            .find(|step| *step.skill == *name)
            .unwrap_or_else(|| panic!("{name}: {record:?}"));
        assert_eq!(step.result, "failed", "{name}");
        assert!(
            step.detail.as_ref().is_some_and(|detail| !detail.is_empty()),
            "{name} failed without a word"
        );
    }
    let detail = |name: &str| {
        record.steps.iter().find(|step| *step.skill == *name).and_then(|step| step.detail.clone()).unwrap()
    };
    assert!(detail("traps").contains("cannot make sense of"), "{}", detail("traps"));
    assert!(detail("errs").contains("the oracle"), "{}", detail("errs"));

    let translated = world.ask("s", &says(TRANSLATE)).await;
    assert!(translated.text().ends_with("Wo ist der Bahnhof?"), "{translated:?}");
    assert_eq!(translated.header("x-pointsman-skill"), "model-swapper");
    world.resting_on(GENERAL).await;

    let failed = |name: &str| {
        let all = world.gateway.gateway().skills.statuses();
        all.into_iter().any(|skill| skill.name.as_str() == name && matches!(skill.state, State::Failed(_)))
    };
    assert!(failed("not-wasm") && failed("spins-in-configure"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_without_grants_is_denied() {
    let world = World::with_skills(lmstudio(), "", &[("asks.wasm", guests::guest("asks"))]).await;
    let answer = world.ask("s", &says("hello")).await;
    let text = answer.text();
    for denied in [
        "load Err(\"denied\")",
        "unload Err(\"denied\")",
        "messages Err(\"denied\")",
        "models 0",
        "find None",
    ] {
        assert!(text.contains(denied), "{denied}: {text}");
    }
    assert_eq!(world.resident().len(), 1);

    let toml = "[skills.asks]\ngrants = [\"models\"]\n";
    let world = World::with_skills(lmstudio(), toml, &[("asks.wasm", guests::guest("asks"))]).await;
    let text = world.ask("s", &says("hello")).await.text();
    assert!(text.contains("models 6") && text.contains("load Err(\"denied\")"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_example_loads_unloads_and_routes() {
    let (coder, owl) = ("acme/coder-7b", "acme/owl-9b");
    let models = vec![Model::new(coder), Model { vision: true, ..Model::new(owl) }];
    let server = LmStudio { models, ..LmStudio::default() }.loaded_with_context(coder, 16_384);
    let toml = "[skills.preload]\ngrants = [\"models\", \"residency=all\"]\n[skills.model-swapper]\nenabled = false\n";
    let world = World::with_skills(server, toml, &[("preload.wasm", tools::preload_skill())]).await;

    let plain = world.ask("s", &says("hello")).await;
    assert!(plain.text().starts_with(&format!("[{coder}]")), "{plain:?}");
    let answer = world.ask("s", &shows("What is this?")).await;
    assert!(
        answer.text().starts_with(&format!("[{owl}]")) && answer.text().contains("sha256:"),
        "{answer:?}"
    );
    assert_eq!(answer.header("x-pointsman-skill"), "preload");
    assert_eq!(answer.header("x-pointsman-reason"), "preload: the turn has a picture");
    assert_eq!(world.loads(owl), 1, "the route joined the load that was wished for");
    let unloaded = |event: &Event| matches!(event, Event::Unload { instance } if **instance == *coder);
    assert_eq!(world.happened(unloaded), 1);
    assert_eq!(world.resident().len(), 1);
}

#[test]
fn the_skills_own_tests_pass() {
    tools::skills_native_tests();
}

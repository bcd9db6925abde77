//! Skills in the folder beside the bundled ones: one without grants is told `denied`, and the example of the SDK does its
//! work.

#![cfg(test)]

use lmstudio_emulator::config::Model;
use lmstudio_emulator::{Config as LmStudio, Event};
use pointsman_tests::world::{World, lmstudio, says, shows};
use pointsman_tests::{guests, tools};

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

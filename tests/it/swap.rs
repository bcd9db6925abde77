//! The main job: a request that a specialist serves better swaps LM Studio's model and puts the first one back.

use lmstudio_emulator::Event;
use pointsman_tests::world::{CONTEXT, GENERAL, SPECIALIST, World, lmstudio, says, shows};

#[tokio::test(flavor = "multi_thread")]
async fn a_translation_swaps_and_the_first_model_comes_back() {
    let world = World::start(lmstudio()).await;
    let before = world.resident();
    assert_eq!(before, [(GENERAL.to_owned(), CONTEXT)]);

    let plain = world.ask("s", &says("What is the capital of France?")).await;
    assert!(plain.text().starts_with(&format!("[{GENERAL}]")), "{plain:?}");

    let answer = world.ask("s", &shows("Translate the text in this image into English")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("sha256:") && answer.is_terminated(), "{answer:?}");
    assert_eq!(answer.header("x-pointsman-skill"), "model-swapper");
    assert!(answer.header("x-pointsman-reason").starts_with("image-translation"), "{answer:?}");

    world.resting_on(GENERAL).await;
    assert_eq!(world.resident(), before);
    let unloaded =
        world.lmstudio.log().iter().filter(|entry| matches!(entry.event, Event::Unloaded { .. })).count();
    assert_eq!(unloaded, 2);
    assert!(world.records(2).await[0].headline().contains(SPECIALIST.rsplit('/').next().unwrap()));
    world.gateway.stop().await;
}

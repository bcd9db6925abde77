//! Skills that wish models away while they are at work: a wish never hurts a running answer, and what others loaded is
//! not a skill's to unload.

use std::sync::Arc;

use lmstudio_emulator::Event;
use pointsman_tests::guests;
use pointsman_tests::world::{CONTEXT, GENERAL, OTHER, World, lmstudio, says};

use super::{at_rest, effects, greeted, stall};

/// The skill that wishes, with what it may.
const GRANTED: &str = "[skills.wishes-away]\ngrants = [\"residency\"]\n";

async fn wishing(server: lmstudio_emulator::Config) -> Arc<World> {
    let skill = ("wishes-away.wasm", guests::guest("wishes-away"));
    Arc::new(World::with_skills(server, GRANTED, &[skill]).await)
}

fn unloads_of(world: &World, model: &str) -> usize {
    world.happened(|event| matches!(event, Event::Unload { instance } if **instance == *model))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_that_wishes_its_own_model_away_is_served_by_it_all_the_same() {
    let world = wishing(lmstudio().fault(stall(2, OTHER))).await;
    let mut first = world.open("a", &says(&format!("leave {OTHER}"))).await;
    world.held().await;
    first.until("data: ").await;
    assert_eq!(unloads_of(&world, OTHER), 0);
    // The wish of another request meets the model at work, and waits for it as that request does.
    let second = world.ask_beside("b", &says(&format!("leave {OTHER}")));
    world
        .residency(|report| report.waiters.iter().any(|it| it.model.key() == OTHER && it.session.is_none()))
        .await;
    assert_eq!(unloads_of(&world, OTHER), 0, "it is at work");
    world.lmstudio.release(Some("gate"));
    for answer in [first.finish().await, second.await.unwrap()] {
        assert_eq!(answer.text(), format!("[{OTHER}] You wrote: leave {OTHER}"), "{answer:?}");
        assert!(answer.is_terminated());
    }
    at_rest(&world).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_loaded_is_not_a_skills_to_unload() {
    let world = wishing(lmstudio()).await;
    let answer = world.ask("a", &says(&format!("leave {GENERAL}"))).await;
    assert_eq!(answer.text(), format!("[{GENERAL}] You wrote: leave {GENERAL}"), "{answer:?}");
    world.idle().await;
    assert!(effects(&world).is_empty());
    let plain = world.ask("b", &says("hello")).await;
    assert_eq!(plain.text(), greeted(GENERAL), "{plain:?}");
}

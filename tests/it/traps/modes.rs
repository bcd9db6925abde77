//! Servers whose memory is not the gateway's to look after: an LM Studio older than 0.4, and one that was told to see to
//! itself. Every listed model counts as there, requests load what they need, and nothing is ever loaded or unloaded for
//! them.

use lmstudio_emulator::Config;
use lmstudio_emulator::log::Origin;
use pointsman::id::ModelId;
use pointsman::residency::{Action, Pin, Reason, Refused, Standing, WhenAnswered, Whose, Wish, Wisher};
use pointsman_tests::world::{CONTEXT, GENERAL, GENERAL_ID, OTHER, SPECIALIST, World, lmstudio, says};
use serde_json::json;

use super::{ROOMY_GB, TRANSLATE, TRANSLATED, effects, greeted, stall, to};

const LEFT_TO_IT: &str =
    "[providers.lmstudio]\nkind = \"lmstudio\"\nurl = \"{url}\"\nresidency = \"provider\"\n";

/// An LM Studio of a version before 0.4, with room for two models: the ones it does not know paths by.
fn old(unknown_v1_route_status: u16) -> Config {
    lmstudio().memory_gb(ROOMY_GB).server(|server| {
        server.native_v1 = false;
        server.unknown_v1_route_status = unknown_v1_route_status;
    })
}

/// What becomes of a person's wish.
async fn wished(world: &World, action: Action) -> Result<Standing, Refused> {
    let wish =
        Wish { model: ModelId::new(GENERAL_ID), action, by: Wisher::Person, answer: WhenAnswered::WhenDone };
    world.gateway.gateway().residency.wish(wish).await
}

/// A translation while another answer runs, and a greeting: all three at once, and nobody is loaded for any of them.
async fn serves_what_requests_load(world: &World) {
    let mut words = says("write 50 words");
    words["model"] = json!(GENERAL);
    let mut long = world.open("a", &words).await;
    world.held().await;
    long.until("data: ").await;
    let translated = world.ask("b", &says(TRANSLATE)).await;
    assert_eq!(translated.text(), format!("[{SPECIALIST}] {TRANSLATED}"), "{translated:?}");
    world.lmstudio.release(Some("gate"));
    let long = long.finish().await;
    assert!(long.is_terminated() && long.error().is_none(), "{long:?}");
    let named = world.ask("c", &to(OTHER)).await;
    assert_eq!(named.text(), greeted(OTHER), "{named:?}");
    let plain = world.ask("d", &to(GENERAL)).await;
    assert_eq!(plain.text(), greeted(GENERAL), "{plain:?}");
    world.idle().await;
    assert!(effects(world).is_empty(), "{:?}", effects(world));
    let resident = world.lmstudio.resident();
    assert!(resident.iter().any(|it| *it.key == *OTHER && it.origin == Origin::Jit), "{resident:?}");
    assert!(world.resident().contains(&(GENERAL.to_owned(), CONTEXT)), "{resident:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_lm_studio_serves_what_its_requests_load() {
    for status in [200, 404] {
        let world = World::start(old(status).fault(stall(2, GENERAL))).await;
        serves_what_requests_load(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_lm_studio_that_nobody_said_is_one_is_found_out() {
    let toml = "[providers.anything]\nurl = \"{url}\"\n";
    let world = World::configured(old(404), toml).await;
    let answer = world.ask("s", &to(SPECIALIST)).await;
    assert_eq!(answer.status, 400, "only a translation fits its template: {answer:?}");
    let translated = world.ask("s", &says(TRANSLATE)).await;
    assert!(translated.text().ends_with(TRANSLATED), "{translated:?}");
    assert!(effects(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_left_to_itself_is_never_told_to_load_or_unload() {
    let server = lmstudio().memory_gb(ROOMY_GB).fault(stall(2, GENERAL));
    let world = World::configured(server, LEFT_TO_IT).await;
    serves_what_requests_load(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_whose_models_they_are() {
    let worlds =
        [World::start(old(404)).await, World::configured(lmstudio().memory_gb(ROOMY_GB), LEFT_TO_IT).await];
    for world in worlds {
        let unload = wished(&world, Action::Unload { whose: Whose::Everyones }).await;
        assert!(matches!(&unload, Err(refused) if refused.reason == Reason::NotOurs), "{unload:?}");
        let load = wished(&world, Action::Load { context_length: None, pin: Pin::Loose }).await;
        assert_eq!(load, Ok(Standing::Done), "it counts as there");
        assert!(effects(&world).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_means_what_is_in_memory_where_the_server_looks_after_it() {
    let world = World::configured(lmstudio().memory_gb(ROOMY_GB), LEFT_TO_IT).await;
    let answer = world.ask("s", &says("hello")).await;
    assert_eq!(answer.text(), greeted(GENERAL), "{answer:?}");
}

//! Routes that last: a session's, and one whose model stays when its task is done.

use pointsman::residency::Report;
use pointsman_tests::world::{CONTEXT, GENERAL, GENERAL_ID, OTHER, World, lmstudio, says};

use super::{TRANSLATE, at_rest, greeted, to};

/// Settings of the bundled skill: translations go to a general model, which stays able to talk.
fn translations(setting: &str) -> String {
    format!("[skills.model-swapper.settings.intents.translate]\nmodels = [\"{OTHER}\"]\n{setting}\n")
}

fn baseline(report: &Report) -> Vec<&str> {
    report.baseline.iter().map(|entry| entry.model.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_route_lasts_for_the_session_and_holds_no_memory() {
    let world = World::configured(lmstudio(), &translations("hold = \"session\"")).await;
    let translated = world.ask("a", &says(TRANSLATE)).await;
    assert!(translated.text().starts_with(&format!("[{OTHER}]")), "{translated:?}");
    // A hold is routing, not memory: what is due comes back as soon as nobody is served.
    at_rest(&world).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)]);

    let next = world.ask("a", &says("hello")).await;
    assert_eq!(next.text(), greeted(OTHER), "{next:?}");
    at_rest(&world).await;
    let elsewhere = world.ask("b", &says("hello")).await;
    assert_eq!(elsewhere.text(), greeted(GENERAL), "another session is not held: {elsewhere:?}");

    let report = world.residency(|_| true).await;
    assert_eq!(baseline(&report), [GENERAL_ID]);
    assert_eq!((world.loads(OTHER), world.loads(GENERAL)), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_keeps_its_model_makes_it_what_is_due() {
    let world = World::configured(lmstudio(), &translations("afterwards = \"keep\"")).await;
    let translated = world.ask("a", &says(TRANSLATE)).await;
    assert!(translated.text().starts_with(&format!("[{OTHER}]")), "{translated:?}");
    world.idle().await;
    let report = world.residency(|_| true).await;
    assert_eq!(baseline(&report), [format!("lmstudio/{OTHER}")]);
    // The turn's route is over, and what is in memory serves what names no model.
    for session in ["a", "b"] {
        let next = world.ask(session, &says("hello")).await;
        assert_eq!(next.text(), greeted(OTHER), "{next:?}");
    }
    world.idle().await;
    assert_eq!((world.loads(OTHER), world.loads(GENERAL)), (1, 0));
    let named = world.ask("a", &to(GENERAL)).await;
    assert_eq!(named.text(), greeted(GENERAL), "{named:?}");
    at_rest(&world).await;
}

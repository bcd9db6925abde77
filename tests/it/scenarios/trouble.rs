//! Processes die and loads fail: who is told, who is served all the same, and what is in memory afterwards.

use pointsman_tests::backend::{Backend, Conditions, GENERAL, Kind, OTHER, SPECIALIST, routed, says, whole};

/// A request with two candidates: the first cannot be loaded, and the second is named after it.
const TRANSLATE: &str = "Translate into German: Where is the station?";

pub(super) async fn crash_in_a_stream(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default().dying(GENERAL)).await;
    let stream = backend.speaking("a", GENERAL).await;
    backend.crash(GENERAL);
    let broken = backend.rest(stream).await;
    assert_eq!(broken.status, 200);
    let error = broken.chunks().pop().unwrap();
    assert_eq!(error["error"]["type"], "server_error", "{broken:?}");
    assert!(!broken.body.contains("\"finish_reason\":\"stop\""), "passed on as a success: {broken:?}");
    assert!(backend.record(&broken).await.error.is_some());

    let next = backend.ask("a", &says("hello")).await;
    assert_eq!(Backend::speaker(&next), Some(GENERAL), "{next:?}");
    backend.resting_on(GENERAL).await;
    let again = backend.ask("a", &says("hello")).await;
    assert_eq!(Backend::speaker(&again), Some(GENERAL), "{again:?}");
}

pub(super) async fn crash_before_the_answer(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default().dying(GENERAL)).await;
    let asked = backend.ask_beside("a", &whole(backend.long(GENERAL)));
    if kind == Kind::LlamaServer {
        backend.at_work(GENERAL).await;
        backend.crash(GENERAL);
    }
    // Nothing of it was sent yet, so it is asked again when the model is back.
    let answer = asked.await.unwrap();
    assert_eq!((answer.status, answer.error()), (200, None), "{answer:?}");
    assert!(answer.text().split_whitespace().count() >= 100, "{answer:?}");
    backend.resting_on(GENERAL).await;
}

pub(super) async fn next_candidate(kind: Kind) {
    let toml = "[skills.model-swapper.settings.intents.translate]\n\
                models = [\"acme/specialist-8b\", \"acme/other-8b\"]\n";
    let backend = Backend::start(kind, Conditions::configured(toml).broken(SPECIALIST)).await;
    let answer = backend.ask("s", &says(TRANSLATE)).await;
    assert_eq!(Backend::speaker(&answer), Some(OTHER), "{answer:?}");
    assert_eq!(answer.header("x-pointsman-skill"), "model-swapper");
    let record = backend.record(&answer).await;
    assert_eq!(record.attempts.len(), 2, "{record:?}");
    backend.resting_on(GENERAL).await;
    assert_eq!(backend.most_at_once(), 1);
}

pub(super) async fn fallback(kind: Kind) {
    let toml = "[defaults]\nfallbacks = [\"acme/other-8b\"]\n";
    let backend = Backend::start(kind, Conditions::configured(toml).broken(SPECIALIST)).await;
    let answer = backend.ask("s", &routed(SPECIALIST)).await;
    assert_eq!(Backend::speaker(&answer), Some(OTHER), "{answer:?}");
    let record = backend.record(&answer).await;
    assert_eq!(record.attempts.last().unwrap().sent, "conversation");
    backend.resting_on(GENERAL).await;
    assert_eq!(backend.most_at_once(), 1);
}

pub(super) async fn nothing_left(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default().broken(SPECIALIST)).await;
    for body in [routed(SPECIALIST), whole(routed(SPECIALIST))] {
        let answer = backend.ask("s", &body).await;
        assert!((500..600).contains(&answer.status) && answer.error().is_some(), "{answer:?}");
        assert!(backend.record(&answer).await.error.is_some());
        backend.resting_on(GENERAL).await;
    }
    let answer = backend.ask("s", &says("hello")).await;
    assert_eq!(Backend::speaker(&answer), Some(GENERAL), "{answer:?}");
}

//! A client that leaves takes nothing with it: not a lease, not a place in the queue, not the model of others.

use pointsman_tests::backend::{Backend, Conditions, GENERAL, Kind, SPECIALIST, routed, says};

pub(super) async fn leaves_the_queue(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default().holding(GENERAL)).await;
    let stream = backend.speaking("a", GENERAL).await;
    let leaving = backend.ask_beside("b", &routed(SPECIALIST));
    backend.waiting_for(SPECIALIST, 1).await;
    leaving.abort();
    backend.waiting_for(SPECIALIST, 0).await;
    backend.let_end();
    let streamed = backend.rest(stream).await;
    assert!(backend.is_whole(&streamed), "{streamed:?}");
    backend.resting_on(GENERAL).await;
    assert_eq!(backend.loads(SPECIALIST, 0).await, 0, "nobody was there any more to load it for");
}

pub(super) async fn leaves_during_the_load(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default().loading_slowly(SPECIALIST)).await;
    let leaving = backend.ask_beside("a", &routed(SPECIALIST));
    backend.loading(SPECIALIST).await;
    leaving.abort();
    backend.let_load();
    // A load that was sent is awaited; then the first model is put back.
    backend.resting_on(GENERAL).await;
    assert_eq!(backend.loads(SPECIALIST, 1).await, 1);
    assert_eq!(backend.most_at_once(), 1);
    let answer = backend.ask("b", &says("hello")).await;
    assert_eq!(Backend::speaker(&answer), Some(GENERAL), "{answer:?}");
}

pub(super) async fn leaves_its_stream(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default().holding(GENERAL)).await;
    let stream = backend.speaking("a", GENERAL).await;
    backend.at_work(GENERAL).await;
    drop(stream);
    // Nothing lets the stream end but its client's leaving, and nothing but that lets the swap begin.
    let answer = backend.ask("b", &routed(SPECIALIST)).await;
    assert_eq!(Backend::speaker(&answer), Some(SPECIALIST), "{answer:?}");
    backend.resting_on(GENERAL).await;
    assert_eq!(backend.most_at_once(), 1);
}

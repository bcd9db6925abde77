//! One model goes, another comes: when, at whose cost, and what is there afterwards.

use pointsman_tests::backend::{
    Backend, Conditions, GENERAL, Kind, OTHER, SPECIALIST, names, routed, says, whole,
};

pub(super) async fn a_route_swaps_and_restores(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default()).await;
    let plain = backend.ask("s", &says("hello")).await;
    assert_eq!(Backend::speaker(&plain), Some(GENERAL), "{plain:?}");
    for body in [routed(SPECIALIST), whole(routed(SPECIALIST))] {
        let answer = backend.ask("s", &body).await;
        assert_eq!(Backend::speaker(&answer), Some(SPECIALIST), "{answer:?}");
        assert_eq!(answer.header("x-pointsman-skill"), "router");
        let record = backend.record(&answer).await;
        assert!(record.attempts[0].loaded_ms.is_some() && record.error.is_none(), "{record:?}");
        backend.resting_on(GENERAL).await;
    }
    assert_eq!(backend.loads(SPECIALIST, 2).await, 2);
    assert_eq!(backend.most_at_once(), 1);
    let after = backend.ask("s", &says("hello")).await;
    assert_eq!(Backend::speaker(&after), Some(GENERAL), "{after:?}");
}

pub(super) async fn a_named_model_becomes_the_baseline(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default()).await;
    let answer = backend.ask("s", &names(OTHER, "hello")).await;
    assert_eq!(Backend::speaker(&answer), Some(OTHER), "{answer:?}");
    backend.resting_on(OTHER).await;
    let answer = backend.ask("t", &routed(SPECIALIST)).await;
    assert_eq!(Backend::speaker(&answer), Some(SPECIALIST), "{answer:?}");
    backend.resting_on(OTHER).await;
    let answer = backend.ask("t", &says("hello")).await;
    assert_eq!(Backend::speaker(&answer), Some(OTHER), "{answer:?}");
    assert_eq!(backend.most_at_once(), 1);
}

pub(super) async fn a_running_stream_ends_first(kind: Kind) {
    let backend = Backend::start(kind, Conditions::default().holding(GENERAL)).await;
    let stream = backend.speaking("a", GENERAL).await;
    let routed = backend.ask_beside("b", &routed(SPECIALIST));
    backend.waiting_for(SPECIALIST, 1).await;
    assert_eq!(backend.resident().await, [GENERAL]);
    backend.let_end();
    let streamed = backend.rest(stream).await;
    assert!(backend.is_whole(&streamed), "{streamed:?}");
    let answer = routed.await.unwrap();
    assert_eq!(Backend::speaker(&answer), Some(SPECIALIST), "{answer:?}");
    let record = backend.record(&answer).await;
    assert!(record.attempts[0].drained_ms.is_some(), "{record:?}");
    backend.resting_on(GENERAL).await;
    assert_eq!(backend.most_at_once(), 1);
}

pub(super) async fn ten_at_once_make_one_load(kind: Kind) {
    // All of them have asked before the first can be served: the model that is in the way is busy until then.
    let backend = Backend::start(kind, Conditions::default().holding(GENERAL)).await;
    let stream = backend.speaking("a", GENERAL).await;
    let ten: Vec<_> =
        (0..10).map(|number| backend.ask_beside(&format!("s{number}"), &routed(SPECIALIST))).collect();
    backend.waiting_for(SPECIALIST, 10).await;
    backend.let_end();
    let streamed = backend.rest(stream).await;
    assert!(backend.is_whole(&streamed), "{streamed:?}");
    for answer in ten {
        let answer = answer.await.unwrap();
        assert_eq!(Backend::speaker(&answer), Some(SPECIALIST), "{answer:?}");
        assert!(answer.is_terminated(), "{answer:?}");
    }
    assert_eq!(backend.loads(SPECIALIST, 1).await, 1);
    backend.resting_on(GENERAL).await;
    assert_eq!(backend.most_at_once(), 1);
}

//! Two hundred requests for two models of a real engine and memory for one: every one is answered by its model, whole,
//! within the time that the gateway promises, and what was in memory before is there afterwards.
//!
//! The promise is of waiting, and everything it is made of is measured where it happened: in the gateway's own records.

use std::sync::Arc;

use futures_util::future::join_all;
use pointsman::telemetry::Record;
use pointsman_tests::backend::{Backend, Conditions, GENERAL, Kind, SPECIALIST, routed, says, whole};
use pointsman_tests::engine;
use pointsman_tests::world::beside;

/// Clients at once, each with a conversation of its own.
const CLIENTS: usize = 20;

/// Requests of each, one after another.
const REQUESTS: usize = 10;

/// How long a request respects the turns of others, as configured below.
const MAX_WAIT_MS: u64 = 500;

const CONFIGURATION: &str = "[residency.local]\nmax_wait = \"500ms\"\n";

/// The longest of each part of the promise.
#[derive(Debug, Default)]
struct Longest {
    waited_ms: u64,
    drained_ms: u64,
    swapped_ms: u64,
    served_ms: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_requests_for_two_models_in_one_slot() {
    if engine::is_skipped() {
        return;
    }
    let backend = Backend::start(Kind::LlamaServer, Conditions::configured(CONFIGURATION)).await;
    let clients = (0..CLIENTS).map(|client| beside(converse(backend.clone(), client)));
    let records: Vec<Record> =
        join_all(clients).await.into_iter().flat_map(|client| client.expect("a client broke off")).collect();
    assert_eq!(records.len(), CLIENTS * REQUESTS);
    backend.resting_on(GENERAL).await;
    assert_eq!(backend.most_at_once(), 1);

    // Every client goes to and fro between the models, so that one load each cannot be enough.
    let (there, back) = (backend.loads(SPECIALIST, 2).await, backend.loads(GENERAL, 3).await - 1);
    let (longest, count) = (Longest::of(&records), records.len());
    let (waited, bound) = (longest.waited_ms, longest.bound_ms());
    println!("{count} requests, {} swaps, longest wait {waited} ms of {bound} ms: {longest:?}", there + back);
    assert!(there + back < count / 2, "requests for one model are served together");
    assert!(waited <= bound, "{longest:?}");
}

/// One client's requests: for either model by turns that are its own, streamed and not.
async fn converse(backend: Arc<Backend>, client: usize) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 0..REQUESTS {
        let is_routed = (client * 7 + number * 3) % 5 < 2;
        let (model, body) =
            if is_routed { (SPECIALIST, routed(SPECIALIST)) } else { (GENERAL, says("hello")) };
        let is_streamed = (client + number).is_multiple_of(2);
        let body = if is_streamed { body } else { whole(body) };
        let answer = backend.ask(&format!("client-{client}"), &body).await;
        assert_eq!((answer.status, answer.error()), (200, None), "{answer:?}");
        assert_eq!(Backend::speaker(&answer), Some(model), "{answer:?}");
        assert_eq!(answer.is_terminated(), is_streamed, "{answer:?}");
        let record = backend.record(&answer).await;
        assert_eq!((record.error.as_deref(), record.attempts.len()), (None, 1), "{record:?}");
        records.push(record);
    }
    records
}

// === impl Longest ===

impl Longest {
    fn of(records: &[Record]) -> Self {
        let longest = |part: &dyn Fn(&Record) -> u64| records.iter().map(part).max().unwrap_or_default();
        Self {
            waited_ms: longest(&|it| it.queue_ms.unwrap_or_default()),
            drained_ms: longest(&|it| it.attempts[0].drained_ms.unwrap_or_default()),
            swapped_ms: longest(&|it| {
                it.attempts[0].unloaded_ms.unwrap_or_default() + it.attempts[0].loaded_ms.unwrap_or_default()
            }),
            served_ms: longest(&|it| it.total_ms - it.queue_ms.unwrap_or_default()),
        }
    }

    /// No waiter waits longer than its patience with others, a drain and swap of its own, and a drain, swap and batch of
    /// the one other model that may be overdue before it. A batch has every client in it at most, one after another.
    fn bound_ms(&self) -> u64 {
        let batch = self.served_ms * CLIENTS as u64;
        MAX_WAIT_MS + 2 * (self.drained_ms + self.swapped_ms) + batch
    }
}

//! How streams end that do not end well, with an upstream that a test speaks for.

use std::sync::{Arc, Mutex};
use std::task::Waker;

use futures_util::task::noop_waker_ref;
use futures_util::{FutureExt, StreamExt};
use http_body_util::{BodyExt, StreamBody};

use super::*;
use crate::splice::silence::{SILENCE_MAX, Silence};
use crate::splice::stream::Phase;
use crate::wire::answer::Usage;

type Said = tokio::sync::mpsc::Sender<Result<Frame<Bytes>, String>>;

/// What the exchange was told of its end.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Outcome>>>);

impl Ends for Told {
    fn ended(&mut self, ending: Ending) {
        self.0.lock().unwrap().push(ending.outcome);
    }
}

impl Told {
    fn status(&self) -> Option<u16> {
        match self.0.lock().unwrap().first() {
            Some(Outcome::Failed(error)) => Some(error.status),
            _ => None,
        }
    }
}

/// A stream with a frame behind it, the slot of its upstream, and who speaks for that.
fn stream() -> (ResponseBody, Arc<Slot>, Said, Told) {
    let (said, hears) = tokio::sync::mpsc::channel(8);
    let pieces = futures_util::stream::unfold(hears, async |mut hears: tokio::sync::mpsc::Receiver<_>| {
        hears.recv().await.map(|piece| (piece, hears))
    });
    let upstream = Arc::new(Slot::new(StreamBody::new(pieces.boxed())));
    let told = Told::default();
    let streaming = Streaming {
        lease: None,
        upstream: upstream.clone(),
        decoder: Decoder::default(),
        watch: Watch::default(),
        first_token: None,
        ready: VecDeque::new(),
        phase: Phase::Open,
        silence: Silence::default(),
        scratch: Vec::new(),
        splice: None,
        spent: Usage::default(),
        ends: Box::new(told.clone()),
    };
    (ResponseBody(State::Streaming(Box::new(streaming))), upstream, said, told)
}

async fn say(said: &Said, text: &'static str) {
    said.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).await.unwrap();
}

async fn rest(body: ResponseBody) -> String {
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const DELTA: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

#[tokio::test]
async fn a_torn_last_event_is_never_passed_on() {
    let cases = [
        ("data: {\"choices\":[{\"delta\":{\"cont", Some(502), "stream_broken"),
        ("data: [DON", Some(502), "stream_broken"),
        (": com", Some(502), "stream_broken"),
        ("data: {\"error\":\"Out of memory\"}", Some(502), "Out of memory"),
        ("data: [DONE]", None, "data: [DONE]\n\n"),
    ];
    for (last, status, says) in cases {
        let (body, _, said, told) = stream();
        say(&said, DELTA).await;
        say(&said, last).await;
        drop(said);
        let text = rest(body).await;
        let after = text.strip_prefix(DELTA).unwrap();
        assert!(
            after.starts_with("data: ") && after.contains(says) && after.ends_with("data: [DONE]\n\n"),
            "{text}"
        );
        assert_eq!(text.matches("[DONE]").count(), 1, "{text}");
        assert_eq!(told.status(), status, "{last}");
    }
}

#[tokio::test]
async fn a_waiting_body_is_told_that_it_was_broken_off() {
    let (mut body, slot, said, told) = stream();
    say(&said, DELTA).await;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), DELTA);
    let (wakes, waker) = counted();
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
    slot.empty();
    assert_eq!(wakes.count(), 1);
    let text = rest(body).await;
    assert!(text.contains("broken off by the gateway") && text.ends_with("\n\ndata: [DONE]\n\n"), "{text}");
    assert_eq!(told.status(), Some(504));
    assert!(said.is_closed());
    slot.empty();
    assert_eq!(wakes.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_has_an_end() {
    let (mut body, _, said, told) = stream();
    for _ in 0..4 {
        say(&said, DELTA).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), DELTA);
        let mut cx = Context::from_waker(noop_waker_ref());
        assert!(Pin::new(&mut body).poll_frame(&mut cx).is_pending());
        tokio::time::advance(SILENCE_MAX - Duration::from_secs(1)).await;
        assert!(body.frame().now_or_never().is_none());
    }
    let text = rest(body).await;
    assert!(text.contains("nothing for 300 s") && text.ends_with("\n\ndata: [DONE]\n\n"), "{text}");
    assert_eq!(told.status(), Some(504));
    assert!(said.is_closed());
}

/// Counts how often its waker is used.
#[derive(Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn counted() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (wakes.clone(), Waker::from(wakes))
}

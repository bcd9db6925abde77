//! How long a running answer may say nothing. A frame costs no timer: the clock is read when the upstream has nothing
//! more, and the one timer is set again only where it fires on an upstream that has spoken since.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The longest silence within an answer. Between frames a model needs milliseconds; a server that swaps to disk or
/// reads a long prompt again stays below this.
pub const SILENCE_MAX: Duration = Duration::from_secs(300);

/// The watch on it.
#[derive(Debug, Default)]
pub(super) struct Silence {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Silence ===

impl Silence {
    /// The upstream gave something.
    pub(super) fn broken(&mut self) {
        self.since = None;
    }

    /// The upstream has nothing now: ready as soon as that has been so for [`SILENCE_MAX`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.since.get_or_insert_with(Instant::now) + SILENCE_MAX;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

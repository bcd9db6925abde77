//! Pauses after failures, so that what fails at once does not fail all day: of one model's loads for want of memory,
//! and of a lane's way back to the baseline.
//!
//! A pause refuses or delays what it is about and blocks nothing else.

use std::time::{Duration, Instant};

use crate::provider::Error;
use crate::residency::claim::{LoadFailure, Reason, Refused};

/// A pause that grows with every failure: 5 s doubling to 300 s.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
    message: String,
    pub(super) until: Option<Instant>,
}

/// The first pause after a failure.
const PAUSE_FIRST: Duration = Duration::from_secs(5);

/// The longest pause after a failure.
const PAUSE_MOST: Duration = Duration::from_secs(300);

// === impl Pace ===

impl Pace {
    pub(super) fn failed(&mut self, now: Instant, error: &Error) {
        let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MOST);
        self.failures += 1;
        self.message = error.to_string();
        self.until = Some(now + pause);
    }

    /// What is left of the pause.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.until.filter(|until| *until > now).map(|until| until.saturating_duration_since(now))
    }

    /// The refusal of those who come during the pause.
    pub(super) fn refusal(&self, now: Instant) -> Option<Refused> {
        let left = self.left(now)?;
        let reason = Reason::LoadFailed { message: self.message.clone(), cause: LoadFailure::OutOfMemory };
        Some(Refused::retry(reason, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_cap() {
        let now = tokio::time::Instant::now().into_std();
        let mut pace = Pace::default();
        for expected in [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300, 300] {
            pace.failed(now, &Error::OutOfMemory("little".to_owned()));
            assert_eq!(pace.left(now), Some(Duration::from_secs(expected)));
        }
        assert_eq!(pace.left(now + PAUSE_MOST), None);
    }
}

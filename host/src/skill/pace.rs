//! How many turns are recorded: a burst at once, and then so many a second that recording costs the gateway next to nothing,
//! and that a flood does not push all other turns out of what is kept within a second. People's agents ask less often.
//!
//! A bucket that fills again with time. Pure: it is given the time.

use std::time::Duration;

use tokio::time::Instant;

/// Turns at once, after none for a while.
pub(super) const BURST: u32 = 32;

/// Time from one turn to the next, after that.
const EVERY: Duration = Duration::from_millis(20);

/// What is left of the burst.
#[derive(Debug)]
pub(super) struct Pace {
    full_at: Instant,
}

// === impl Pace ===

impl Pace {
    /// Nothing has come yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// One comes: whether it is one of those that are taken.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + EVERY;
        let is_in_pace = full_at <= now + EVERY * BURST;
        if is_in_pace {
            self.full_at = full_at;
        }
        is_in_pace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_of_a_flood_so_many_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut admitted = |at_ms: u64, count: u32| {
            let now = start + Duration::from_millis(at_ms);
            (0..count).filter(|_| pace.admits(now)).count()
        };
        assert_eq!(admitted(0, 32), 32);
        assert_eq!(admitted(0, 1000), 0);
        assert_eq!(admitted(19, 1000), 0);
        assert_eq!(admitted(20, 1000), 1);
        assert_eq!((0..1000).map(|ms| admitted(20 + ms, 10)).sum::<usize>(), 49);
        // Who asks now and then always finds a place.
        assert_eq!(admitted(60_000, 1), 1);
        assert_eq!((1..100).map(|nth| admitted(60_000 + nth * 20, 1)).sum::<usize>(), 99);
        assert_eq!(admitted(3_600_000, 1000), 32);
    }
}

//! The simulation, and the proof that it sees.

use super::*;

/// Seeds of an ordinary test run.
const SEEDS: u64 = 250;

/// Seeds of a long run.
const SEEDS_LONG: u64 = 10_000;

#[test]
fn the_invariants_hold_for_every_seed() {
    check(0..SEEDS);
}

#[test]
#[ignore = "minutes long; run it after changing the planner"]
fn the_invariants_hold_for_very_many_seeds() {
    check(0..SEEDS_LONG);
}

/// The seed whose story is told by `replay`: put the one in that fails.
const REPLAYED: u64 = 0;

#[test]
#[ignore = "prints the story of one seed"]
fn replay() {
    Sim::new(REPLAYED, None).traced().run();
}

/// Plays the seeds and names, for each invariant that was violated, the first seed and how many there are.
fn check(seeds: std::ops::Range<u64>) {
    let middle = seeds.start.midpoint(seeds.end);
    let mut violations: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let halves = [seeds.start..middle, middle..seeds.end].map(|half| scope.spawn(|| play_all(half)));
        for half in halves {
            for (seed, violation) in half.join().unwrap() {
                violations.entry(violation).or_default().push(seed);
            }
        }
    });
    let firsts =
        violations.iter().map(|(violation, seeds)| (seeds.len(), &seeds[..seeds.len().min(8)], violation));
    assert!(violations.is_empty(), "violated, with seeds: {:#?}", firsts.collect::<Vec<_>>());
}

fn play_all(seeds: std::ops::Range<u64>) -> Vec<(u64, String)> {
    let played = seeds.map(|seed| (seed, play(seed, None)));
    played
        .filter_map(|(seed, result)| match result {
            Ok(steps) if steps < 200 => Some((seed, format!("at least 200 events, not {steps}"))),
            Ok(_) => None,
            Err(violation) => Some((seed, violation)),
        })
        .collect()
}

/// Plays one seed; an error is the invariant that it violates.
fn play(seed: u64, fault: Option<Mutant>) -> Result<u32, String> {
    let run = std::panic::AssertUnwindSafe(|| Sim::new(seed, fault).run());
    std::panic::catch_unwind(run).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        line.split_once("violated: ").map_or(line, |(_, what)| what).to_owned()
    })
}

/// A simulation that notices nothing proves nothing: each fault must be seen within the ordinary seeds, and for what it
/// is.
fn notices(fault: Mutant, violation: &str) {
    let mut seen = (0..SEEDS).filter_map(|seed| play(seed, Some(fault)).err());
    let first = seen.find(|seen| seen.contains(violation));
    assert!(first.is_some(), "no seed notices {fault:?}");
}

macro_rules! mutants {
    ($($test:ident: $fault:ident, $violation:literal;)*) => {
        $(#[test]
        fn $test() {
            notices(Mutant::$fault, $violation);
        })*
    };
}

mutants! {
    notices_an_eviction_without_a_drain: NoDrain, "no leased instance is evicted";
    notices_a_lost_lease: LostLease, "gates count the leases that live";
    notices_a_forgotten_restore: ForgottenRestore, "at rest the baseline is back";
    notices_a_double_load: DoubleLoad, "one load at a time";
    notices_unbounded_queue_jumping: UnboundedQueueJumping, "the wait bound is kept";
    notices_an_ignored_hold: HoldIgnored, "no restore in the middle of a held turn";
    notices_a_route_that_changes_the_baseline: RouteChangesBaseline, "leave the baseline as it was";
    notices_an_evicted_pin: EvictsPinned, "no pinned model is evicted";
    notices_forgotten_waiters_of_a_failed_load: ForgetsWaitersOfFailedLoad, "no waiter is forgotten";
    notices_a_gate_left_closed: LeavesGateClosed, "gates are closed only for a swap";
    notices_belief_in_stale_lists: BelievesStaleLists, "a load is sent only when it fits";
    notices_a_load_before_the_unload: LoadsBeforeUnload, "a load is sent only when it fits";
}

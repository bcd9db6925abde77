//! The simulation, and the proof that it sees.

use super::*;

/// Seeds of a run, by build: without optimisation ten thousand would take minutes.
const SEEDS: u64 = if cfg!(debug_assertions) { SEEDS_FEW } else { 10_000 };

/// Seeds of a run without optimisation; within them every fault must be noticed.
const SEEDS_FEW: u64 = 300;

/// Lines of a failing seed's story that are shown: what happened last.
const STORY_LINES: usize = 120;

#[test]
fn the_invariants_hold_for_every_seed() {
    check(0..SEEDS);
}

#[test]
fn a_failing_seed_tells_its_story() {
    let fault = Some(Mutant::NoDrain);
    let seed = (0..SEEDS_FEW).find(|seed| play(*seed, fault).is_err()).unwrap();
    let story = story(seed, fault);
    assert!(story.contains("Unload(") && story.lines().count() > 5, "{story}");
}

/// Plays the seeds and names, for each invariant that was violated, the first seeds and how many there are; and tells
/// the story of the very first.
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
    let firsts: Vec<_> = violations
        .iter()
        .map(|(violation, seeds)| (seeds.len(), &seeds[..seeds.len().min(8)], violation))
        .collect();
    let Some(first) = violations.values().flatten().min() else { return };
    panic!("violated, with seeds: {firsts:#?}\nthe end of seed {first}:\n{}", story(*first, None));
}

/// What went in and came out at last when this seed is played.
fn story(seed: u64, fault: Option<Mutant>) -> String {
    let lines = Lines::default();
    let run = std::panic::AssertUnwindSafe(|| Sim::new(seed, fault).traced(lines.clone()).run());
    let _ = std::panic::catch_unwind(run);
    let lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lines[lines.len().saturating_sub(STORY_LINES)..].join("\n")
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

/// A simulation that notices nothing proves nothing: each fault must be seen within the first seeds, and for what it
/// is.
fn notices(fault: Mutant, violation: &str) {
    let mut seen = (0..SEEDS_FEW).filter_map(|seed| play(seed, Some(fault)).err());
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
    notices_an_ignored_margin: MarginIgnored, "a load is sent only when it fits";
    notices_belief_in_a_list_of_the_wrong_provider: BelievesWrongList, "routes that restore leave the baseline";
    notices_an_unload_that_was_not_written_down: ForgetsToRecord, "leave the baseline as it was";
    notices_two_names_of_one_server_in_use: LetsInTooEarly, "what is leased there";
    notices_a_baseline_that_is_lost_with_its_servers_name: DropsWhatWasDue, "leave the baseline as it was";
    notices_a_forgotten_baseline_of_a_down_provider: ForgetsDownBaseline, "leave the baseline as it was";
}

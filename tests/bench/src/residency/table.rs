//! Figures as text: for each of the arrivals a table of what happened and what would have, and what follows from it.
//!
//! Seconds are those of the paper. Waits of the optimum are not known: it is a makespan, not a plan for each.

use std::fmt::Write as _;
use std::time::Duration;

use pointsman_bench::paper::rules::{self, Comeback};
use pointsman_bench::paper::{Arrivals, Outcome, Slot, fifo, optimum};

use crate::goals::{Goal, Verdict};
use crate::seen::Seen;

/// One way in which the slot was shared, or would have been.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    makespan: Duration,
    loads: usize,
    waits: Option<Waits>,
}

/// How long clients waited: half of them at most, all but one in a hundred, the one that waited longest.
#[derive(Debug)]
struct Waits {
    p50: Duration,
    p99: Duration,
    longest: Duration,
}

/// What all of it is about.
pub(crate) fn head(slot: Slot, scale: f64) -> String {
    let (load, answer, max_wait) = (slot.load, slot.answer, rules::max_wait(slot));
    format!(
        "load {load:?}, answer {answer:?}, {} at once, max_wait {max_wait:?}; a second here takes {scale} s\n",
        slot.parallel
    )
}

/// One of the arrivals.
pub(crate) fn of(arrivals: &Arrivals, rows: &[Row], verdicts: &[Verdict]) -> String {
    let mut text = format!("\n{}: {}\n", arrivals.name, arrivals.description);
    let _ =
        writeln!(text, "  {:<42}{:>9}{:>7}{:>8}{:>8}{:>9}", "", "makespan", "loads", "p50", "p99", "longest");
    for row in rows {
        let _ = write!(text, "  {:<42}{:>9}{:>7}", row.name, seconds(row.makespan), row.loads);
        if let Some(waits) = &row.waits {
            let [p50, p99, longest] = [waits.p50, waits.p99, waits.longest].map(seconds);
            let _ = write!(text, "{p50:>8}{p99:>8}{longest:>9}");
        }
        text.push('\n');
    }
    for Verdict { name, figure, goal } in verdicts {
        let said = match goal {
            Goal::None => String::new(),
            Goal::Reached(goal) => format!(" (goal {goal})"),
            Goal::Missed(goal) => format!(" MISSED (goal {goal})"),
        };
        let _ = writeln!(text, "  {name}: {figure}{said}");
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

// === impl Row ===

impl Row {
    /// What happened.
    pub(crate) fn measured(seen: &Seen) -> Self {
        Self::of("the gateway", &seen.outcome)
    }

    /// What would have.
    pub(crate) fn on_paper(arrivals: &Arrivals, slot: Slot) -> Vec<Self> {
        let later = rules::play(arrivals, slot, Comeback::Later);
        let at_once = rules::play(arrivals, slot, Comeback::AtOnce);
        let best = optimum::best(arrivals, slot);
        let mut rows = vec![Self::of("the rules on paper", &later)];
        if at_once != later {
            rows.push(Self::of("the rules, clients back before a look", &at_once));
        }
        rows.push(Self::of("strictly in order", &fifo::play(arrivals, slot)));
        rows.push(Self {
            name: "the optimum, all arrivals known",
            makespan: best.makespan,
            loads: best.loads,
            waits: None,
        });
        rows
    }

    fn of(name: &'static str, outcome: &Outcome) -> Self {
        Self { name, makespan: outcome.makespan, loads: outcome.loads, waits: Some(Waits::of(outcome)) }
    }
}

// === impl Waits ===

impl Waits {
    fn of(outcome: &Outcome) -> Self {
        let mut waits: Vec<Duration> = outcome.served.iter().map(|served| served.waited()).collect();
        waits.sort_unstable();
        // The nearest rank: the shortest wait that so many in a hundred did not exceed.
        let rank = |percent: usize| {
            let place = (waits.len() * percent).div_ceil(100).saturating_sub(1);
            waits.get(place).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p99: rank(99), longest: rank(100) }
    }
}

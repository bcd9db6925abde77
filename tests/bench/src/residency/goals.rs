//! What a run is held to, each goal with its name and its figure.
//!
//! The rules on paper know two ways in which a client that was answered comes back ([`Comeback`]); which one happens
//! between real sockets is chance, so the slower one is what a run is compared with.

use std::time::Duration;

use pointsman_bench::paper::rules::{self, Comeback};
use pointsman_bench::paper::{Arrivals, Slot, bound, optimum};

use crate::seen::{Seen, mean};

/// How much longer than on paper anything may take: sockets, lists that confirm an unload, a busy machine.
const TOLERANCE: f64 = 1.05;

/// Real time that may pass on average between a completed load and the first request that its model works on. Polling
/// four times a second would lose five times as much.
const LOST_MOST: Duration = Duration::from_millis(25);

/// A figure and the goal it is held to, where there is one.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    pub(crate) figure: String,
    pub(crate) goal: Goal,
}

/// Whether a goal was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Goal {
    /// There is none.
    None,
    /// Reached; what it was.
    Reached(String),
    /// Missed; what it was.
    Missed(String),
}

/// Everything that is said of a run.
pub(crate) fn verdicts(arrivals: &Arrivals, slot: Slot, scale: f64, seen: &Seen) -> Vec<Verdict> {
    let makespan = seen.outcome.makespan;
    let over = |paper: Duration| makespan.as_secs_f64() / paper.as_secs_f64();
    vec![
        ratio("makespan / rules on paper", over(by_rules(arrivals, slot))),
        Verdict {
            name: "makespan / optimum",
            figure: format!("{:.3}", over(optimum::best(arrivals, slot).makespan)),
            goal: Goal::None,
        },
        ratio("wait / what the rules allow, at worst", bound::worst(&seen.outcome.served, slot)),
        lost(seen),
        machine(slot, scale, seen),
    ]
}

/// The makespan by the rules on paper.
fn by_rules(arrivals: &Arrivals, slot: Slot) -> Duration {
    let makespans = [Comeback::AtOnce, Comeback::Later].map(|it| rules::play(arrivals, slot, it).makespan);
    makespans.into_iter().max().unwrap_or_default()
}

/// What is not the gateway's doing: how far the model server's own times are from those on paper, and how late this
/// process came to run.
fn machine(slot: Slot, scale: f64, seen: &Seen) -> Verdict {
    let times =
        |times: &[Duration], paper: Duration| mean(times).as_secs_f64() / (paper.as_secs_f64() * scale);
    let figure = format!(
        "loads {:.3}, answers {:.3} of their time on paper; {} ms late at worst",
        times(&seen.server.loading, slot.load),
        times(&seen.server.answering, slot.answer),
        seen.standstill.as_millis()
    );
    Verdict { name: "this machine", figure, goal: Goal::None }
}

/// A ratio to what is on paper.
fn ratio(name: &'static str, ratio: f64) -> Verdict {
    let goal = format!("at most {TOLERANCE}");
    Verdict { name, figure: format!("{ratio:.3}"), goal: Goal::of(ratio <= TOLERANCE, goal) }
}

fn lost(seen: &Seen) -> Verdict {
    let server = &seen.server;
    let (mean, longest) = (mean(&server.lost), server.lost.iter().max().copied().unwrap_or_default());
    let figure = format!(
        "{} ms a load, {} ms at worst, {} for nobody",
        mean.as_millis(),
        longest.as_millis(),
        server.for_nobody
    );
    let goal = format!("none: at most {} ms a load of real time, none for nobody", LOST_MOST.as_millis());
    let is_reached = mean <= LOST_MOST && server.for_nobody == 0;
    Verdict { name: "lost between loaded and begun", figure, goal: Goal::of(is_reached, goal) }
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn is_missed(&self) -> bool {
        matches!(self.goal, Goal::Missed(_))
    }
}

// === impl Goal ===

impl Goal {
    fn of(is_reached: bool, goal: String) -> Self {
        if is_reached { Self::Reached(goal) } else { Self::Missed(goal) }
    }
}

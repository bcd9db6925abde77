//! Figures that are known from elsewhere, what must hold of any arrivals, and a search of all plans that knows nothing
//! of the optimum's reasoning.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::arrivals::{self, Lots, SEEDS};
use super::optimum::{self, Best};
use super::rules::{self, Comeback};
use super::{Arrivals, Client, Model, Outcome, Slot, bound, fifo};

const SLOT: Slot = Slot::MEASURED;

/// Tenths of a second, which is what the known figures are given in.
fn tenths(time: Duration) -> u128 {
    assert_eq!(time.as_millis() % 50, 0, "{time:?}");
    (time.as_millis() + 50) / 100
}

fn of(outcome: &Outcome) -> (u128, usize) {
    (tenths(outcome.makespan), outcome.loads)
}

/// Strictly in order and at best.
fn known(arrivals: &Arrivals) -> [(u128, usize); 2] {
    let best = optimum::best(arrivals, SLOT);
    [of(&fifo::play(arrivals, SLOT)), (tenths(best.makespan), best.loads)]
}

#[test]
fn figures_that_are_known_come_out() {
    assert_eq!(known(&arrivals::in_step()), [(220, 10), (220, 10)]);
    assert_eq!(known(&arrivals::in_turns()), [(682, 31), (242, 11)]);
    assert_eq!(known(&arrivals::hog()), [(370, 8), (264, 3)]);
}

#[test]
fn bursts_by_lot_are_like_those_that_others_were_measured_with() {
    for seed in SEEDS {
        let [(fifo, fifo_loads), (best, best_loads)] = known(&arrivals::bursts(seed));
        // 25 to 35 seconds, rounded.
        assert!((245..355).contains(&fifo) && (11..=16).contains(&fifo_loads), "{fifo} ({fifo_loads})");
        assert!((107..=129).contains(&best) && (3..=5).contains(&best_loads), "{best} ({best_loads})");
    }
}

#[test]
fn the_rules_find_the_best_where_clients_take_turns() {
    for comeback in [Comeback::AtOnce, Comeback::Later] {
        assert_eq!(of(&rules::play(&arrivals::in_step(), SLOT, comeback)), (220, 10));
        assert_eq!(of(&rules::play(&arrivals::in_turns(), SLOT, comeback)), (242, 11));
    }
}

#[test]
fn a_hog_that_never_pauses_keeps_others_waiting_as_long_as_the_rules_say_and_no_longer() {
    let outcome = rules::play(&arrivals::dense_hog(), SLOT, Comeback::Later);
    let longest = |model| {
        let of_model = outcome.served.iter().filter(|served| served.model == model);
        of_model.map(|served| tenths(served.waited())).max().unwrap()
    };
    // `max_wait`, the rest of what runs, the load; then for C the wait for B's batch and its own load.
    assert_eq!((longest(Model(1)), longest(Model(2))), (81, 93));
    assert!(bound::worst(&outcome.served, SLOT) <= 1.0);
}

#[test]
fn max_wait_follows_the_swap_within_bounds() {
    for (load, expected) in [(1, 5), (2, 6), (15, 45), (30, 60)] {
        let slot = Slot { load: Duration::from_secs(load), ..SLOT };
        assert_eq!(rules::max_wait(slot), Duration::from_secs(expected));
    }
}

fn draw<T: Copy, const N: usize>(lots: &mut Lots, from: [T; N]) -> T {
    from[usize::from(lots.below(u8::try_from(N).unwrap()))]
}

/// Arrivals by lot: single requests, or a few clients that ask again and again.
fn by_lot(seed: u64) -> Arrivals {
    let mut lots = Lots(seed);
    let models = [Model(0), Model(1), Model(2)];
    let clients = (0..draw(&mut lots, [3, 6, 12])).map(|_| Client {
        starts: Duration::from_millis(100 * draw(&mut lots, [0, 0, 1, 5, 9, 22, 30, 47])),
        requests: vec![draw(&mut lots, models)],
    });
    let mut clients: Vec<_> = clients.collect();
    // So few that none of them waits for a place.
    for _ in 0..draw(&mut lots, [0, 1, 2]) {
        let requests =
            (0..draw(&mut lots, [2, 4, 20])).map(|_| draw(&mut lots, [Model(3), Model(3), Model(4)]));
        clients.push(Client { starts: Duration::ZERO, requests: requests.collect() });
    }
    Arrivals { name: format!("lot-{seed}"), description: String::new(), clients }
}

#[test]
fn all_are_answered_nobody_beats_the_best_and_the_bound_holds() {
    for seed in 0..100 {
        let arrivals = by_lot(seed);
        let best = optimum::best(&arrivals, SLOT);
        let outcomes = [
            fifo::play(&arrivals, SLOT),
            rules::play(&arrivals, SLOT, Comeback::AtOnce),
            rules::play(&arrivals, SLOT, Comeback::Later),
        ];
        for outcome in &outcomes {
            assert_eq!(outcome.served.len(), arrivals.requests(), "seed {seed}");
            assert!(best.makespan <= outcome.makespan, "seed {seed}: {best:?} {:?}", of(outcome));
            assert!(best.loads >= arrivals.models().len(), "seed {seed}: {best:?}");
        }
        for outcome in &outcomes[1..] {
            let worst = bound::worst(&outcome.served, SLOT);
            assert!(worst <= 1.0, "seed {seed}: {worst}");
        }
    }
}

// === a search of all plans ===

/// One state of a search that at each instant tries everything: begin anybody, load anything, or wait for what comes.
#[derive(Debug, Clone)]
struct Search<'a> {
    clients: &'a [Client],
    now: u64,
    resident: Option<Model>,
    loading: Option<(u64, Model)>,
    answered: Vec<usize>,
    running: Vec<(u64, usize)>,
    loads: usize,
}

const SMALL: Slot = Slot {
    load: Duration::from_millis(700),
    answer: Duration::from_millis(200),
    parallel: NonZeroUsize::MIN.saturating_add(1),
};

impl Search<'_> {
    fn millis(time: Duration) -> u64 {
        u64::try_from(time.as_millis()).unwrap()
    }

    fn explore(mut self, best: &mut Option<Best>) {
        let so_far = Best { makespan: Duration::from_millis(self.now), loads: self.loads };
        if best.is_some_and(|best| so_far > best) {
            return;
        }
        if self.answered.iter().zip(self.clients).all(|(count, client)| *count == client.requests.len()) {
            *best = Some(so_far);
            return;
        }
        if self.loading.is_none() {
            self.try_everything(best);
        }
        let starts = self.clients.iter().map(|client| Self::millis(client.starts));
        let ends = self.running.iter().map(|(until, _)| *until);
        let next = starts.chain(ends).chain(self.loading.map(|it| it.0)).filter(|at| *at > self.now).min();
        let Some(next) = next else { return };
        self.now = next;
        for (_, client) in self.running.extract_if(.., |(until, _)| *until <= next) {
            self.answered[client] += 1;
        }
        if let Some((_, model)) = self.loading.take_if(|(until, _)| *until <= next) {
            self.resident = Some(model);
        }
        self.explore(best);
    }

    fn try_everything(&self, best: &mut Option<Best>) {
        for (place, client) in self.clients.iter().enumerate() {
            let is_running = self.running.iter().any(|(_, running)| *running == place);
            let asks = client.requests.get(self.answered[place]).copied();
            let is_there = Self::millis(client.starts) <= self.now;
            if asks.is_some() && asks == self.resident && is_there && !is_running && self.running.len() < 2 {
                let mut next = self.clone();
                next.running.push((self.now + Self::millis(SMALL.answer), place));
                next.explore(best);
            }
        }
        if self.running.is_empty() {
            for model in [Model(0), Model(1)].into_iter().filter(|model| self.resident != Some(*model)) {
                let mut next = self.clone();
                next.resident = None;
                next.loading = Some((self.now + Self::millis(SMALL.load), model));
                next.loads += 1;
                next.explore(best);
            }
        }
    }
}

#[test]
fn a_search_of_all_plans_finds_nothing_better() {
    let models = [Model(0), Model(1)];
    for seed in 0..40 {
        let mut lots = Lots(seed);
        let mut clients: Vec<_> = (0..draw(&mut lots, [2, 3]))
            .map(|_| Client {
                starts: Duration::from_millis(draw(&mut lots, [0, 100, 300, 1000, 1900])),
                requests: vec![draw(&mut lots, models)],
            })
            .collect();
        if draw(&mut lots, [true, false]) {
            // One client that asks again, alone on its places: single requests go elsewhere.
            clients.iter_mut().for_each(|client| client.requests = vec![Model(1)]);
            clients.push(Client { starts: Duration::ZERO, requests: vec![Model(0); 2] });
        }
        let arrivals = Arrivals { name: String::new(), description: String::new(), clients };
        let mut found = None;
        let search = Search {
            clients: &arrivals.clients,
            now: 0,
            resident: None,
            loading: None,
            answered: vec![0; arrivals.clients.len()],
            running: Vec::new(),
            loads: 0,
        };
        search.explore(&mut found);
        assert_eq!(Some(optimum::best(&arrivals, SMALL)), found, "seed {seed}: {:?}", arrivals.clients);
    }
}

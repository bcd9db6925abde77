//! The arrivals that are measured. Each is fixed to the millisecond, so that a figure can be compared with one of last
//! year; what is drawn by lot is drawn from a written seed.
//!
//! They are made for one slot of [`Slot::MEASURED`](super::Slot::MEASURED): two models taken in turns, bursts over three
//! models, and hogs, who would keep the slot for themselves.

use std::time::Duration;

use super::{Arrivals, Client, Model};

const A: Model = Model(0);
const B: Model = Model(1);
const C: Model = Model(2);

/// Models that bursts are drawn from: A, B, C.
const BURST_MODELS: u8 = 3;

/// Bursts, requests in each, and the time from the start of one to the next.
const BURSTS: (u32, u32, Duration) = (3, 8, Duration::from_secs(3));

/// Between two requests of a burst: enough that they arrive in this order through real sockets as well.
const BURST_GAP: Duration = Duration::from_millis(50);

/// The seeds that bursts are measured with.
pub const SEEDS: [u64; 3] = [3, 6, 34];

/// When the first small request comes upon a hog, and how long after it each other one.
const SMALL: (Duration, Duration) = (Duration::from_millis(1100), Duration::from_millis(500));

/// All that are measured, in the table's order.
pub fn all() -> Vec<Arrivals> {
    let bursts = SEEDS.into_iter().map(bursts);
    [in_step(), in_turns()].into_iter().chain(bursts).chain([hog(), dense_hog()]).collect()
}

/// Four clients that ask for A, B, A, B, …, ten requests each, all beginning with A.
pub fn in_step() -> Arrivals {
    Arrivals {
        name: "in-step".to_owned(),
        description: "four clients A B A B …, all starting with A".to_owned(),
        clients: vec![client(&[A, B].repeat(5)); 4],
    }
}

/// The same, every other client beginning with B.
pub fn in_turns() -> Arrivals {
    let (ab, ba) = (client(&[A, B].repeat(5)), client(&[B, A].repeat(5)));
    Arrivals {
        name: "in-turns".to_owned(),
        description: "four clients, half starting with B".to_owned(),
        clients: vec![ab.clone(), ba.clone(), ab, ba],
    }
}

/// Three bursts of eight single requests, each for one of three models by lot.
pub fn bursts(seed: u64) -> Arrivals {
    let (bursts, size, apart) = BURSTS;
    let mut lots = Lots(seed);
    let starts = (0..bursts).flat_map(|burst| (0..size).map(move |place| apart * burst + BURST_GAP * place));
    let clients =
        starts.map(|starts| Client { starts, requests: vec![Model(lots.below(BURST_MODELS))] }).collect();
    Arrivals {
        name: format!("bursts-{seed}"),
        description: format!("three bursts of 8 over three models, seed {seed}"),
        clients,
    }
}

/// Two clients with a hundred requests each for A, and eight small ones for B and C. Between two answers the hog is gone
/// for a moment: both its clients have to come back.
pub fn hog() -> Arrivals {
    Arrivals {
        name: "hog".to_owned(),
        description: "a hog of 2 × 100 on A, eight small for B and C".to_owned(),
        clients: vec![client(&[A; 100]); 2].into_iter().chain(small()).collect(),
    }
}

/// Six clients on four places: A is never idle while they last. Nothing but the bound lets anybody else in.
pub fn dense_hog() -> Arrivals {
    Arrivals {
        name: "dense-hog".to_owned(),
        description: "a hog of 6 × 34 that never pauses, eight small for B and C".to_owned(),
        clients: vec![client(&[A; 34]); 6].into_iter().chain(small()).collect(),
    }
}

/// Eight single requests, two for B, two for C, and again.
fn small() -> impl Iterator<Item = Client> {
    let (first, apart) = SMALL;
    let starts = (0_u32..).map(move |place| first + apart * place);
    starts.zip([B, B, C, C, B, B, C, C]).map(|(starts, model)| Client { starts, requests: vec![model] })
}

fn client(requests: &[Model]) -> Client {
    Client { starts: Duration::ZERO, requests: requests.to_vec() }
}

/// Numbers by lot, the same on every machine (splitmix64).
pub(super) struct Lots(pub(super) u64);

// === impl Lots ===

impl Lots {
    /// A number below this one; 0 where there is none.
    pub(super) fn below(&mut self, end: u8) -> u8 {
        u8::try_from(self.next().checked_rem(end.into()).unwrap_or(0)).unwrap_or(0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }
}

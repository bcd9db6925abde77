//! The splicer and the little of the host that it needs, as the host's own files, and the play that its property test
//! plays (`splice/splicer/sim.rs`): a case is bytes, so a fuzzer can find it.
//!
//! What is left out of the host here is left out because the splicer may not know it; a new arrow shows as an error here.

#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/id.rs"]
pub mod id;

/// The wire room, as far as the splicer knows it.
#[path = "../../src/wire"]
pub mod wire {
    pub mod answer;
    pub mod calls;
    pub mod fault;
    pub mod json;
    pub mod sse;
}

/// The splicer.
#[path = "../../src/splice"]
pub mod splice {
    pub mod splicer;
}

#[path = "../../src/splice/splicer"]
mod made_up {
    pub(super) mod sim;
}

/// Plays the case that these bytes are; panics where the client does not get what it should.
pub fn play(case: &[u8]) {
    made_up::sim::play(case);
}

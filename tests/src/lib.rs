//! What the scenarios share: guests and skills built on first use, a gateway and an LM Studio in one process, a real
//! engine with models that say what a test wants, a real registry, answers read as they come, requests in the shape of a real agent's,
//! tools fetched on first use.

#[expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "for tests alone: what breaks here fails the test"
)]
pub mod backend;
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "for tests alone: what breaks here fails the test"
)]
pub mod engine;
pub mod guests;
#[expect(clippy::unwrap_used, clippy::panic, reason = "for tests alone: what breaks here fails the test")]
pub mod live;
mod log;
#[expect(clippy::unwrap_used, reason = "for tests alone: what breaks here fails the test")]
pub mod openclaw;
#[expect(clippy::unwrap_used, clippy::panic, reason = "for tests alone: what breaks here fails the test")]
pub mod registry;
pub mod tools;
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "for tests alone: what breaks here fails the test"
)]
pub mod world;

pub use scripted_gguf as gguf;

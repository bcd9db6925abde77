//! What the scenarios share: guests built on first use, a gateway and an LM Studio in one process.

pub mod guests;
pub mod world;

//! What the scenarios share: guests and skills built on first use, a gateway and an LM Studio in one process, answers
//! read as they come, requests in the shape of a real agent's, tools fetched on first use.

pub mod guests;
pub mod live;
pub mod openclaw;
pub mod tools;
pub mod world;

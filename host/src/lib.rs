//! Pointsman: a gateway between AI agents and local model servers, with policies as WebAssembly skills.
//!
//! `ARCHITECTURE.md` beside this crate is the map; `exchange` is the data path.

pub mod error;
pub mod id;
pub mod model;
pub mod route;
pub mod session;
pub mod turn;
pub mod wire;

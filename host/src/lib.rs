//! Pointsman: a gateway between AI agents and local model servers, with policies as WebAssembly skills.
//!
//! `ARCHITECTURE.md` beside this crate is the map; [`exchange`] is the data path.

// Pure.
pub mod discovery;
pub mod error;
pub mod grant;
pub mod id;
pub mod model;
pub mod route;
pub mod session;
pub mod turn;
pub mod wire;

// Shells.
pub mod capability;
pub mod config;
pub mod exchange;
pub mod ingress;
pub mod provider;
pub mod residency;
pub mod shelf;
pub mod skill;
pub mod splice;
pub mod store;
pub mod telemetry;
pub mod upstream;

// The top.
pub mod admin;
pub mod app;
pub mod cli;

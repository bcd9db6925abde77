//! A real engine for the tests: llama.cpp's server, built from source on first use, and its router with scripted models.
//!
//! It loads and unloads over an API that nobody here wrote, so what is proven with it is proven. The program is built
//! once per workspace and shared by all tests of all processes; a router belongs to its test, with a folder, a port
//! and a cache of its own, and ends with it. Models without weights worth the name come from [`crate::gguf`].

mod build;
mod children;
mod model;
mod router;

pub use build::{NAME, llama_server};
pub use children::Child;
pub use model::Model;
pub use router::{Listed, Router, Setup, says};

use crate::tools;

/// The engine's tests are switched off: `POINTSMAN_SKIP` names it.
pub fn is_skipped() -> bool {
    tools::is_skipped(NAME)
}

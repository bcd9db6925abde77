//! Real engines behind emulated instances: which program runs models that have a file of weights.
//!
//! Nothing here starts anything; what a child is told is in `engine/process.rs`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The program that each instance of a model with a `gguf` is a child of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// llama.cpp's `llama-server`.
    pub binary: PathBuf,
    /// What stands before the arguments that every child gets, for a program that wraps the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// What children say goes where the emulator's own output goes, instead of nowhere.
    #[serde(default)]
    pub inherit_output: bool,
}

// === impl Engine ===

impl Engine {
    /// This program, without arguments of its own, silent.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), arguments: Vec::new(), inherit_output: false }
    }
}

//! Guests that no compiler makes, written in WebAssembly's text format: `tests/guests/wat`.
//!
//! A file that is a whole `(component …)` or `(module …)` is taken as it is. Any other is the fields of a core module,
//! put behind those in `skill.wat` and wrapped into a component of the world that its first line names.

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Begins the line that names a guest's world.
const WORLD: &str = ";; world: ";

/// The component of this name; none where no file has it.
///
/// # Errors
/// Where the file cannot be assembled.
pub(super) fn guest(name: &str) -> Option<Result<Vec<u8>, String>> {
    let text = std::fs::read_to_string(folder().join(format!("{name}.wat"))).ok()?;
    Some(assemble(&text).map_err(|error| format!("{name}.wat: {error}")))
}

fn assemble(text: &str) -> Result<Vec<u8>, String> {
    let Some(world) = text.lines().next().and_then(|line| line.strip_prefix(WORLD)) else {
        return wat::parse_str(text).map_err(told);
    };
    let shared = std::fs::read_to_string(folder().join("skill.wat")).map_err(told)?;
    // Imports come before everything else in a module.
    let module = wat::parse_str(format!("(module {text}\n{shared})")).map_err(told)?;
    wrap(module, world)
}

/// A component of this world with one core module.
fn wrap(mut module: Vec<u8>, world: &str) -> Result<Vec<u8>, String> {
    let mut contract = Resolve::default();
    contract.push_dir(folder().join("../../../wit")).map_err(told)?;
    let package = contract.push_file(folder().join("worlds.wit")).map_err(told)?;
    let world = contract.select_world(&[package], Some(world)).map_err(told)?;
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).map_err(told)?;
    let encoder = ComponentEncoder::default().validate(true);
    encoder.module(&module).and_then(|mut encoder| encoder.encode()).map_err(told)
}

/// An error with its causes.
fn told(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/wat")
}

//! Guests for the tests of the skill engine: those in Rust, built once per test run from `tests/guests` for wasm32-wasip2
//! into the workspace's `target/guests`, and those that are assembled from text.
//!
//! The build is cargo's own, in a nested target directory, so an unchanged guest costs nothing. It is kept from this
//! build's flags. What is missing on the machine fails the test with the command that mends it.

mod assembled;
mod languages;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::tools;

pub use languages::Language;

/// The target that skills are built for.
const TARGET: &str = "wasm32-wasip2";

/// The component assembled from `tests/guests/wat/NAME.wat`, or built from `tests/guests/examples/NAME.rs`.
///
/// # Panics
/// Where the guests cannot be built, or none has this name.
#[must_use]
#[expect(clippy::panic, reason = "a test without its guest has nothing to test")]
pub fn guest(name: &str) -> Vec<u8> {
    if let Some(assembled) = assembled::guest(name) {
        return assembled.unwrap_or_else(|error| panic!("{error}"));
    }
    let path = path(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("there is no guest {name}: {}: {error}", path.display()))
}

/// Where the component built from `tests/guests/examples/NAME.rs` is.
///
/// # Panics
/// Where the guests cannot be built.
#[must_use]
#[expect(clippy::panic, reason = "a test without its guest has nothing to test")]
pub fn path(name: &str) -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(build) {
        Ok(folder) => folder.join(format!("{}.wasm", name.replace('-', "_"))),
        Err(message) => panic!("the guests cannot be built: {message}"),
    }
}

/// A component that was built against contract 0.1.0 and is never built again.
///
/// # Panics
/// Where the file is not there.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without its guest has nothing to test")]
pub fn contract_0_1_0() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/contract-0.1.0.wasm");
    std::fs::read(path).expect("tests/fixtures/contract-0.1.0.wasm is part of the repository")
}

/// Builds all guests and returns the folder they are in.
fn build() -> Result<PathBuf, String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = tests.join("../target/guests");
    let mut build = tools::cargo(["build", "--release", "--examples", "--target", TARGET, "--manifest-path"]);
    build.arg(tests.join("guests/Cargo.toml")).arg("--target-dir").arg(&target);
    let Err(errors) = tools::run(&mut build) else {
        return Ok(target.join(TARGET).join("release/examples"));
    };
    if errors.contains("target may not be installed") {
        return Err(format!("the target is missing; run `rustup target add {TARGET}`"));
    }
    Err(errors)
}

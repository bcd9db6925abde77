//! A skill's component says what it does: it exports the hooks it names and imports the capabilities it calls.
//!
//! Builds the example crate for WebAssembly in a target folder of its own, so that no two cargos share a lock. What the
//! standard library imports of WASI is none of the contract's business and is left out.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::{Path, PathBuf};
use std::process::Command;

use wasmparser::{Parser, Payload};

/// Builds the example, as an author would, and returns the component.
fn example() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/sdk-example");
    let mut cargo = Command::new(env!("CARGO"));
    // A `cargo test` sets these for itself; a nested build must begin clean.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER"] {
        cargo.env_remove(name);
    }
    let built = cargo
        .current_dir(&root)
        .args([
            "build",
            "--release",
            "--package",
            "example-preload",
            "--target",
            "wasm32-wasip2",
            "--jobs",
            "2",
            "--target-dir",
        ])
        .arg(&target)
        .status()
        .unwrap();
    assert!(built.success(), "mend with: rustup target add wasm32-wasip2");
    let path: PathBuf = target.join("wasm32-wasip2/release/example_preload.wasm");
    std::fs::read(path).unwrap()
}

/// The names of the component's own imports and exports that belong to the contract, sorted.
fn surface(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    let ours = |names: Vec<String>| {
        let mut names: Vec<_> = names
            .iter()
            .filter_map(|name| name.strip_prefix("pointsman:skill/"))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    (ours(imports), ours(exports))
}

#[test]
fn only_what_is_used_is_imported_and_only_what_is_named_is_exported() {
    let (imports, exports) = surface(&example());
    assert_eq!(imports, ["log@0.1.0", "models@0.1.0", "residency@0.1.0", "types@0.1.0"]);
    assert_eq!(exports, ["lifecycle@0.1.0", "request-hook@0.1.0"]);
}

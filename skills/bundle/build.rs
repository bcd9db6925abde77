//! Builds the skills' own workspace for WebAssembly and writes the table that embeds them.
//!
//! The nested cargo works in a target folder of its own, because the outer one holds the lock on the ordinary folder
//! while this runs. It shares the outer cargo's job tokens, so both together use no more cores than were allowed.
//! Deliberately does not install anything but the compiler's own target.
#![expect(clippy::disallowed_methods, reason = "cargo talks to build scripts through the environment")]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The skills to embed: the folder, which is the package's and the skill's name.
const SKILLS: [&str; 3] = ["chat-commands", "model-swapper", "tool-router"];

/// The demonstration's policy, and its versions in order: they are examples of that package.
const DEMO_POLICY: (&str, [&str; 2]) = ("demo-policy", ["first", "second"]);

/// What they are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// Variables of cargo's that a nested cargo must see; every other one describes the outer build.
const KEPT: [&str; 6] =
    ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_TERM_"];

/// Prefixes of variables that describe the outer build and would change or break the nested one.
const OUTER: [&str; 8] = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "CLIPPY_", "DEP_", "TARGET", "OUT_DIR"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            for line in reason.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let skills = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = skills.join("..");
    let target_dir = root.join("target/skills");
    watch(&skills, &root);
    ensure_target()?;
    compile(&skills, &target_dir)?;
    embed(&target_dir.join(TARGET).join("release"))
}

/// Names what the skills are made of. Their tests are not part of it.
fn watch(skills: &Path, root: &Path) {
    let shared = ["Cargo.toml", "wit", "sdk/rust/Cargo.toml", "sdk/rust/src"].map(|path| root.join(path));
    let workspace = ["Cargo.toml", "Cargo.lock"].map(|path| skills.join(path));
    let sources = SKILLS.iter().chain([&DEMO_POLICY.0]).flat_map(|skill| {
        ["Cargo.toml", "src", "examples", "words"].map(|path| skills.join(skill).join(path))
    });
    for path in shared.into_iter().chain(workspace).chain(sources).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// Makes sure that the compiler can build for the target.
fn ensure_target() -> Result<(), String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc).args(["--print", "sysroot"]).output();
    let sysroot = output.map_err(|error| format!("cannot run rustc: {error}"))?.stdout;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot).trim().to_owned());
    if sysroot.join("lib/rustlib").join(TARGET).exists() {
        return Ok(());
    }
    match Command::new("rustup").args(["target", "add", TARGET]).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "the skills need the compiler's target {TARGET}; mend with: rustup target add {TARGET}"
        )),
    }
}

/// Runs cargo on the skills' workspace.
fn compile(skills: &Path, target_dir: &Path) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut nested = Command::new(cargo);
    nested
        .current_dir(skills)
        .args(["build", "--release", "--target", TARGET, "--target-dir"])
        .arg(target_dir);
    nested.args(["--lib", "--examples"]);
    for skill in SKILLS.into_iter().chain([DEMO_POLICY.0]) {
        nested.args(["--package", skill]);
    }
    let mut shares_tokens = false;
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        shares_tokens |= text == "CARGO_MAKEFLAGS";
        let kept = KEPT.iter().any(|prefix| text.starts_with(prefix));
        if !kept && OUTER.iter().any(|prefix| text.starts_with(prefix)) {
            nested.env_remove(&name);
        }
    }
    if !shares_tokens {
        nested.args(["--jobs", "2"]);
    }
    let output = nested.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "the skills do not build; see for yourself with: (cd skills && cargo build --target {TARGET})\n{reason}"
    ))
}

/// Copies a component to where this crate's build may keep it; its row of the table.
fn row(name: &str, file: &str, from: &Path, out: &Path) -> Result<String, String> {
    let wasm = format!("{file}.wasm");
    std::fs::copy(from, out.join(&wasm)).map_err(|error| format!("{}: {error}", from.display()))?;
    Ok(format!(
        "    Bundled {{ name: \"{name}\", wasm: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{wasm}\")) }},\n"
    ))
}

/// Copies the components to where this crate's build may keep them, and writes the table.
fn embed(built: &Path) -> Result<(), String> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo set no OUT_DIR")?);
    let mut table =
        String::from("/// Every skill that ships with the gateway.\npub const SKILLS: &[Bundled] = &[\n");
    for skill in SKILLS {
        let from = built.join(format!("{}.wasm", skill.replace('-', "_")));
        table.push_str(&row(skill, skill, &from, &out)?);
    }
    table.push_str("];\n\n/// The versions of the demonstration's policy, in order.\n");
    let (policy, versions) = DEMO_POLICY;
    let _ = writeln!(table, "pub const DEMO_POLICY: [Bundled; {}] = [", versions.len());
    for version in versions {
        let from = built.join(format!("examples/{version}.wasm"));
        table.push_str(&row(policy, &format!("{policy}-{version}"), &from, &out)?);
    }
    table.push_str("];\n");
    std::fs::write(out.join("skills.rs"), table).map_err(|error| format!("cannot write the table: {error}"))
}

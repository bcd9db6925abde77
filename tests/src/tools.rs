//! Tools that some tests need: the skills' own workspace and the SDK's example, built by cargo in nested targets, and
//! a Python with OpenAI's package, made on first use under `target/`.
//!
//! What is missing on the machine fails the test with the command that mends it, unless its name is in
//! `POINTSMAN_SKIP`, a list with commas.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// OpenAI's package for Python, as it is known here.
pub const OPENAI: &str = "openai==3.54.0";

/// The target that skills are built for.
const WASM: &str = "wasm32-wasip2";

/// This tool's tests are switched off.
#[expect(clippy::disallowed_methods, reason = "the one place of the tests that reads the environment")]
pub fn is_skipped(name: &str) -> bool {
    std::env::var("POINTSMAN_SKIP").is_ok_and(|names| names.split(',').any(|it| it.trim() == name))
}

/// A Python that has OpenAI's package.
///
/// # Panics
/// Where there is none and none can be made.
#[expect(clippy::panic, reason = "a test without its tool has nothing to test")]
pub fn openai_python() -> PathBuf {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match MADE.get_or_init(make_python) {
        Ok(python) => python.clone(),
        Err(message) => panic!("{message}; or switch this test off with POINTSMAN_SKIP=openai-python"),
    }
}

fn make_python() -> Result<PathBuf, String> {
    python_with(&target("openai-python"), OPENAI)
}

/// A Python in this folder that has this package, `name==version`.
///
/// The environment is complete when its stamp names the package; one that was left half made is made again.
///
/// # Errors
/// Where it cannot be made.
pub(crate) fn python_with(folder: &Path, package: &str) -> Result<PathBuf, String> {
    let (python, stamp) = (folder.join("bin/python"), folder.join("package"));
    if is_text(&stamp, package) {
        return Ok(python);
    }
    let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
    made.map_err(|error| {
        format!("no Python environment can be made; `apt-get install python3 python3-venv`: {error}")
    })?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
    run(Command::new(&python).args(install))
        .map_err(|error| format!("{package} cannot be installed: {error}"))?;
    std::fs::write(&stamp, package).map_err(told(&stamp))?;
    Ok(python)
}

/// The SDK's example skill, as a component.
///
/// # Panics
/// Where it cannot be built.
#[expect(clippy::panic, reason = "a test without its skill has nothing to test")]
pub fn preload_skill() -> Vec<u8> {
    let target = target("sdk-example");
    let mut build = cargo(["build", "--release", "--package", "example-preload", "--target", WASM]);
    build.arg("--target-dir").arg(&target).current_dir(root());
    if let Err(error) = run(&mut build) {
        panic!("the example cannot be built (`rustup target add {WASM}` adds its target): {error}");
    }
    let file = target.join(WASM).join("release/example_preload.wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The skills' own tests, run natively.
///
/// # Panics
/// Where one fails.
#[expect(clippy::panic, reason = "this is the test")]
pub fn skills_native_tests() {
    let mut test = cargo(["test", "--manifest-path", "skills/Cargo.toml"]);
    test.arg("--target-dir").arg(target("skills-native")).current_dir(root());
    if let Err(error) = run(&mut test) {
        panic!("the skills' own tests: {error}");
    }
}

/// Cargo without the flags of the build that runs the tests.
pub(crate) fn cargo(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments);
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(variable);
    }
    cargo
}

/// Runs a command to its end; the error is what it wrote.
///
/// # Errors
/// Where it does not start, or fails.
pub fn run(command: &mut Command) -> Result<Output, String> {
    let output =
        command.output().map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(output);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Err(format!("{}\n{}", text(&output.stdout), text(&output.stderr)))
}

/// Waits until no other process builds; the lock ends with the file.
///
/// # Errors
/// Where the file cannot be made.
pub(crate) fn lock(path: &Path) -> Result<File, String> {
    let file = File::options().create(true).append(true).open(path).map_err(told(path))?;
    file.lock().map_err(told(path))?;
    Ok(file)
}

/// The file holds this text.
pub(crate) fn is_text(path: &Path, text: &str) -> bool {
    std::fs::read_to_string(path).is_ok_and(|it| it == text)
}

/// An error with the path that it is about.
pub(crate) fn told(path: &Path) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// A folder of the tests' own below `target/`.
pub(crate) fn target(name: &str) -> PathBuf {
    root().join("target").join(name)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

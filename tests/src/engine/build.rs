//! llama.cpp's server, built from source below `target/llama-server`.
//!
//! The source is the archive of a package whose version and digest stand here. What is built is only the server,
//! without what it would fetch over the network, and for any x86-64 machine of the last ten years. A build that was
//! interrupted goes on where it was; one process builds while others wait at the lock file. When the program is there
//! with its stamp, everything else is removed: 13 MB stay of about 310.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::tools::{self, is_text, told};

/// By this name `POINTSMAN_SKIP` switches off what needs the engine.
pub const NAME: &str = "llama-server";

/// The package that holds llama.cpp's source, at its build 11549.
const PACKAGE: &str = "xllamacpp==2026.10.11549";

/// Its archive, 37.7 MB.
const ARCHIVE: &str = "xllamacpp-2026.10.11549.tar.gz";

/// The archive's SHA-256.
const DIGEST: &str = "c17ee1163006f70726abb9f72137830818f3d8cb60bfc34cb232d08428eaa22b";

/// The engine's source in it.
const SOURCE: &str = "xllamacpp-2026.10.11549/thirdparty/llama.cpp";

/// What fetches the archive. pip would run the package's own build before it saves the file.
const FETCHER: &str = "unearth==0.19.0";

/// A static program for any such machine, alone: no tests, no web page, nothing fetched.
const OPTIONS: [&str; 11] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=OFF",
    "-DGGML_OPENMP=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-Wno-dev",
];

/// Compilers at a time: each takes up to a gigabyte, and other tests run beside them.
const JOBS: &str = "2";

/// What brings everything that the build needs.
const MENDS: &str = "apt-get install cmake g++ ninja-build python3-venv";

/// Lines of the build's log that an error shows.
const LOG_LINES: usize = 30;

/// The program. The first call builds it, which takes some minutes.
///
/// # Panics
/// Where it cannot be built.
pub fn llama_server() -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(|| build(&tools::target(NAME))) {
        Ok(program) => program.clone(),
        Err(message) => panic!("{message}; or switch its tests off with POINTSMAN_SKIP={NAME}"),
    }
}

/// The program in this folder, which is complete when the stamp says what it was built from.
fn build(folder: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(told(folder))?;
    let folder = &folder.canonicalize().map_err(told(folder))?;
    let _alone = tools::lock(&folder.join("lock"))?;
    let (program, stamp) = (folder.join("bin/llama-server"), folder.join("stamp"));
    let recipe = format!("{DIGEST}\n{}\n", OPTIONS.join("\n"));
    if program.is_file() && is_text(&stamp, &recipe) {
        return Ok(program);
    }
    let work = folder.join("work");
    begin(&work, &recipe)?;
    let source = unpack(&work, &fetch(&work)?)?;
    let built = compile(&work, &source)?;
    mended("stripped", tools::run(Command::new("strip").arg(&built)))?;
    fs::create_dir_all(folder.join("bin")).map_err(told(folder))?;
    fs::rename(&built, &program).map_err(told(&program))?;
    fs::write(&stamp, &recipe).map_err(told(&stamp))?;
    fs::remove_dir_all(&work).map_err(told(&work))?;
    Ok(program)
}

/// A folder in which nothing is left of another recipe.
fn begin(work: &Path, recipe: &str) -> Result<(), String> {
    let begun = work.join("recipe");
    if is_text(&begun, recipe) {
        return Ok(());
    }
    match fs::remove_dir_all(work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(told(work)(error)),
        _ => {}
    }
    fs::create_dir_all(work).map_err(told(work))?;
    fs::write(&begun, recipe).map_err(told(&begun))
}

/// The archive, as it was known when this was written.
fn fetch(work: &Path) -> Result<PathBuf, String> {
    let archive = work.join(ARCHIVE);
    if digest(&archive).is_ok_and(|digest| digest == DIGEST) {
        return Ok(archive);
    }
    let python = mended("fetched", tools::python_with(&work.join("python"), FETCHER))?;
    let mut fetch = Command::new(python);
    fetch.args(["-m", "unearth", "--no-binary", PACKAGE, "--download"]).arg(work);
    tools::run(&mut fetch).map_err(|error| format!("{PACKAGE} cannot be fetched: {error}"))?;
    let digest = digest(&archive).map_err(told(&archive))?;
    if digest != DIGEST {
        let _ = fs::remove_file(&archive);
        return Err(format!("{ARCHIVE} has the digest {digest}, not {DIGEST}: it is not what was asked for"));
    }
    Ok(archive)
}

/// The engine's source. A folder that was left half unpacked is not taken for it.
fn unpack(work: &Path, archive: &Path) -> Result<PathBuf, String> {
    let (whole, half) = (work.join("source"), work.join("half"));
    if !whole.is_dir() {
        let mut unpack = Command::new("python3");
        unpack.args(["-m", "tarfile", "--extract"]).arg(archive).arg(&half);
        mended("unpacked", tools::run(&mut unpack))?;
        fs::rename(&half, &whole).map_err(told(&whole))?;
    }
    Ok(whole.join(SOURCE))
}

/// Configures and builds, with ninja where it is there.
fn compile(work: &Path, source: &Path) -> Result<PathBuf, String> {
    let has_ninja = tools::run(Command::new("ninja").arg("--version")).is_ok();
    let generator = if has_ninja { "Ninja" } else { "Unix Makefiles" };
    // One folder for each, as cmake does not change its mind.
    let folder = work.join(if has_ninja { "build-ninja" } else { "build-make" });
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(source).arg("-B").arg(&folder).args(["-G", generator]).args(OPTIONS);
    // The engine would take this repository's commit for its own.
    configure.env("GIT_CEILING_DIRECTORIES", work);
    mended("configured", tools::run(&mut configure))?;
    let log = work.join("build.log");
    let mut make = Command::new("cmake");
    make.arg("--build").arg(&folder).args(["--target", NAME, "--parallel", JOBS]);
    make.env("GIT_CEILING_DIRECTORIES", work);
    mended("compiled", logged(&mut make, &log))?;
    Ok(folder.join("bin").join(NAME))
}

/// Runs a command that writes into a file, where its progress can be watched; the error is the file's end.
fn logged(command: &mut Command, path: &Path) -> Result<(), String> {
    let log = File::create(path).map_err(told(path))?;
    let same = log.try_clone().map_err(told(path))?;
    let status = command.stdin(Stdio::null()).stdout(log).stderr(same).status();
    let status = status.map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
    Err(end.fold(format!("{status}; the end of {}:", path.display()), |end, line| end + "\n" + line))
}

/// A failed step, with the command that mends what is missing most often.
fn mended<T>(step: &str, result: Result<T, String>) -> Result<T, String> {
    result.map_err(|error| {
        format!("llama-server cannot be {step}; `{MENDS}` brings what it needs: {}", error.trim())
    })
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

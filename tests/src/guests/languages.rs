//! Guests in JavaScript and in Python, each built on first use by its language's own tools, which are fetched at the
//! versions that stand beside the guest's source. They are kept below `target/` by a digest of all that they are made
//! of, so that an unchanged guest costs nothing; one process builds while others wait.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::tools::{self, is_text, told};

/// A language that skills are written in, beside Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// By `jco`, on StarlingMonkey.
    JavaScript,
    /// By `componentize-py`, on CPython.
    Python,
}

/// What a guest is built by, as it is written down beside it.
const PYTHON_TOOL: &str = "requirements.txt";

/// The files that say which packages of npm's there are.
const NODE_PACKAGES: [&str; 2] = ["package.json", "package-lock.json"];

/// What `jco` leaves out of the component: what the host would not answer anyway. Standard error stays, for exceptions.
const JAVASCRIPT_WITHOUT: [&str; 4] = ["random", "clocks", "http", "fetch-event"];

// === impl Language ===

impl Language {
    /// By this name `POINTSMAN_SKIP` switches off what needs it.
    pub fn tool(self) -> &'static str {
        match self {
            Self::JavaScript => "jco",
            Self::Python => "componentize-py",
        }
    }

    /// The folder of its guest, below `tests/guests`.
    pub fn name(self) -> &'static str {
        match self {
            Self::JavaScript => "javascript",
            Self::Python => "python",
        }
    }

    /// Its guest, `policy`. The first call fetches its tools and builds it, which takes half a minute.
    ///
    /// # Panics
    /// Where it cannot be built.
    #[must_use]
    #[expect(clippy::panic, reason = "a test without its guest has nothing to test")]
    pub fn policy(self) -> Vec<u8> {
        static BUILT: [OnceLock<Result<PathBuf, String>>; 2] = [OnceLock::new(), OnceLock::new()];
        let [javascript, python] = &BUILT;
        let built = if self == Self::JavaScript { javascript } else { python };
        let read = |path: &PathBuf| fs::read(path).map_err(told(path));
        let policy = built.get_or_init(|| self.build()).as_ref().map_err(Clone::clone).and_then(read);
        policy.unwrap_or_else(|error| {
            panic!("{error}; or switch its tests off with POINTSMAN_SKIP={}", self.tool())
        })
    }

    fn build(self) -> Result<PathBuf, String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(self.name());
        let work = tools::target(&format!("guests-{}", self.name()));
        fs::create_dir_all(&work).map_err(told(&work))?;
        let _alone = tools::lock(&work.join("lock"))?;
        let (policy, stamp) = (work.join("policy.wasm"), work.join("stamp"));
        let recipe = digest(&[&source, &source.join("../../../wit")])?;
        if policy.is_file() && is_text(&stamp, &recipe) {
            return Ok(policy);
        }
        let wit = contract(&source, &work)?;
        match self {
            Self::JavaScript => build_javascript(&source, &work, &wit, &policy)?,
            Self::Python => build_python(&source, &work, &wit, &policy)?,
        }
        fs::write(&stamp, recipe).map_err(told(&stamp))?;
        Ok(policy)
    }
}

fn build_javascript(source: &Path, work: &Path, wit: &Path, policy: &Path) -> Result<(), String> {
    for file in NODE_PACKAGES {
        fs::copy(source.join(file), work.join(file)).map_err(told(&source.join(file)))?;
    }
    fetch_jco(work)?;
    let mut build = Command::new(work.join("node_modules/.bin/jco"));
    build.arg("componentize").arg(source.join("policy.js")).arg("--wit").arg(wit);
    build.args(["--world-name", "guest", "--out"]).arg(policy);
    build.args(JAVASCRIPT_WITHOUT.iter().flat_map(|feature| ["--disable", feature]));
    tools::run(&mut build)
        .map(drop)
        .map_err(|error| format!("the guest in JavaScript cannot be built: {error}"))
}

/// The packages as they are locked; what they bring is not run when they are installed.
fn fetch_jco(work: &Path) -> Result<(), String> {
    let (lock, fetched) = (work.join(NODE_PACKAGES[1]), work.join("fetched"));
    let packages = fs::read_to_string(&lock).map_err(told(&lock))?;
    if is_text(&fetched, &packages) {
        return Ok(());
    }
    let mut fetch = Command::new("npm");
    fetch.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(work);
    tools::run(&mut fetch).map_err(|error| {
        format!("jco cannot be fetched; `apt-get install nodejs npm` brings Node 20 and npm: {error}")
    })?;
    fs::write(&fetched, packages).map_err(told(&fetched))
}

fn build_python(source: &Path, work: &Path, wit: &Path, policy: &Path) -> Result<(), String> {
    let requirements = source.join(PYTHON_TOOL);
    let tool = fs::read_to_string(&requirements).map_err(told(&requirements))?;
    tools::python_with(&work.join("python"), tool.trim())?;
    let mut build = Command::new(work.join("python/bin/componentize-py"));
    build.arg("--wit-path").arg(wit).args(["--world", "guest", "componentize", "policy", "--python-path"]);
    build.arg(source).arg("--output").arg(policy);
    tools::run(&mut build).map(drop).map_err(|error| format!("the guest in Python cannot be built: {error}"))
}

/// The guest's world with the contract beside it, as both tools want to find them.
fn contract(source: &Path, work: &Path) -> Result<PathBuf, String> {
    let wit = work.join("wit");
    let package = wit.join("deps/skill");
    fs::create_dir_all(&package).map_err(told(&package))?;
    fs::copy(source.join("world.wit"), wit.join("world.wit")).map_err(told(&wit))?;
    for file in files(&source.join("../../../wit"))? {
        if let Some(name) = file.file_name().filter(|_| file.extension().is_some_and(|it| it == "wit")) {
            fs::copy(&file, package.join(name)).map_err(told(&file))?;
        }
    }
    Ok(wit)
}

/// A digest of the files in these folders and of how they are built.
fn digest(folders: &[&Path]) -> Result<String, String> {
    let mut hash = Sha256::new_with_prefix(include_str!("languages.rs"));
    for folder in folders {
        for file in files(folder)? {
            hash.update(fs::read(&file).map_err(told(&file))?);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(told(folder))?;
    let mut files: Vec<PathBuf> =
        entries.filter_map(|it| Some(it.ok()?.path())).filter(|it| it.is_file()).collect();
    files.sort();
    Ok(files)
}

//! Components compiled in a process of their own: big ones take ten seconds of two cores and hundreds of megabytes, which
//! then are gone with it, and a compiler that crashes takes nobody along: what it crashed on is refused.
//!
//! The process is this program once more, told which engine to compile for; it reads the component and writes the engine's
//! fingerprint and the machine code. Code for another engine is not used: the component is then compiled here. Bounded by
//! [`COMPILE_TIMEOUT`], one at a time; the process ends when nobody waits for it any more.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::engine::Engine;
use super::load::COMPONENT_BYTES_MAX;
use super::text::shown;

/// The program that compiles; the word behind it, and then the engine's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler(pub PathBuf);

/// What decides how code is made, beside the version of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Guests' memory comes from slots reserved up front.
    pub pooled: bool,
    /// Bytes of all linear memories of one instance together.
    pub memory_bytes_max: usize,
    /// Elements of all tables of one instance together.
    pub table_elements_max: usize,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component cannot be compiled; a fragment that follows "does not compile:".
    #[error("{0}")]
    Component(String),
    /// The compiler cannot be used here.
    #[error("{0}")]
    Compiler(String),
}

/// The word that makes this program a compiler.
pub const COMMAND: &str = "compile-component";

/// Components above this are big: what Rust and C make is below it, what brings a language's runtime along is above.
pub(super) const BIG_BYTES: usize = 1 << 20;

/// Each takes all cores and hundreds of megabytes.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// The largest component that is taken needs a minute on two cores.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(600);

// === impl Compiler ===

impl Compiler {
    /// Machine code for this engine.
    pub(super) async fn compile(&self, engine: &Engine, wasm: Bytes) -> Result<Bytes, CompileError> {
        let closed = |_| CompileError::Compiler("it is being shut down".to_owned());
        let _alone = ONE_AT_A_TIME.acquire().await.map_err(closed)?;
        let unusable = |error: std::io::Error| CompileError::Compiler(error.to_string());
        let mut process = Command::new(&self.0);
        // It reads foreign bytes, and needs nothing of what the environment holds.
        process.arg(COMMAND).args(engine.target().arguments()).env_clear().kill_on_drop(true);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = process.spawn().map_err(unusable)?;
        let input = process.stdin.take();
        let writing = async move {
            // A compiler that has enough has said why; its words count.
            if let Some(mut input) = input {
                let _ = input.write_all(&wasm).await;
            }
        };
        let done = timeout(COMPILE_TIMEOUT, async { tokio::join!(writing, process.wait_with_output()).1 });
        let late = |_| CompileError::Component(format!("it takes longer than {COMPILE_TIMEOUT:?}"));
        let done = done.await.map_err(late)?.map_err(unusable)?;
        if !done.status.success() {
            let words = shown(String::from_utf8_lossy(&done.stderr).trim());
            // What ended it, too little memory or a component that no compiler survives, would end this process next.
            return Err(match done.status.code() {
                None => {
                    CompileError::Component(format!("its compiler was ended by {}: {words}", done.status))
                }
                Some(_) => CompileError::Compiler(format!("it ended with {}: {words}", done.status)),
            });
        }
        let answer = Bytes::from(done.stdout);
        let fingerprint = engine.fingerprint().to_be_bytes();
        let rest = answer.strip_prefix(&fingerprint[..]).and_then(<[u8]>::split_first);
        match rest {
            Some((&COMPILED, code)) => Ok(answer.slice_ref(code)),
            Some((&REFUSED, why)) => Err(CompileError::Component(shown(&String::from_utf8_lossy(why)))),
            _ => Err(CompileError::Compiler("it compiles for another engine".to_owned())),
        }
    }
}

/// What follows the fingerprint: machine code, or why there is none.
const COMPILED: u8 = 1;
const REFUSED: u8 = 2;

/// Compiles what standard input holds, for this target, and answers on standard output.
///
/// # Errors
/// There is no such engine on this machine, or nobody listens.
pub fn run(target: Target) -> wasmtime::Result<()> {
    let mut wasm = Vec::new();
    std::io::stdin().lock().take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut wasm)?;
    let engine = wasmtime::Engine::new(&target.config())?;
    let (answer, bytes) = match engine.precompile_component(&wasm) {
        Ok(code) => (COMPILED, code),
        Err(error) => (REFUSED, format!("{error:#}").into_bytes()),
    };
    let mut output = std::io::stdout().lock();
    output.write_all(&fingerprint(&engine).to_be_bytes())?;
    output.write_all(&[answer])?;
    output.write_all(&bytes)?;
    Ok(output.flush()?)
}

/// What code must agree with to run in an engine.
pub(super) fn fingerprint(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

// === impl Target ===

impl Target {
    fn arguments(self) -> [String; 3] {
        let Self { pooled, memory_bytes_max, table_elements_max } = self;
        [pooled.to_string(), memory_bytes_max.to_string(), table_elements_max.to_string()]
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::Allocation;
    use super::*;
    use crate::capability::Limits;

    #[test]
    fn what_compiles_agrees_with_what_runs() {
        for limits in [
            Limits::default(),
            Limits { memory_bytes_max: 200 << 20, table_elements_max: 1000, ..Limits::default() },
            // So many that their memory is allocated on demand.
            Limits { instances_max: std::num::NonZeroU32::new(1_000_000).unwrap(), ..Limits::default() },
        ] {
            let engine = Engine::new(&limits).unwrap();
            let target = engine.target();
            assert_eq!(target.pooled, engine.allocation() == Allocation::Pooled);
            let compiling = wasmtime::Engine::new(&target.config()).unwrap();
            assert_eq!(fingerprint(&compiling), engine.fingerprint(), "{target:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_no_compiler_is_found_out() {
        let engine = Engine::new(&Limits::default()).unwrap();
        for (program, part) in
            [("true", "another engine"), ("false", "ended with"), ("/no/such", "No such file")]
        {
            let compiler = Compiler(program.into());
            let error = compiler.compile(&engine, Bytes::from_static(b"x")).await.unwrap_err();
            assert!(matches!(&error, CompileError::Compiler(reason) if reason.contains(part)), "{error}");
        }
    }
}

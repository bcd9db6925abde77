//! Big components are compiled in a process of their own, and a compiler that cannot be used costs nothing but that.

#![cfg(test)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pointsman::skill::compiler::Compiler;
use pointsman::skill::{Skills, State};
use pointsman_tests::guests::guest;
use tempfile::TempDir;

use crate::binary::program;
use crate::skills::{Setup, reply, turn};

/// The component with a section behind it that means nothing and is as long as a language's runtime.
fn big(name: &str) -> Vec<u8> {
    let mut wasm = guest(name);
    let content = vec![0; 2 << 20];
    let mut size = content.len() + 1;
    wasm.push(0);
    while size >= 0x80 {
        wasm.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    wasm.push(size as u8);
    // A name of no letters, and the content.
    wasm.push(0);
    wasm.extend(content);
    wasm
}

/// A program that leaves word that it was run, and goes on as these lines say.
fn script(folder: &Path, lines: &str) -> Compiler {
    let path = folder.join("compiler.sh");
    let word = folder.join("was-run");
    std::fs::write(&path, format!("#!/bin/sh\necho run >> '{}'\n{lines}\n", word.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    Compiler(path)
}

fn runs(folder: &TempDir) -> usize {
    std::fs::read_to_string(folder.path().join("was-run")).map_or(0, |text| text.lines().count())
}

async fn started(wasm: Vec<u8>, compiler: Compiler, store: Option<PathBuf>) -> Arc<Skills> {
    let mut setup = Setup::of(&[]).component("policy", wasm);
    setup.config.compiler = Some(compiler);
    setup.config.store = store;
    setup.start().await.0
}

fn as_itself(folder: &TempDir) -> Compiler {
    script(folder.path(), &format!("exec '{}' \"$@\"", program("pointsman").display()))
}

#[tokio::test]
async fn what_is_big_is_compiled_elsewhere_and_once() {
    let folder = TempDir::new().unwrap();
    let compiler = as_itself(&folder);
    let store = Some(folder.path().join("store"));
    for _ in 0..2 {
        let skills = started(big("policy-1"), compiler.clone(), store.clone()).await;
        assert_eq!(skills.statuses()[0].state, State::Active);
        assert_eq!(reply(&skills.generation().decide(turn("hello")).await), "policy 1");
        // The second time its code is in the cache.
        assert_eq!(runs(&folder), 1);
    }
    // What is small is not worth a process.
    let skills = started(guest("policy-1"), compiler, None).await;
    assert_eq!((&skills.statuses()[0].state, runs(&folder)), (&State::Active, 1));
}

#[tokio::test]
async fn a_component_that_does_not_compile_is_told_by_the_compiler() {
    let folder = TempDir::new().unwrap();
    let mut broken = big("policy-1");
    // Of its first module, cut from the middle of it.
    broken.drain(100..110);
    let skills = started(broken, as_itself(&folder), None).await;
    let status = &skills.statuses()[0];
    assert!(
        matches!(&status.state, State::Failed(reason) if reason.contains("does not compile")),
        "{status:?}"
    );
    assert_eq!(runs(&folder), 1);
}

#[tokio::test]
async fn without_its_compiler_it_is_compiled_all_the_same() {
    let folder = TempDir::new().unwrap();
    for lines in ["exit 1", "cat >/dev/null; echo something else", "exec 0<&-; exit 0"] {
        let skills = started(big("policy-1"), script(folder.path(), lines), None).await;
        assert_eq!(skills.statuses()[0].state, State::Active, "{lines}");
    }
    assert_eq!(runs(&folder), 3);
    let skills = started(big("policy-1"), Compiler("/no/such/program".into()), None).await;
    assert_eq!(skills.statuses()[0].state, State::Active);
}

#[tokio::test]
async fn what_a_compiler_dies_of_is_not_tried_here() {
    let folder = TempDir::new().unwrap();
    let skills = started(big("policy-1"), script(folder.path(), "kill -9 $$"), None).await;
    let status = &skills.statuses()[0];
    assert!(matches!(&status.state, State::Failed(reason) if reason.contains("signal: 9")), "{status:?}");
}

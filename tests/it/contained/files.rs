//! Files that are no skills, or none that can be used: each is named with its reason and keeps nobody from being served.
//! What was compiled is believed only where this gateway wrote it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lmstudio_emulator::Emulator;
use pointsman::skill::State;
use pointsman_tests::guests::guest;
use pointsman_tests::world::{self, World, lmstudio, says};
use tempfile::TempDir;

use super::{beside_a_good_one, is_served, status, the_good_one_speaks};

/// Bytes of a file that is bigger than any component may be.
const HUGE: u64 = 100 << 20;

/// Cannot be used, and why.
const UNUSABLE: [(&str, &str); 15] = [
    ("bare", "does not export `pointsman:skill/lifecycle`, so it is not a skill"),
    ("core-module", "is a core module, not a component"),
    ("four-memories", "contains 4 Wasm linear memories, which exceeds"),
    ("from-the-future", "is built against version 0.9.0 of the contract; this gateway supports 0.1.x"),
    ("memories-together", "bytes of memory and may have 67108864"),
    ("misfits", "does not fit the contract"),
    ("sells-a-database", "imports `acme:db/sql@1.0.0`, which this gateway does not have"),
    ("settings", "answered with an error: invalid: settings need a `greeting` in `configure`"),
    ("spins-at-start", "used more than 100ms of computing time in `describe`"),
    ("spins-in-configure", "used more than 100ms of computing time in `configure`"),
    ("spins-in-describe", "used more than 100ms of computing time in `describe`"),
    ("two-memories-in-one", "defined memories count of 2 exceeds"),
    ("wants-a-huge-memory", "memory has a minimum byte size of"),
    ("wants-a-huge-table", "has a minimum element size of 1000000 which exceeds the limit of 20000"),
    ("wants-more", "imports `pointsman:skill/teleport@0.1.0`, which this gateway does not have"),
];

fn why_not(world: &World, name: &str) -> String {
    match status(world, name).state {
        State::Failed(reason) => reason,
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_named_with_its_reason() {
    let whole = guest("router");
    let cut = whole[..whole.len() / 2].to_vec();
    let files = [
        ("cut", cut, "does not compile: "),
        ("empty", Vec::new(), "is not WebAssembly"),
        ("script", b"#!/bin/sh\n".to_vec(), "is not WebAssembly"),
    ];
    let unusable = UNUSABLE.iter().map(|(name, reason)| (*name, guest(name), *reason)).chain(files);
    let unusable: Vec<_> = unusable.collect();
    let skills = unusable.iter().map(|(name, wasm, _)| (*name, wasm.clone()));
    let world = beside_a_good_one("configure_cpu = \"100ms\"\n", skills).await;
    for (name, _, reason) in &unusable {
        let told = why_not(&world, name);
        assert!(told.contains(reason), "{name}: {told}");
        assert!(told.len() < 1000 && !told.contains(char::is_control), "{name}: {told:?}");
    }
    is_served(&world.ask("s", &says("hello")).await, "hello");
    the_good_one_speaks(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_cannot_be_used_refuses() {
    // What it would have been cannot be read from it; the user has said that nothing goes without it.
    let toml = "[skills.cut]\non_failure = \"refuse\"\n";
    let whole = guest("guards");
    let cut = whole[..whole.len() / 2].to_vec();
    let world = beside_a_good_one(toml, [("cut", cut)]).await;
    let refused = world.ask("s", &says("hello")).await;
    let told = refused.error().unwrap_or_default();
    assert!(refused.status == 503 && told.contains("the guard `cut` does not compile"), "{refused:?}");
}

/// A gateway that is started and stopped over one folder.
struct House {
    folder: TempDir,
    lmstudio: Emulator,
}

impl House {
    async fn new() -> Self {
        let (folder, lmstudio) = (TempDir::new().unwrap(), Emulator::start(lmstudio()).await.unwrap());
        fs::create_dir_all(folder.path().join("data/skills")).unwrap();
        Self { folder, lmstudio }
    }

    fn skill(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("data/skills/{name}.wasm"))
    }

    /// What the skills of a new gateway are, and why those are not used that are not.
    async fn life(&self) -> Vec<(String, Option<String>)> {
        let gateway = world::gateway(self.folder.path(), &self.lmstudio.url(), "").await;
        let statuses = gateway.gateway().skills.statuses();
        gateway.stop().await;
        statuses.into_iter().map(|it| (it.name.to_string(), it.state.reason())).collect()
    }

    /// The files of the compile cache.
    fn compiled(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        find(self.folder.path(), &mut found);
        found.sort();
        found
    }
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, found);
        } else if path.extension().is_some_and(|it| it == "cwasm") {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn machine_code_is_believed_only_where_this_gateway_wrote_it() {
    let house = House::new().await;
    fs::write(house.skill("speaks"), guest("speaks")).unwrap();
    assert!(house.life().await.iter().all(|(_, reason)| reason.is_none()));
    let compiled = house.compiled();
    assert!(compiled.len() >= 3, "{compiled:?}");
    let before: Vec<Vec<u8>> = compiled.iter().map(|path| fs::read(path).unwrap()).collect();

    // Poison: bytes changed in one, another's code in the next, nothing in the third.
    let mut changed = before[0].clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&compiled[0], changed).unwrap();
    fs::write(&compiled[1], &before[2]).unwrap();
    fs::write(&compiled[2], b"").unwrap();
    // Machine code in the place of a skill, as an engine would take it.
    fs::write(house.skill("renamed"), &before[0]).unwrap();
    File::create(house.skill("huge")).unwrap().set_len(HUGE).unwrap();

    let skills = house.life().await;
    let reason = |name: &str| {
        let found = skills.iter().find(|(it, _)| it == name);
        found.unwrap_or_else(|| panic!("{name}: {skills:?}")).1.clone()
    };
    for name in ["speaks", "model-swapper", "tool-router", "chat-commands"] {
        assert_eq!(reason(name), None, "it is compiled again");
    }
    let renamed = "is precompiled code, which is never accepted; give the component itself";
    assert_eq!(reason("renamed").as_deref(), Some(renamed));
    assert_eq!(reason("huge").as_deref(), Some("has 104857600 bytes, more than 67108864"));
    let after: Vec<Vec<u8>> = house.compiled().iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "what was poisoned has been written anew");
}

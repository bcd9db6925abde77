//! The house rules that no compiler holds: which room may know which, who may name a library, how long files are, that
//! each says what it is for. A new arrow between rooms is a change to the table below, and a reason to think twice.

#![expect(clippy::unwrap_used, reason = "all of it is a test: what cannot be read must fail it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room → the rooms it may know. The planner is a room of its own below `residency`, because it is pure.
const ARROWS: &[(&str, &[&str])] = &[
    // Pure.
    ("id", &[]),
    ("error", &[]),
    ("model", &["id"]),
    ("turn", &["id", "model"]),
    ("wire", &["error", "id", "turn"]),
    ("route", &["id", "model", "turn"]),
    ("session", &["id", "turn"]),
    ("grant", &[]),
    ("telemetry", &[]),
    ("discovery", &["id", "model", "route"]),
    ("residency/plan", &["id", "model", "provider", "turn"]),
    // Shells.
    ("store", &[]),
    ("shelf", &["grant", "id"]),
    ("provider", &["id", "model", "wire"]),
    ("residency", &["id", "model", "provider", "turn"]),
    ("capability", &["grant", "id", "model"]),
    ("skill", &["capability", "grant", "id", "model", "shelf", "turn"]),
    ("upstream", &["wire"]),
    ("splice", &["error", "id", "residency", "turn", "wire"]),
    (
        "exchange",
        &[
            "error",
            "id",
            "model",
            "residency",
            "route",
            "session",
            "skill",
            "splice",
            "telemetry",
            "turn",
            "upstream",
            "wire",
        ],
    ),
    ("ingress", &["discovery", "error", "exchange", "splice"]),
    ("config", &["exchange", "grant", "id", "ingress", "provider", "residency", "route", "session", "skill"]),
    // The top.
    (
        "admin",
        &[
            "exchange",
            "grant",
            "id",
            "model",
            "provider",
            "residency",
            "session",
            "shelf",
            "skill",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "capability",
            "config",
            "exchange",
            "id",
            "ingress",
            "model",
            "provider",
            "residency",
            "session",
            "skill",
            "store",
            "telemetry",
            "turn",
            "upstream",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "app",
            "config",
            "discovery",
            "exchange",
            "grant",
            "id",
            "ingress",
            "model",
            "provider",
            "residency",
            "route",
            "session",
            "shelf",
            "skill",
            "store",
            "telemetry",
            "wire",
        ],
    ),
];

/// What the planner may know of the room around it: values, no task, no mailbox.
const AROUND_THE_PLANNER: [&str; 6] = ["claim", "config", "gate", "lease", "record", "report"];

/// Library → the rooms that may name it.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("wasmtime", &["skill", "capability"]),
    ("wasmtime_wasi", &["skill", "capability"]),
    ("hyper_util::client", &["upstream"]),
    ("hyper_rustls", &["upstream"]),
    ("rusqlite", &["store"]),
    ("ed25519_dalek", &["shelf"]),
    ("blake3", &["shelf"]),
    ("jsonc_parser", &["discovery"]),
    ("reqwest", &["app", "cli", "provider"]),
    ("oci_client", &["cli"]),
    ("docker_credential", &["cli"]),
    ("axum", &["ingress", "admin", "app"]),
    (
        "tokio",
        &[
            "admin",
            "app",
            "capability",
            "cli",
            "exchange",
            "ingress",
            "main",
            "provider",
            "residency",
            "skill",
            "splice",
            "store",
        ],
    ),
];

/// The planner's room.
const PLANNER: &str = "residency/plan";

const SUPER: &str = "super::";

/// Lines of a file that nobody has to scroll through twice.
const FILE_LINES_MAX: usize = 600;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["Manager", "Helper", "Util", "Handler", "Data", "Info"];

/// Where Rust is written, from here. The host's is the first.
const PLACES: [&str; 6] = ["../host/src", "../host/benches", "../host/fuzz", ".", "../sdk", "../skills"];

struct Source {
    /// Path below its place, with slashes.
    path: String,
    /// The text without its tests.
    code: String,
    lines: usize,
    head: bool,
}

#[test]
fn the_host_is_tidy() {
    let sources = rooms();
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    let wrong: Vec<String> = sources.iter().flat_map(complaints).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_is_short_and_says_what_it_is_for() {
    let sources: Vec<Source> = PLACES.iter().flat_map(|place| sources(place)).collect();
    assert!(sources.len() > 150, "only {} files were found", sources.len());
    let wrong: Vec<String> = sources.iter().flat_map(shape).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle_and_no_arrow_that_nobody_needs() {
    assert_eq!(cycle(ARROWS), BTreeSet::new(), "these rooms know each other in a circle");
    let is_room = |known: &&str| ARROWS.iter().any(|(room, _)| room == known);
    let no_rooms: Vec<&str> =
        ARROWS.iter().flat_map(|(_, may)| *may).copied().filter(|it| !is_room(it)).collect();
    assert_eq!(no_rooms, [""; 0], "there are no such rooms");
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for source in rooms() {
        let room = room(&source.path);
        used.extend(known_rooms(&source).into_iter().map(|known| (room.clone(), known)));
    }
    let arrows = ARROWS.iter().flat_map(|(room, may)| may.iter().map(move |known| (*room, *known)));
    let dead: Vec<String> = arrows
        .filter(|(room, known)| !used.contains(&((*room).to_owned(), (*known).to_owned())))
        .map(|(room, known)| format!("{room} → {known}"))
        .collect();
    assert!(dead.is_empty(), "in the table and not in the code:\n{}", dead.join("\n"));
}

#[test]
fn an_arrow_against_the_table_is_seen() {
    let source = |path: &str, code: &str| Source::new(path, &format!("//! Head.\n{code}"));
    let cases = [
        ("residency/plan/swap.rs", "use crate::exchange::Gateway;", "residency/plan → exchange"),
        (
            "residency/plan/swap.rs",
            "use super::super::super::exchange::Gateway;",
            "residency/plan → exchange",
        ),
        ("residency/plan/swap.rs", "use tokio::time::Instant;", "names tokio"),
        ("residency/plan/swap.rs", "use crate::residency::actor::Actor;", "residency::actor"),
        ("residency/plan/swap.rs", "use crate::residency::{claim::Claim, handle};", "residency::handle"),
        ("residency/plan/swap.rs", "use super::super::{claim::Claim, Residency};", "residency::Residency"),
        ("residency/plan/swap/ask.rs", "fn f() { super::super::super::handle::go() }", "residency::handle"),
        ("residency/plan.rs", "use super::actor::Actor;", "residency::actor"),
        ("turn.rs", "fn f(x: crate::wire::chat::Request) {}", "turn → wire"),
        ("turn/tool.rs", "use super::super::wire::chat;", "turn → wire"),
        ("turn.rs", "use super::{id::ModelId, wire};", "turn → wire"),
        ("wire/chat.rs", "use crate::{turn, residency::Lease};", "wire → residency"),
        ("wire/lmstudio.rs", "use crate::provider::Listed;", "wire → provider"),
        ("route.rs", "use wasmtime::Engine;", "names wasmtime"),
        ("upstream.rs", "use reqwest::Client;", "names reqwest"),
        ("newroom.rs", "", "no row"),
        ("skill.rs", "struct PoolManager;", "PoolManager"),
    ];
    for (path, code, complaint) in cases {
        let found = complaints(&source(path, code));
        assert!(found.iter().any(|it| it.contains(complaint)), "{path}: {code}: {found:?}");
    }
    let innocent = [
        ("exchange.rs", "use crate::turn::Turn;\n// use crate::cli;\nuse http::Uri;"),
        (
            "residency/plan/swap.rs",
            "use super::{Planner, list::LIST_LAG};\nuse crate::residency::claim::Claim;",
        ),
        ("residency/plan/swap.rs", "pub(in crate::residency) fn f() {}\nuse super::super::gate::Gate;"),
        ("residency/actor.rs", "use super::plan::Planner;\nuse tokio::sync::mpsc;"),
        ("turn/tool.rs", "use super::Turn;\nuse super::super::id::ModelId;"),
    ];
    for (path, code) in innocent {
        assert_eq!(complaints(&source(path, code)), [""; 0], "{path}: {code}");
    }
}

#[test]
fn a_cycle_and_a_shapeless_file_are_seen() {
    assert_eq!(cycle(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), BTreeSet::from(["a", "b", "c"]));
    assert_eq!(cycle(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]), BTreeSet::new());
    let long = format!("//! Head.\n{}", "\n".repeat(FILE_LINES_MAX));
    for (path, text, complaint) in [
        ("it/long.rs", long.as_str(), "601 lines"),
        ("it/bare.rs", "fn f() {}", "head"),
        ("it/mod.rs", "//! Head.", "foo.rs"),
    ] {
        let found = shape(&Source::new(path, text));
        assert!(found.iter().any(|it| it.contains(complaint)), "{path}: {found:?}");
    }
}

/// Rooms that cannot be put in an order in which each knows only those before it.
fn cycle<'a>(arrows: &[(&'a str, &[&'a str])]) -> BTreeSet<&'a str> {
    let mut left: BTreeMap<&str, &[&str]> = arrows.iter().copied().collect();
    loop {
        let is_free = |may: &[&str]| !may.iter().any(|known| left.contains_key(known));
        let free: Vec<&str> = left.iter().filter(|(_, may)| is_free(may)).map(|(room, _)| *room).collect();
        if free.is_empty() {
            return left.into_keys().collect();
        }
        left.retain(|room, _| !free.contains(room));
    }
}

/// What is wrong with a file whatever it is for.
fn shape(source: &Source) -> Vec<String> {
    let path = &source.path;
    let mut wrong = Vec::new();
    if source.lines > FILE_LINES_MAX {
        wrong.push(format!("{path}: {} lines, {FILE_LINES_MAX} at most", source.lines));
    }
    if !source.head {
        wrong.push(format!("{path}: no `//!` head that says what it is for"));
    }
    if path.ends_with("mod.rs") {
        wrong.push(format!("{path}: write foo.rs and foo/"));
    }
    wrong
}

/// What is wrong with a file of the host.
fn complaints(source: &Source) -> Vec<String> {
    let path = &source.path;
    let mut wrong = shape(source);
    wrong.extend(
        empty_names(&source.code).into_iter().map(|name| format!("{path}: the name {name} says nothing")),
    );
    let room = room(path);
    if matches!(room.as_str(), "lib" | "main") {
        return wrong;
    }
    let Some((_, may)) = ARROWS.iter().find(|(it, _)| *it == room) else {
        wrong.push(format!("{path}: the room {room} has no row in the table"));
        return wrong;
    };
    for known in known_rooms(source) {
        if !may.contains(&known.as_str()) {
            wrong.push(format!("{path}: {room} → {known} is not in the table"));
        }
    }
    if room == PLANNER {
        wrong.extend(around_the_planner(source).into_iter().map(|it| {
            format!("{path}: residency::{it}; the planner may know only {AROUND_THE_PLANNER:?} around it")
        }));
    }
    for (library, rooms) in LIBRARIES {
        if !rooms.contains(&room.as_str()) && names(&source.code, library) {
            wrong.push(format!("{path}: names {library}, which only {rooms:?} may"));
        }
    }
    wrong
}

/// The room a file belongs to.
fn room(path: &str) -> String {
    let path = path.trim_end_matches(".rs");
    if path == PLANNER || path.strip_prefix(PLANNER).is_some_and(|rest| rest.starts_with('/')) {
        return PLANNER.to_owned();
    }
    path.split('/').next().unwrap().to_owned()
}

/// Other rooms that the code names.
fn known_rooms(source: &Source) -> BTreeSet<String> {
    let room = room(&source.path);
    let own = room.split('/').next().unwrap();
    named(source).into_iter().filter_map(|path| path.into_iter().next()).filter(|it| it != own).collect()
}

/// What the planner names of the room around it and may not.
fn around_the_planner(source: &Source) -> BTreeSet<String> {
    let second = |path: Vec<String>| {
        let mut path = path.into_iter();
        (path.next()? == "residency").then(|| path.next())?
    };
    let inside = |it: &String| it == "plan" || AROUND_THE_PLANNER.contains(&it.as_str());
    named(source).into_iter().filter_map(second).filter(|it| !inside(it)).collect()
}

/// Every path of this crate that the code names from `crate::` or `super::` on, from the crate's root.
fn named(source: &Source) -> Vec<Vec<String>> {
    let code = &source.code;
    let module: Vec<String> = source.path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let mut all = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        all.extend(leaves(&code[at + "crate::".len()..]));
    }
    for (at, _) in code.match_indices(SUPER) {
        if code[..at].ends_with(SUPER) {
            continue;
        }
        let mut rest = &code[at..];
        let mut above = module.clone();
        while let Some(after) = rest.strip_prefix(SUPER) {
            (rest, _) = (after, above.pop());
        }
        all.extend(leaves(rest).into_iter().map(|leaf| [above.clone(), leaf].concat()));
    }
    all.iter_mut().for_each(|path| path.retain(|name| !name.is_empty() && name != "self"));
    all.retain(|path| !path.is_empty());
    all
}

/// The paths that a text begins with: one, or those of a use group.
fn leaves(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return items(group).into_iter().flat_map(leaves).collect();
    }
    let name = identifier(text);
    match text[name.len()..].strip_prefix("::") {
        Some(rest) if !name.is_empty() => {
            leaves(rest).into_iter().map(|leaf| [vec![name.clone()], leaf].concat()).collect()
        }
        _ => vec![vec![name]],
    }
}

/// The items of a use group, without those of the groups inside it.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut items, mut start) = (0, Vec::new(), 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                items.push(&group[start..at]);
                return items;
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn names(code: &str, library: &str) -> bool {
    code.match_indices(&format!("{library}::")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

fn empty_names(code: &str) -> Vec<String> {
    let types = ["struct ", "enum ", "trait ", "type "];
    let top_level =
        code.lines().map(|line| line.trim_start_matches("pub ").trim_start_matches("pub(super) "));
    let declared = top_level.filter_map(|line| types.iter().find_map(|keyword| line.strip_prefix(keyword)));
    declared.map(identifier).filter(|name| EMPTY_NAMES.iter().any(|word| name.ends_with(word))).collect()
}

/// The host's files without its tests, where rooms meet.
fn rooms() -> Vec<Source> {
    let mut sources = sources(PLACES[0]);
    sources.retain(|source| !is_test(&source.path));
    sources
}

/// Every file of a place.
fn sources(place: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    let mut files = Vec::new();
    walk(&root, &mut files);
    let below = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    files.iter().map(|path| Source::new(&below(path), &fs::read_to_string(path).unwrap())).collect()
}

// === impl Source ===

impl Source {
    /// The file's code: its comments name rooms freely, and its tests are where rooms meet.
    fn new(path: &str, text: &str) -> Self {
        let code = text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at]);
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        Self {
            path: path.to_owned(),
            code: lines.fold(String::new(), |code, line| code + line + "\n"),
            lines: text.lines().count(),
            head: text.starts_with("//!"),
        }
    }
}

fn is_test(path: &str) -> bool {
    let inside = path.split('/').any(|part| matches!(part, "tests" | "sim"));
    inside || path.ends_with("tests.rs") || path.ends_with("sim.rs")
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("target") {
            // What builds leave behind.
        } else if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

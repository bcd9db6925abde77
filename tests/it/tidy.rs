//! The house rules that no compiler holds: which room may know which, who may name a library, how long files are, that
//! each says what it is for. A new arrow between rooms is a change to the table below, and a reason to think twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Room → the rooms it may know. Below `residency`, `splice` and `skill` the pure halves are held apart as well.
const ARROWS: &[(&str, &[&str])] = &[
    // Pure.
    ("id", &[]),
    ("error", &["id"]),
    ("model", &["id"]),
    ("turn", &["id", "model"]),
    ("wire", &["error", "id", "provider", "turn"]),
    ("route", &["id", "model", "turn"]),
    ("session", &["id", "turn"]),
    ("grant", &[]),
    ("telemetry", &[]),
    ("residency/plan", &["id", "model", "provider", "turn"]),
    // Shells.
    ("provider", &["id", "model", "wire"]),
    ("residency", &["id", "model", "provider", "turn"]),
    ("capability", &["grant", "id", "model", "turn"]),
    ("skill", &["capability", "grant", "id", "model", "turn"]),
    ("upstream", &["wire"]),
    ("splice", &["error", "residency", "upstream", "wire"]),
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
    ("ingress", &["error", "exchange", "model", "route", "splice", "wire"]),
    ("config", &["exchange", "grant", "id", "ingress", "residency", "route", "session", "skill"]),
    // The top.
    ("admin", &["error", "exchange", "id", "model", "provider", "residency", "skill", "telemetry"]),
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
            "capability",
            "config",
            "exchange",
            "id",
            "ingress",
            "model",
            "provider",
            "residency",
            "route",
            "session",
            "skill",
            "telemetry",
            "wire",
        ],
    ),
];

/// Library → the places that may name it.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("wasmtime", &["skill", "capability"]),
    ("wasmtime_wasi", &["skill", "capability"]),
    ("hyper_util::client", &["upstream"]),
    ("hyper_rustls", &["upstream"]),
    ("reqwest", &["provider", "cli"]),
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
        ],
    ),
];

/// Lines of a file that nobody has to scroll through twice.
const FILE_LINES_MAX: usize = 600;

/// Names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["Manager", "Helper", "Util", "Handler", "Data", "Info"];

struct Source {
    /// Path below `host/src`, with slashes.
    path: String,
    /// The text without its tests.
    code: String,
    lines: usize,
    head: bool,
}

#[test]
fn the_host_is_tidy() {
    let sources = sources();
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    let mut wrong: Vec<String> = sources.iter().flat_map(|source| complaints(source)).collect();
    let known: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for (room, may) in ARROWS {
        wrong.extend(
            may.iter()
                .filter(|it| !known.contains_key(**it))
                .map(|it| format!("{room} → {it}: no such room")),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn an_arrow_against_the_table_is_seen() {
    let source = |path: &str, code: &str| Source::new(path, &format!("//! Head.\n{code}"));
    let cases = [
        ("residency/plan/swap.rs", "use crate::exchange::Gateway;", "residency/plan → exchange"),
        ("turn.rs", "fn f(x: crate::wire::chat::Request) {}", "turn → wire"),
        ("wire/chat.rs", "use crate::{turn, residency::Lease};", "wire → residency"),
        ("route.rs", "use wasmtime::Engine;", "names wasmtime"),
        ("upstream.rs", "use reqwest::Client;", "names reqwest"),
        ("newroom.rs", "", "no row"),
        ("skill.rs", "struct PoolManager;", "PoolManager"),
    ];
    for (path, code, complaint) in cases {
        let found = complaints(&source(path, code));
        assert!(found.iter().any(|it| it.contains(complaint)), "{path}: {found:?}");
    }
    assert_eq!(
        complaints(&source("exchange.rs", "use crate::turn::Turn;\n// use crate::cli;\nuse http::Uri;")),
        [""; 0]
    );
}

fn complaints(source: &Source) -> Vec<String> {
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
    let own = room.split('/').next().unwrap();
    for known in known_rooms(&source.code) {
        if known != own && !may.contains(&known.as_str()) {
            wrong.push(format!("{path}: {room} → {known} is not in the table"));
        }
    }
    for (library, rooms) in LIBRARIES {
        if !rooms.contains(&own) && names(&source.code, library) {
            wrong.push(format!("{path}: names {library}, which only {rooms:?} may"));
        }
    }
    wrong
}

/// The room a file belongs to.
fn room(path: &str) -> String {
    let path = path.trim_end_matches(".rs");
    if path == "residency/plan" || path.starts_with("residency/plan/") {
        return "residency/plan".to_owned();
    }
    path.split('/').next().unwrap().to_owned()
}

/// Rooms that the code names: `crate::room`, also within `use crate::{…}`.
fn known_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => rooms.push(identifier(rest)),
            Some(group) => rooms.extend(first_level(group)),
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms.sort();
    rooms.dedup();
    rooms
}

/// The first identifier of each item of a use group.
fn first_level(group: &str) -> Vec<String> {
    let (mut depth, mut items, mut start) = (0, Vec::new(), 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                items.push(identifier(group[start..at].trim()));
                return items;
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                items.push(identifier(group[start..at].trim()));
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

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let below = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    let read = |path: &PathBuf| Source::new(&below(path), &fs::read_to_string(path).unwrap());
    files.iter().map(read).filter(|source| !is_test(&source.path)).collect()
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
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

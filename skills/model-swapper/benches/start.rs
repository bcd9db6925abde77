//! What the word lists cost: reading them when the skill is configured, and looking turns up in them.
//!
//! Every labelled turn of the tests is asked, alone and with a picture, since a picture has all lists looked at. Each figure
//! is the best of rounds, so that what else the machine does counts little.
//! `cargo bench --manifest-path skills/Cargo.toml --target-dir target/skills-native`
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that fails stops, reads the clock and prints what it found"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use model_swapper::ModelSwapper;
use pointsman_sdk::fake::{Host, configured};
use pointsman_sdk::{Model, Skill, Turn};

/// Rounds of each measurement.
const ROUNDS: usize = 21;

/// Rounds of first turns: each takes a skill of its own.
const FIRSTS: usize = 3;

/// The labelled turns.
const CASES: [&str; 3] = [
    include_str!("../tests/cases.toml"),
    include_str!("../tests/fresh.toml"),
    include_str!("../tests/unseen.toml"),
];

fn main() {
    let _gateway = Host::new()
        .with_model(Model::named("lmstudio/acme/owl-9b").taking("image").of_size(6000))
        .with_model(Model::named("lmstudio/google/translategemma-12b-it").taking("image").of_size(8000))
        .install();
    let skill = || configured::<ModelSwapper>("{}").expect("it takes no settings");
    print("configure", best(|| drop(black_box(skill()))));

    let turns = turns();
    let first = |turn: &Turn| {
        let skill = skill();
        time(|| drop(black_box(skill.on_request(turn))))
    };
    let firsts = turns.iter().map(|turn| (0..FIRSTS).map(|_| first(turn)).min().unwrap_or_default());
    print("the slowest first turn", firsts.max().unwrap_or_default());
    let skill = skill();
    let mut each: Vec<_> =
        turns.iter().map(|turn| best(|| drop(black_box(skill.on_request(turn))))).collect();
    each.sort();
    print("a turn, median", each.get(each.len() / 2).copied().unwrap_or_default());
    print("the slowest turn", each.last().copied().unwrap_or_default());
}

/// Every labelled text as a turn, and as one with a picture.
fn turns() -> Vec<Turn> {
    let mut turns = Vec::new();
    for cases in CASES {
        let cases: toml::Table = cases.parse().expect("the tests read it, too");
        for case in cases.get("case").and_then(toml::Value::as_array).into_iter().flatten() {
            let text = case.get("text").and_then(toml::Value::as_str).unwrap_or_default();
            turns.push(Turn::saying(text));
            turns.push(Turn::saying(text).with_media("image"));
        }
    }
    turns
}

fn best(what: impl Fn()) -> Duration {
    (0..ROUNDS).map(|_| time(&what)).min().unwrap_or_default()
}

fn time(what: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    what();
    begun.elapsed()
}

fn print(step: &str, took: Duration) {
    println!("{step:24} {:>9.1} µs", took.as_secs_f64() * 1e6);
}

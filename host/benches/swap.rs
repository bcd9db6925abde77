//! What changing a skill costs, and starting with skills that were compiled before: the parts that people wait for.
//!
//! Each figure is the median of rounds within one run, shown beside a yardstick of the same run: compiling the component
//! without a cache. Only the ratios can be compared between machines. Guests in JavaScript and Python are measured where
//! the tests have built them (`cargo test -p pointsman-tests --test it languages`).
//! `cargo bench -p pointsman --bench swap`

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that fails stops, and its result is printed"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pointsman::id::SkillName;
use pointsman::skill::{Bundled, Config, Delegates, Offer, Skills};
use tokio::runtime::Runtime;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds; each gives one figure for every step.
const ROUNDS: usize = 21;

/// Longer than it takes compiled code to be old enough to be known again.
const SETTLED_AFTER: Duration = Duration::from_millis(2100);

/// Every version of the gateway's own skills, under a name of its own, so that each is a skill that was installed.
fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let mut figures = Figures::default();
    for _ in 0..ROUNDS {
        let cold = tempfile::tempdir().expect("a folder");
        figures.cold.push(time(|| drop(runtime.block_on(open(cold.path())))));
        figures.warm.push(time(|| drop(runtime.block_on(open(folder.path())))));
        let skills = runtime.block_on(open(folder.path()));
        let [first, second] = ["model-swapper", "chat-commands"].map(offer);
        // Both were compiled in the first round; from then on either is taken from the cache.
        runtime.block_on(skills.install(first)).expect("the first is installed");
        figures.swap.push(time(|| {
            runtime.block_on(skills.install(second.clone())).expect("the second is installed");
        }));
        runtime.block_on(skills.remove(&SkillName::new("policy"))).expect("it is removed");
    }
    figures.print();
    for language in ["javascript", "python"] {
        measure_language(&runtime, language);
    }
}

/// A start with one skill, a big one, that was installed before.
fn measure_language(runtime: &Runtime, language: &str) {
    let built = format!("{}/../target/guests-{language}/policy.wasm", env!("CARGO_MANIFEST_DIR"));
    let Ok(wasm) = std::fs::read(&built) else {
        println!("start, a skill in {language}: there is no {built}");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let start = || {
        let config = Config { store: Some(folder.path().join("store")), ..Config::default() };
        let started = Skills::start(config, Delegates::nowhere(), &[]);
        runtime.block_on(started).expect("the skills start").0
    };
    let skills = start();
    let cold = time(|| {
        let install = skills.install(offer_of(language, Bytes::from(wasm)));
        runtime.block_on(install).expect("it is installed");
    });
    drop(skills);
    // Compiled code that has just been written is hashed at each start; what people wait for is a start later on.
    std::thread::sleep(SETTLED_AFTER);
    let serves = || {
        let skills = start();
        assert_eq!(skills.statuses().first().map(|it| it.state.as_str()), Some("active"));
    };
    let mut warm: Vec<f64> = (0..ROUNDS).map(|_| time(serves)).collect();
    let warm = median(&mut warm);
    for (name, ms) in
        [("installed, nothing compiled before", cold), ("started, from the compile cache", warm)]
    {
        println!("{:44} {ms:>9.2} {:>8.3}", format!("a skill in {language}, {name}"), ms / cold);
    }
}

fn offer(skill: &str) -> Offer {
    let found =
        pointsman_skills::SKILLS.iter().find(|it| it.name == skill).expect("it ships with the gateway");
    offer_of(skill, Bytes::from_static(found.wasm))
}

fn offer_of(source: &str, wasm: Bytes) -> Offer {
    Offer {
        name: SkillName::new("policy"),
        wasm,
        source: source.to_owned(),
        signature: None,
        grants: Vec::new(),
        force: true,
        approve: true,
    }
}

/// The skills of a gateway with this store.
async fn open(folder: &Path) -> Arc<Skills> {
    let bundled: Vec<_> = pointsman_skills::SKILLS
        .iter()
        .map(|skill| Bundled { name: skill.name, wasm: Bytes::from_static(skill.wasm) })
        .collect();
    let config = Config { store: Some(folder.join("store")), ..Config::default() };
    Skills::start(config, Delegates::nowhere(), &bundled).await.expect("the skills start").0
}

fn time(what: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    what();
    begun.elapsed().as_secs_f64() * 1e3
}

/// Milliseconds, one a round.
#[derive(Default)]
struct Figures {
    cold: Vec<f64>,
    warm: Vec<f64>,
    swap: Vec<f64>,
}

impl Figures {
    fn print(mut self) {
        let skills = pointsman_skills::SKILLS.len() as f64;
        let (cold, warm, swap) = (median(&mut self.cold), median(&mut self.warm), median(&mut self.swap));
        println!("{:44} {:>9} {:>8}", "step", "ms", "× cold");
        for (name, ms) in [
            ("start, a skill, nothing compiled before", cold / skills),
            ("start, a skill, from the compile cache", warm / skills),
            ("swap of a skill to a version compiled before", swap),
        ] {
            println!("{name:44} {ms:>9.2} {:>8.3}", ms / (cold / skills));
        }
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

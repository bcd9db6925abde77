//! The property test's own cases, more of them than a test has time for. Not in this folder, whose configuration is for the
//! fuzzer, but in the repository's:
//!
//!     cargo run --release --manifest-path host/fuzz/Cargo.toml --target-dir target/fuzz --bin cases -- 100000

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    for seed in 0..count {
        let mut rng = StdRng::seed_from_u64(seed);
        let length = rng.random_range(8..400);
        let case: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        if std::panic::catch_unwind(|| pointsman_fuzz::play(&case)).is_err() {
            println!("seed {seed}");
            std::process::exit(1);
        }
    }
    println!("{count} cases");
}

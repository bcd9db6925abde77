//! What a process holds, which can be measured only where nothing else happens in it: such a test runs in a process of
//! its own.

use std::process::Command;

use pointsman_tests::guests::guest;
use pointsman_tests::world::says;

use super::{beside_a_good_one, is_served, status};

/// What this process holds now.
#[derive(Debug)]
pub(crate) struct Footprint {
    pub(crate) resident_kib: u64,
    pub(crate) threads: u64,
    pub(crate) files: usize,
}

/// Bombs that are set off before and after the first look.
const BOMBS: (u32, u32) = (8, 40);

/// KiB by which a process may have grown: less than half of what one bomb took.
const MARGIN_KIB: u64 = 24 << 10;

impl Footprint {
    pub(crate) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let number = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            resident_kib: number("VmRSS:"),
            threads: number("Threads:"),
            files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        }
    }
}

/// Runs an ignored test of this binary in a process of its own, and returns the line that begins so.
pub(crate) fn alone(test: &str, figures: &str) -> String {
    let mut alone = Command::new(std::env::current_exe().unwrap());
    let output = alone.args(["--exact", test, "--ignored", "--nocapture"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.starts_with(figures));
    line.expect("it prints its figures").to_owned()
}

#[test]
fn what_a_memory_bomb_took_is_given_back() {
    println!("{}", alone("contained::footprint::it_sets_off_bombs", "memory bombs:"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in a process of its own, started by the test above"]
async fn it_sets_off_bombs() {
    let world = beside_a_good_one("", [("hogs-by-growth", guest("hogs-by-growth"))]).await;
    let bomb = async || {
        is_served(&world.ask("s", &says("bomb")).await, "bomb");
        assert!(status(&world, "hogs-by-growth").last_error.is_some());
        // It passes on this, so that it is not taken out of use.
        is_served(&world.ask("s", &says("rest")).await, "rest");
    };
    for _ in 0..BOMBS.0 {
        bomb().await;
    }
    let before = Footprint::now();
    for _ in 0..BOMBS.1 {
        bomb().await;
    }
    let after = Footprint::now();
    println!(
        "memory bombs: after {} of 64 MiB {} KiB resident, after {} more {}",
        BOMBS.0, before.resident_kib, BOMBS.1, after.resident_kib
    );
    assert!(after.resident_kib <= before.resident_kib + MARGIN_KIB, "{before:?} {after:?}");
    assert!(after.threads <= before.threads + 2 && after.files <= before.files + 8, "{before:?} {after:?}");
}

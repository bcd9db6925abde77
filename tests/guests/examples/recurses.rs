//! Calls itself without end.

use guests::prelude::Verdict;

#[inline(never)]
fn dig(depth: u64) -> u64 {
    if std::hint::black_box(depth) == u64::MAX { 0 } else { dig(depth + 1) + std::hint::black_box(1) }
}

guests::guest!(warm "recurses", |_| Ok(Verdict::Reply(dig(0).to_string())));

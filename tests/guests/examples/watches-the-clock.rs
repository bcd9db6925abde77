//! Asks WASI for the time, again and again.

use std::time::Instant;

guests::guest!(warm "watches-the-clock", |_| loop {
    std::hint::black_box(Instant::now());
});

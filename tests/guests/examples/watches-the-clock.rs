//! Asks WASI for the time, again and again.

use std::time::SystemTime;

guests::guest!(warm "watches-the-clock", |_| loop {
    std::hint::black_box(SystemTime::now());
});

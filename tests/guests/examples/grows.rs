//! Leaks five megabytes a call, says how often it was called.

use std::cell::Cell;

use guests::prelude::Verdict;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

guests::guest!(warm "grows", |_| {
    CALLS.set(CALLS.get() + 1);
    std::mem::forget(std::hint::black_box(vec![1u8; 5 << 20]));
    Ok(Verdict::Reply(CALLS.get().to_string()))
});

//! Says how often this instance was called, and is not reusable: always once.

use std::cell::Cell;

use guests::prelude::Verdict;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

guests::guest!(fresh "counts-fresh", |_| {
    CALLS.set(CALLS.get() + 1);
    Ok(Verdict::Reply(CALLS.get().to_string()))
});

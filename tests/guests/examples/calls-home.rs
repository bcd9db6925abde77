//! Calls the host a million times.

use guests::prelude::{Verdict, clock};

guests::guest!(warm "calls-home", |_| {
    let sum: f64 = (0..1_000_000).map(|_| clock::now()).sum();
    Ok(Verdict::Reply(sum.to_string()))
});

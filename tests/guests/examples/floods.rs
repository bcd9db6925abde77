//! Writes far too much, to the log and to standard output, and passes.

use guests::prelude::{Verdict, log};

guests::guest!(warm "floods", |_| {
    for line in 0..100 {
        log::write(log::Level::Info, &format!("line {line} of a flood\u{1b}[31m"));
    }
    let noise = "noise\n".repeat(1000);
    for _ in 0..100 {
        print!("{noise}");
    }
    Ok(Verdict::Pass)
});

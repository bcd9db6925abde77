//! Keeps on asking for a little more, unless it is told to `rest`.

use guests::prelude::Verdict;

guests::guest!(warm "hogs-by-growth", |turn| {
    if turn.user_text == "rest" {
        return Ok(Verdict::Pass);
    }
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1u8; 1 << 16]));
    }
});

//! Asks for a gibibyte in one piece.

guests::guest!(warm "hogs-at-once", |_| {
    let hoard = std::hint::black_box(vec![1u8; 1 << 30]);
    Ok(guests::prelude::Verdict::Reply(hoard.len().to_string()))
});

//! Keeps on asking for a little more.

guests::guest!(warm "hogs-by-growth", |_| {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1u8; 1 << 16]));
    }
});

//! Never returns from its hook.

guests::guest!(warm "spins", |_| loop {
    std::hint::black_box(0);
});

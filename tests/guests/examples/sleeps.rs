//! Goes to sleep in its hook.

guests::guest!(warm "sleeps", |_| {
    std::thread::sleep(std::time::Duration::from_secs(3600));
    Ok(guests::prelude::Verdict::Pass)
});

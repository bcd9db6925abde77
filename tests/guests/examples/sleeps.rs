//! Goes to sleep in its hook: `sleep N` for so many milliseconds, everything else for an hour. It could ask others by
//! `http`, and `send` does.

use std::time::Duration;

use guests::prelude::{Verdict, http};

guests::guest!(warm "sleeps", |turn| {
    if turn.user_text == "send" {
        let (method, url) = ("GET".to_owned(), "http://localhost/".to_owned());
        let request = http::Request { method, url, headers: Vec::new(), body: Vec::new(), timeout_ms: 0 };
        return Ok(Verdict::Reply(format!("{:?}", http::send(&request).map(drop))));
    }
    let millis = turn.user_text.strip_prefix("sleep ").and_then(|it| it.parse().ok());
    std::thread::sleep(millis.map_or(Duration::from_secs(3600), Duration::from_millis));
    Ok(Verdict::Reply("rested".to_owned()))
});

//! Counts in its store how often it was asked, and answers with that.

use guests::prelude::{Verdict, kv};

guests::guest!(warm "keeps", |turn| {
    if let Some(bytes) = turn.user_text.strip_prefix("keep ").and_then(|it| it.parse().ok()) {
        let kept = kv::set("much", &vec![0; bytes]).map_err(|error| error.code);
        return Ok(Verdict::Reply(format!("{kept:?}")));
    }
    let count = kv::increment("asked", 1.0).map_err(|error| error.code);
    Ok(Verdict::Reply(format!("{count:?} {:?}", kv::keys("").map_err(|error| error.code))))
});

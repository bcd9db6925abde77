//! Answers with all that time, chance and the gateway gave it: asked about the same moment, it says the same. Asked to
//! `act` on a model, it does all that has an effect elsewhere.

use guests::prelude::{Verdict, clock, conversation, http, kv, models, random, residency, sessions};

guests::guest!(warm "beholds", |turn| {
    if let Some(model) = turn.user_text.strip_prefix("act ") {
        let counted = kv::increment("acts", 1.0).map_err(|error| error.code);
        let picked = sessions::set_model(&turn.session, Some(model)).map_err(|error| error.code);
        let options = residency::LoadOptions { context_length: None, pin: false, extra: Vec::new() };
        let wished = residency::load(model, &options).map(|_| ()).map_err(|error| error.code);
        let request = http::Request {
            method: "GET".to_owned(),
            url: "http://127.0.0.1:9/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 100,
        };
        let sent = http::send(&request).map(|_| ()).map_err(|error| error.code);
        return Ok(Verdict::Reply(format!("{counted:?} {picked:?} {wished:?} {sent:?}")));
    }
    let seen: Vec<_> = models::all().into_iter().map(|it| (it.id, it.instances.len())).collect();
    let said = conversation::messages(&turn.request_id, 0, 10).map_err(|error| error.code);
    let said = said.map(|all| all.into_iter().map(|it| it.text).collect::<Vec<_>>());
    Ok(Verdict::Reply(format!(
        "{} {:?} {} {:?} {seen:?} {said:?}",
        clock::now(),
        // As WASI has it, which other languages ask.
        std::time::SystemTime::now(),
        clock::utc_offset(),
        random::bytes(8),
    )))
});

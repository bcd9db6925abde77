//! Asks every capability and answers with what it was told, a line each.

use guests::prelude::*;

guests::guest!(warm "asks", |turn| {
    let options = residency::LoadOptions { context_length: None, pin: true, extra: Vec::new() };
    let request = http::Request {
        method: "GET".to_owned(),
        url: "http://127.0.0.1/".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 100,
    };
    let code = |error: Error| error.code;
    let lines = [
        format!("models {}", models::all().len()),
        format!("find {:?}", models::find("otter").map(|model| model.id)),
        format!("load {:?}", residency::load("otter", &options).map_err(code)),
        format!("unload {:?}", residency::unload("otter").map_err(code)),
        format!("session {:?}", sessions::model(&turn.session)),
        format!("messages {:?}", conversation::messages(&turn.request_id, 0, 1).map(drop).map_err(code)),
        format!("complete {:?}", inference::complete("m", "s", "u", 1).map_err(code)),
        format!("get {:?}", kv::get("key").map_err(code)),
        format!("send {:?}", http::send(&request).map(drop).map_err(code)),
        format!("skills {}", activity::skills().len()),
        format!("clock {}", clock::now() > 1.7e12),
        format!("random {} {}", random::bytes(16).len(), random::bytes(16) != random::bytes(16)),
    ];
    Ok(Verdict::Reply(lines.join("\n")))
});

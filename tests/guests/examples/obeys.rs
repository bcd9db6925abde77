//! Does so much of something: `VERB N`, and answers with what came of it. Settings with `ponder` make it ponder in
//! `configure` too.

use guests::prelude::*;

/// Computes for a while: a million rounds are a millisecond or so.
fn ponder(millions: usize) -> u64 {
    let mut sum = 0_u64;
    for round in 0..millions as u64 * 1_000_000 {
        sum = std::hint::black_box(sum ^ round);
    }
    sum
}

#[inline(never)]
fn dig(depth: usize) -> usize {
    if std::hint::black_box(depth) == 0 { 0 } else { dig(depth - 1) + std::hint::black_box(1) }
}

fn send(headers: usize, bytes: usize) -> Result<(), Error> {
    let (method, url) = ("POST".to_owned(), "http://localhost/".to_owned());
    let headers = vec![("a".to_owned(), "b".to_owned()); headers];
    http::send(&http::Request { method, url, headers, body: vec![0; bytes], timeout_ms: 0 }).map(drop)
}

fn infer() -> Result<(), Error> {
    inference::complete("otter", "", "Hello", 1).map(drop)
}

fn embed(inputs: usize, bytes: usize) -> Result<(), Error> {
    inference::embed("embedder", &vec!["x".repeat(bytes); inputs]).map(drop)
}

/// What came of the last of so many.
fn last_of(count: usize, call: impl Fn() -> Result<(), Error>) -> String {
    let mut last = Ok(());
    for _ in 0..count {
        last = call();
    }
    told(last)
}

fn told<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    format!("{:?}", result.map_err(|error| error.code))
}

/// Keys that are written in one call.
const KEYS: usize = 500;

fn keep_many(from: usize) -> Result<(), Error> {
    (from..from + KEYS).try_for_each(|number| kv::set(&format!("{number:05}"), b"1"))
}

/// How many messages are read, and the bytes of the longest.
fn read(request: &str, limit: u32) -> Result<(usize, usize), Error> {
    let messages = conversation::messages(request, 0, limit)?;
    Ok((messages.len(), messages.iter().map(|it| it.text.len()).max().unwrap_or_default()))
}

fn obey(verb: &str, count: usize, request: &str) -> Option<String> {
    Some(match verb {
        "answer" => "x".repeat(count),
        "call" => (0..count).fold(0.0, |_, _| clock::now()).to_string(),
        "dig" => dig(count).to_string(),
        "ponder" => ponder(count).to_string(),
        "take" => std::hint::black_box(vec![1_u8; count]).len().to_string(),
        "random" => random::bytes(count as u32).len().to_string(),
        "log" => {
            (0..count).for_each(|line| log::write(log::Level::Info, &format!("line {line}")));
            "logged".to_owned()
        }
        "log-bytes" => {
            log::write(log::Level::Info, &"x".repeat(count));
            "logged".to_owned()
        }
        "send" => last_of(count, || send(0, 0)),
        "send-headers" => told(send(count, 0)),
        "send-bytes" => told(send(0, count)),
        "infer" => last_of(count, infer),
        "embed" => told(embed(count, 1)),
        "embed-bytes" => told(embed(1, count)),
        "keep" => told(kv::set("key", &vec![0; count])),
        "keep-from" => told(keep_many(count)),
        "keys" => told(kv::keys("").map(|keys| keys.len())),
        "read" => told(read(request, count as u32)),
        "read-body" => told(conversation::body(request).map(|body| body.len())),
        "keep-under" => told(kv::set(&"k".repeat(count), b"value")),
        _ => return None,
    })
}

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        guests::manifest("obeys", true)
    }

    fn configure(settings: String) -> Result<(), Error> {
        if settings.contains("ponder") {
            ponder(100);
        }
        Ok(())
    }
}

impl RequestHook for Component {
    fn on_request(turn: Turn) -> Result<Verdict, Error> {
        let order = turn.user_text.split_once(' ');
        let order = order.and_then(|(verb, count)| Some((verb, count.parse().ok()?)));
        Ok(order
            .and_then(|(verb, count)| obey(verb, count, &turn.request_id))
            .map_or(Verdict::Pass, Verdict::Reply))
    }
}

guests::asked::export!(Component with_types_in guests::asked);

//! Which conversation a request belongs to. Clients say it in many places; the first that exists counts.
//!
//! `x-client-request-id` is never read: in one SDK it names a request, in another a conversation. `traceparent` is not read
//! either, since it changes with every retry.

use std::hash::{DefaultHasher, Hasher};

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::id::SessionKey;
use crate::turn::boilerplate;

/// Headers that carry a session, in order of precedence.
static HEADERS: [HeaderName; 7] = [
    HeaderName::from_static("x-session-id"),
    HeaderName::from_static("x-session-affinity"),
    HeaderName::from_static("session_id"),
    HeaderName::from_static("session-id"),
    HeaderName::from_static("x-claude-code-session-id"),
    HeaderName::from_static("thread-id"),
    HeaderName::from_static("x-litellm-session-id"),
];

/// Where an agent names itself.
const AGENT: HeaderName = HeaderName::from_static("x-pointsman-agent");

/// A key that is sent as Anthropic's clients do.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Bytes of a key that are kept; longer ones are hashed.
const KEY_BYTES_MAX: usize = 128;

/// Bytes of the first user text that tell conversations apart where the client does not.
const HASHED_BYTES_MAX: usize = 4096;

/// All that a request may say of its session.
#[derive(Clone, Copy)]
pub struct Hints<'a> {
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The body's `prompt_cache_key`.
    pub cache_key: Option<&'a str>,
    /// The body's `metadata.user_id`, which Claude Code fills with JSON.
    pub user_id: Option<&'a str>,
    /// The raw text of the first user message.
    pub first_user_text: &'a str,
    /// Its first text, unescaped; asked for only where the client names no session.
    pub first_user_words: &'a dyn Fn() -> Option<String>,
}

/// The session of a request.
pub fn of(hints: Hints<'_>) -> SessionKey {
    let values = HEADERS.iter().flat_map(|name| hints.headers.get_all(name));
    let headers = values.filter_map(|value| value.to_str().ok());
    let named = headers.chain(hints.cache_key).map(str::trim).find(|key| !key.is_empty());
    if let Some(named) = named {
        return bounded(named);
    }
    if let Some(id) = hints.user_id.and_then(session_in_user_id) {
        return bounded(&id);
    }
    match boilerplate::runtime_value(hints.first_user_text, "sessionId") {
        Some(id) => bounded(id),
        None => hashed(hints),
    }
}

/// The name of the agent: its own header, OpenClaw's Runtime line, else the product in the user agent.
pub fn agent(headers: &HeaderMap, first_user_text: &str) -> Option<String> {
    let header = |name: HeaderName| headers.get(name)?.to_str().ok();
    let named = header(AGENT).or_else(|| boilerplate::runtime_value(first_user_text, "agent"));
    let product = || header(USER_AGENT)?.split([' ', '/']).next().filter(|name| !name.is_empty());
    named.or_else(product).map(|name| name.chars().take(KEY_BYTES_MAX).collect())
}

fn session_in_user_id(user_id: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(user_id).ok()?;
    value.get("session_id")?.as_str().map(str::to_owned)
}

fn bounded(key: &str) -> SessionKey {
    if key.len() <= KEY_BYTES_MAX && !key.chars().any(char::is_control) {
        return SessionKey::new(key);
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    SessionKey::new(format!("h-{:016x}", hasher.finish()))
}

/// The conversation's first words stand for it where the client names none; a date in front of them does not count.
/// Whatever the client proves itself with keeps it apart from others with the same words.
fn hashed(hints: Hints<'_>) -> SessionKey {
    let words = (hints.first_user_words)();
    let text = words.as_deref().unwrap_or(hints.first_user_text);
    let text = boilerplate::without_date(text.trim_start()).as_bytes();
    let mut hasher = DefaultHasher::new();
    let header = |name: HeaderName| hints.headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    for proof in [header(AUTHORIZATION), header(API_KEY)] {
        hasher.write(proof);
        hasher.write_u8(0);
    }
    hasher.write(text.get(..HASHED_BYTES_MAX).unwrap_or(text));
    SessionKey::new(format!("h-{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::chat;

    fn key(headers: &[(&'static str, &str)], cache: Option<&str>, user: Option<&str>, text: &str) -> String {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let body = format!(r#"{{"messages":[{{"role":"user","content":{text}}}]}}"#);
        let words = || chat::Request::read(body.clone().into()).ok()?.first_user_words();
        let hints = Hints {
            headers: &headers,
            cache_key: cache,
            user_id: user,
            first_user_text: text,
            first_user_words: &words,
        };
        of(hints).to_string()
    }

    #[test]
    fn the_first_that_exists_counts() {
        let user = r#"{"device":"d","session_id":"from-user"}"#;
        let runtime = r#""hi\n\nRuntime: agent=main | sessionId=from-line | os=x""#;
        let affinity = ("x-session-affinity", "aff:0");
        assert_eq!(key(&[affinity, ("x-session-id", "own")], Some("c"), Some(user), runtime), "own");
        assert_eq!(key(&[affinity], Some("c"), Some(user), runtime), "aff:0");
        assert_eq!(key(&[("session_id", "s_1")], Some("c"), Some(user), runtime), "s_1");
        assert_eq!(key(&[("x-client-request-id", "no")], Some("c"), Some(user), runtime), "c");
        assert_eq!(key(&[], None, Some(user), runtime), "from-user");
        assert_eq!(key(&[], None, Some("plain"), runtime), "from-line");
        assert_eq!(key(&[("x-session-id", " "), affinity], None, None, runtime), "aff:0");
        assert_eq!(key(&[("x-session-id", "")], Some("c"), None, runtime), "c");
        assert_eq!(key(&[], Some(""), Some(user), runtime), "from-user");
    }

    #[test]
    fn dates_do_not_split_a_conversation() {
        let monday = key(&[], None, None, r#""[Mon 2026-11-16 09:00 UTC] hello""#);
        let friday = key(&[], None, None, r#""[Fri 2026-11-20 04:43 UTC] hello""#);
        assert_eq!(monday, friday);
        assert_ne!(monday, key(&[], None, None, r#""hello, you""#));
    }

    #[test]
    fn words_count_in_whatever_form_they_come() {
        let plain = key(&[], None, None, r#""[Mon 2026-11-16 09:00 UTC] hell\u006f""#);
        let image = r#"{"type":"image_url","image_url":{"url":"A"}}"#;
        for (parts, same) in [
            (r#"[{"type":"text","text":"hello"}]"#.to_owned(), true),
            (format!(r#"[{image},1,{{"text":"[Fri 2026-11-20 04:43 UTC] hello","type":"text"}}]"#), true),
            (r#"[{"type":"text","text":"hello"},{"type":"text","text":"[a clock]"}]"#.to_owned(), true),
            (r#"[{"type":"text","text":"hello, you"}]"#.to_owned(), false),
            (format!("[{image}]"), false),
        ] {
            assert_eq!(key(&[], None, None, &parts) == plain, same, "{parts}");
        }
        let other = format!("[{}]", image.replace('A', "B"));
        assert_ne!(key(&[], None, None, &format!("[{image}]")), key(&[], None, None, &other));
    }

    #[test]
    fn clients_are_kept_apart() {
        let keys = [
            key(&[], None, None, r#""hello""#),
            key(&[("authorization", "Bearer a")], None, None, r#""hello""#),
            key(&[("authorization", "Bearer b")], None, None, r#""hello""#),
            key(&[("x-api-key", "Bearer a")], None, None, r#""hello""#),
        ];
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len(), "{keys:?}");
    }

    #[test]
    fn an_endless_key_is_hashed() {
        assert_eq!(key(&[("x-session-id", &"x".repeat(1000))], None, None, "").len(), 18);
    }

    #[test]
    fn agents_are_named() {
        let headers = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
        };
        assert_eq!(agent(&headers("user-agent", "OpenAI/JS 7.15.0"), ""), Some("OpenAI".to_owned()));
        let line = r"x\n\nRuntime: agent=coder | host=h";
        assert_eq!(agent(&headers("user-agent", "OpenAI/JS 7.15.0"), line), Some("coder".to_owned()));
        assert_eq!(agent(&headers("x-pointsman-agent", "mine"), line), Some("mine".to_owned()));
        assert_eq!(agent(&HeaderMap::new(), ""), None);
    }
}

//! What one pass over a request finds.

use super::*;

fn read(body: &str) -> Request {
    Request::read(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

/// An agent's conversation with everything in it that has misled gateways: an image in an earlier turn, tool results, a
/// synthetic user message at the end.
const AGENT: &str = r#"{
  "messages": [
    {"role":"system","content":"You are a personal assistant. \"translate\" is a word."},
    {"role":"user","content":"[Fri 2026-11-20 04:43 UTC] first question\n\nRuntime: agent=main | session=agent:main:K | sessionId=7f-3a | shell=bash"},
    {"role":"assistant","content":"first answer"},
    {"role":"user","content":[{"type":"text","text":"look at this"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},
    {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"read","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"1","content":"[\"x\"]"},
    {"role":"user","content":[{"type":"text","text":"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>> none <<<END_OPENCLAW_INTERNAL_CONTEXT>>>"}]}
  ],
  "stream": true, "max_completion_tokens": 8192, "prompt_cache_key":"abc:0",
  "metadata":{"user_id":"{\"session_id\":\"s\"}"},
  "tools":[{"type":"function","function":{"name":"edit","parameters":{"name":"no"}}},{"name":"flat"}],
  "model":"auto"
}"#;

#[test]
fn an_agents_request_is_understood() {
    let request = read(AGENT);
    assert_eq!((request.model.as_str(), request.stream, request.message_count()), ("auto", true, 7));
    assert_eq!(request.max_output_tokens, Some(8192));
    assert_eq!(request.cache_key.as_deref(), Some("abc:0"));
    assert_eq!(request.user_id.as_deref(), Some(r#"{"session_id":"s"}"#));
    assert_eq!(request.tools, ["edit", "flat"]);
    assert!(request.continues_turn());
    assert_eq!(request.user_text, "");
    assert_eq!(request.turn_media().map(|part| part.kind).collect::<Vec<_>>(), [MediaKind::Image]);
    assert_eq!(request.media().filter(|part| request.is_earlier(part)).count(), 0);
    assert_eq!(request.media_kinds(), [MediaKind::Image]);
    assert!(request.first_user_text().contains("sessionId=7f-3a"));
}

#[test]
fn the_span_since_the_last_answer_is_the_turn() {
    let request = read(
        r#"{"model":"m","messages":[{"role":"user","content":"old"},{"role":"assistant","content":[{"type":"text","text":"the answer"}]},
        {"role":"user","content":"<system-reminder>translate</system-reminder>new"},
        {"role":"user","content":[{"type":"text","text":"and \u00fcber"},{"type":"image_url","image_url":{"url":"u"}},{"type":"file","file":{}}]}]}"#,
    );
    assert_eq!(request.user_text, "new\nand über");
    assert_eq!(request.last_answer(), "the answer");
    assert!(!request.continues_turn());
    let kinds: Vec<_> = request.turn_media().map(|part| part.kind).collect();
    assert_eq!(kinds, [MediaKind::Image, MediaKind::Document]);
}

#[test]
fn keys_are_compared_unescaped_and_the_last_one_decides() {
    let request = read(r#"{"model":"a","m\u006fdel":"b","messages":[],"x":{"model":"no"}}"#);
    assert_eq!(request.model, "b");
    let values: Vec<_> = request
        .model_values()
        .iter()
        .map(|range| String::from_utf8_lossy(request.bytes(range)).into_owned())
        .collect();
    assert_eq!(values, [r#""a""#, r#""b""#]);
}

#[test]
fn bodies_that_are_no_request_are_refused() {
    let refused = |body: &[u8]| Request::read(Bytes::copy_from_slice(body)).unwrap_err();
    assert_eq!(refused(b"{}"), ReadError::NoMessages);
    assert_eq!(refused(br#"{"messages":"x"}"#), ReadError::NoMessages);
    assert_eq!(refused(b"\xff"), ReadError::NotUtf8);
    assert!(matches!(refused(b"[]"), ReadError::Malformed(_)));
    assert!(matches!(refused(br#"{"messages":["#), ReadError::Malformed(_)));
}

#[test]
fn odd_messages_do_not_stop_the_scan() {
    let request =
        read(r#"{"messages":[1,null,{"role":"user"},{"content":"hi"},{"role":"user","content":["x"]}]}"#);
    assert_eq!(request.user_text, "hi");
    assert_eq!(request.message_count(), 3);
}

#[test]
fn tokens_are_estimated_without_the_media() {
    let request = read(
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}]}]}"#,
    );
    assert_eq!(request.estimated_tokens(), 256 + r#"{"role":"user","content":[]}"#.len() as u32 / 4);
}

#[test]
fn calls_and_reasoning_are_part_of_the_prompt() {
    let arguments = "a".repeat(4000);
    let request = read(&format!(
        r#"{{"messages":[{{"role":"assistant","content":null,"reasoning":"{arguments}","tool_calls":[{{"function":{{"arguments":"{arguments}"}}}}]}}]}}"#
    ));
    assert!((2000..2100).contains(&request.estimated_tokens()), "{}", request.estimated_tokens());
}

#[test]
fn this_turns_media_are_never_earlier_ones() {
    let image = |url: &str| {
        format!(r#"{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}"#)
    };
    let (old, new) = (image("old"), image("new"));
    let (said, calls) =
        (r#"{"role":"assistant","content":"x"}"#, r#"{"role":"assistant","tool_calls":[{}]}"#);
    let (tool, user, system) = (
        r#"{"role":"tool","content":"r"}"#,
        r#"{"role":"user","content":"u"}"#,
        r#"{"role":"system","content":"s"}"#,
    );
    let cases: [(&[&str], usize, usize); 9] = [
        (&[&old, said, &new], 1, 1),
        (&[&old, said, &new, user], 1, 1),
        (&[&old, said, &new, calls, tool], 1, 1),
        (&[&old, said, &new, calls, tool, user, calls, tool, tool, user], 1, 1),
        (&[&old, said, &new, said, calls, tool, system], 1, 1),
        (&[&new, calls, tool], 0, 1),
        (&[&old, said, user, calls, tool], 1, 0),
        (&[&old, calls, tool, said, user], 1, 0),
        // The assistant's words are to be gone on with: its turn's picture stays, and nothing is new to a skill.
        (&[&old, said, &new, said], 1, 0),
    ];
    for (messages, earlier, of_turn) in cases {
        let request = read(&format!(r#"{{"messages":[{}]}}"#, messages.join(",")));
        let counts =
            (request.media().filter(|part| request.is_earlier(part)).count(), request.turn_media().count());
        assert_eq!(counts, (earlier, of_turn), "{messages:?}");
    }
}

#[test]
fn half_an_emoji_does_not_hide_the_words() {
    let request =
        read(r#"{"messages":[{"role":"user","content":[{"type":"text","text":"translate \ud83d"}]}]}"#);
    assert_eq!(request.user_text, "translate \u{fffd}");
}

#[test]
fn a_models_name_has_a_limit() {
    let named = |length: usize| format!(r#"{{"model":"{}","messages":[]}}"#, "m".repeat(length));
    assert_eq!(read(&named(MODEL_BYTES_MAX)).model.len(), MODEL_BYTES_MAX);
    let refused = Request::read(Bytes::from(named(MODEL_BYTES_MAX + 1)));
    assert_eq!(refused.unwrap_err(), ReadError::ModelTooLong);
}

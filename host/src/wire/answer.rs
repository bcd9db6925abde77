//! What the gateway reads of a chat answer on its way through: who served, how it ended, what it cost. Frames that carry
//! nothing but text cost two substring searches; only the few that say more are parsed.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::fault;
use super::json::{self, Malformed, Scanner, Shape};
use super::sse::Frame;

/// Tokens of one answer, as the provider counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: Option<u32>,
    /// Of the answer.
    pub completion_tokens: Option<u32>,
}

/// What has been seen of an answer so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watch {
    /// The model that the first frame names: with LM Studio the instance that served.
    pub model: Option<String>,
    /// The finish reason.
    pub finish: Option<String>,
    /// The message calls tools, so its turn goes on.
    pub tool_calls: bool,
    /// Present where the client asked for it, or the answer is not streamed.
    pub usage: Option<Usage>,
    frames: usize,
}

/// What one frame of a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A comment: proof of life, nothing else.
    Comment,
    /// Part of the answer.
    Delta,
    /// The provider failed after its 200; its message.
    Error(String),
    /// The terminator.
    Done,
}

/// The few keys of an answer or chunk that are acted on. One of an unheard-of shape counts as missing and does not take the
/// others with it.
#[derive(Default)]
struct Skeleton {
    model: Option<String>,
    choices: usize,
    finish: Option<String>,
    calls_tools: bool,
    usage: Option<Usage>,
}

static CHOICES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"choices\""));
static FINISH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"finish_reason\""));
static TOOL_CALLS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"tool_calls\""));
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));

// === impl Watch ===

impl Watch {
    /// Takes in one frame of a stream.
    pub fn frame(&mut self, frame: &Frame) -> Seen {
        let Some(data) = frame.data() else { return Seen::Comment };
        if data == b"[DONE]" {
            return Seen::Done;
        }
        let named_error = frame.event().is_some_and(|event| event == b"error");
        if (named_error || CHOICES.find(data).is_none())
            && let Some(message) = fault::message_in(data)
        {
            return Seen::Error(message);
        }
        self.frames += 1;
        self.tool_calls = self.tool_calls || calls_tools(data);
        if self.frames == 1 || says_more(data) {
            self.note(Skeleton::read(data).unwrap_or_default());
        }
        Seen::Delta
    }

    /// Takes in a whole answer that is not streamed; the provider's message where it is an error in disguise (LM Studio
    /// answers unknown routes with 200 and a string).
    pub fn whole(&mut self, body: &[u8]) -> Result<(), String> {
        match Skeleton::read(body) {
            Ok(skeleton) if skeleton.choices > 0 => {
                self.note(skeleton);
                Ok(())
            }
            _ => {
                Err(fault::message_in(body)
                    .unwrap_or_else(|| "the answer is not a chat completion".to_owned()))
            }
        }
    }

    /// Takes in what became of the message's calls: whether the client has any, where there were some, and what was spent
    /// for them beside this answer.
    pub fn settle(&mut self, has_called: Option<bool>, spent: Usage) {
        if spent != Usage::default() {
            self.usage = Some(spent.plus(self.usage.unwrap_or_default()));
        }
        self.tool_calls = has_called.unwrap_or(self.tool_calls);
        if has_called == Some(false) && self.finish.as_deref() == Some("tool_calls") {
            self.finish = Some("stop".to_owned());
        }
    }

    fn note(&mut self, skeleton: Skeleton) {
        self.model = self.model.take().or(skeleton.model);
        self.usage = skeleton.usage.or(self.usage);
        self.tool_calls |= skeleton.calls_tools || skeleton.finish.as_deref() == Some("tool_calls");
        self.finish = skeleton.finish.or(self.finish.take());
    }
}

// === impl Skeleton ===

impl Skeleton {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut skeleton = Self::default();
        let mut scan = Scanner::new(body);
        scan.object(|scan, key| {
            if json::key_is(key, "choices") && scan.shape()? == Shape::Array {
                return scan.array(|scan| skeleton.choice(scan, body));
            }
            if json::key_is(key, "usage") && scan.shape()? == Shape::Object {
                skeleton.usage = Some(Usage::read(scan, body)?);
                return Ok(());
            }
            let value = scan.value()?;
            if json::key_is(key, "model") {
                skeleton.model = text(body, value);
            }
            Ok(())
        })?;
        scan.end()?;
        Ok(skeleton)
    }

    fn choice(&mut self, scan: &mut Scanner<'_>, body: &[u8]) -> Result<(), Malformed> {
        self.choices += 1;
        scan.any_object(|scan, key| {
            if json::key_is(key, "message") {
                return scan.any_object(|scan, key| self.message(scan, key));
            }
            let value = scan.value()?;
            if json::key_is(key, "finish_reason") {
                self.finish = text(body, value).or(self.finish.take());
            }
            Ok(())
        })
    }

    fn message(&mut self, scan: &mut Scanner<'_>, key: &[u8]) -> Result<(), Malformed> {
        if !json::key_is(key, "tool_calls") || scan.shape()? != Shape::Array {
            return scan.value().map(|_| ());
        }
        scan.array(|scan| {
            self.calls_tools = true;
            scan.value().map(|_| ())
        })
    }
}

// === impl Usage ===

impl Usage {
    /// Both together. What neither counts stays uncounted.
    pub fn plus(self, more: Self) -> Self {
        let sum = |one: Option<u32>, other: Option<u32>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            _ => one.or(other),
        };
        Self {
            prompt_tokens: sum(self.prompt_tokens, more.prompt_tokens),
            completion_tokens: sum(self.completion_tokens, more.completion_tokens),
        }
    }

    fn read(scan: &mut Scanner<'_>, body: &[u8]) -> Result<Self, Malformed> {
        let mut usage = Self::default();
        scan.object(|scan, key| {
            let value = scan.value()?;
            if json::key_is(key, "prompt_tokens") {
                usage.prompt_tokens = count(body, value);
            } else if json::key_is(key, "completion_tokens") {
                usage.completion_tokens = count(body, value);
            }
            Ok(())
        })?;
        Ok(usage)
    }
}

/// The text of a string; none of any other value.
fn text(body: &[u8], value: Range<usize>) -> Option<String> {
    json::text(body.get(value)?)
}

/// A number that is no less than zero, whether or not it is written with a point.
fn count(body: &[u8], value: Range<usize>) -> Option<u32> {
    let number: f64 = std::str::from_utf8(body.get(value)?).ok()?.parse().ok()?;
    (number >= 0.0).then_some(number as u32)
}

/// A frame with a finish reason or with usage. Within the model's own text both keys stand escaped, so a plain search
/// for them finds only the frame's; and text that ends in one, whose value does not follow.
fn says_more(data: &[u8]) -> bool {
    is_followed(&FINISH, data, b"\"") || is_followed(&USAGE, data, b"{")
}

/// A delta with a tool call in it. Some servers end such an answer with `stop`, as if it had called none.
fn calls_tools(data: &[u8]) -> bool {
    is_followed(&TOOL_CALLS, data, b"[{")
}

/// Is a key followed by this, less colons and white space?
fn is_followed(key: &Finder<'_>, data: &[u8], value: &[u8]) -> bool {
    key.find_iter(data).any(|at| {
        let rest = data.get(at + key.needle().len()..).unwrap_or_default();
        let rest = rest.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b':');
        rest.take(value.len()).eq(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse::Decoder;
    use bytes::Bytes;

    fn watch(stream: &str) -> (Watch, Vec<Seen>) {
        let mut frames = Vec::new();
        Decoder::default().feed(Bytes::copy_from_slice(stream.as_bytes()), &mut frames).unwrap();
        let mut watch = Watch::default();
        let seen = frames.iter().map(|frame| watch.frame(frame)).collect();
        (watch, seen)
    }

    #[test]
    fn a_stream_is_followed_to_its_end() {
        let (watch, seen) = watch(concat!(
            ": loading\n\n",
            "data: {\"model\":\"a:2\",\"choices\":[{\"delta\":{\"content\":\"{\\\"finish_reason\\\":\\\"x\\\"}\"},\"finish_reason\":null}]}\n\n",
            "data: {\"model\":\"other\",\"choices\":[{\"delta\":{},\"finish_reason\": \"tool_calls\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}\n\n",
            "data: [DONE]\n\n",
        ));
        assert_eq!(seen, [Seen::Comment, Seen::Delta, Seen::Delta, Seen::Delta, Seen::Done]);
        assert_eq!((watch.model.as_deref(), watch.finish.as_deref()), (Some("a:2"), Some("tool_calls")));
        assert!(watch.tool_calls);
        assert_eq!(watch.usage, Some(Usage { prompt_tokens: Some(12), completion_tokens: Some(3) }));
    }

    #[test]
    fn a_tool_call_is_seen_before_its_end() {
        let chunk = |delta: &str| {
            format!(
                "data: {{\"model\":\"m\",\"choices\":[{{\"delta\":{{{delta}}},\"finish_reason\":null}}]}}\n\n"
            )
        };
        let stop = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
        for (delta, calls) in [
            (r#""tool_calls":[{"index":0}]"#, true),
            (r#""tool_calls" : [ {"index":0}]"#, true),
            (r#""tool_calls":[]"#, false),
            (r#""tool_calls":null"#, false),
            (r#""content":"\"tool_calls\":[{""#, false),
            (r#""content":"\"tool_calls","tool_calls":[{"index":0}]"#, true),
        ] {
            let (watch, _) = watch(&(chunk(r#""content":"""#) + &chunk(delta) + stop));
            assert_eq!((watch.tool_calls, watch.finish.as_deref()), (calls, Some("stop")), "{delta}");
        }
    }

    #[test]
    fn one_odd_value_does_not_hide_the_others() {
        let mut watch = Watch::default();
        let body = r#"{"model":7,"choices":[1,{"message":"x","finish_reason":0},{"finish_reason":"length"}],"usage":{"prompt_tokens":12.0,"completion_tokens":"3"}}"#;
        watch.whole(body.as_bytes()).unwrap();
        assert_eq!((&watch.model, watch.finish.as_deref()), (&None, Some("length")));
        assert_eq!(watch.usage, Some(Usage { prompt_tokens: Some(12), completion_tokens: None }));
        let half =
            r#"{"model":"m","choices":[{"message":{"content":"\ud83d","tool_calls":[{}]}}],"usage":3}"#;
        watch.whole(half.as_bytes()).unwrap();
        assert!(watch.tool_calls && watch.model.as_deref() == Some("m"));
        for none in [r#"{"choices":[]}"#, r#"{"choices":null}"#, r#"{"choices":{}}"#, "{}", "[]"] {
            assert!(watch.whole(none.as_bytes()).is_err(), "{none}");
        }
    }

    #[test]
    fn errors_in_a_stream_are_seen() {
        for stream in [
            "event: error\ndata: {\"error\":{\"message\":\"Model unloaded.\"},\"message\":\"Model unloaded.\"}\n\n",
            "data: {\"error\":\"Model unloaded.\"}\n\n",
            "data: {\"error\":{\"message\":\"Model unloaded.\"}}\n\n",
        ] {
            assert_eq!(watch(stream).1, [Seen::Error("Model unloaded.".to_owned())]);
        }
    }

    #[test]
    fn a_whole_answer_is_read() {
        let mut watch = Watch::default();
        let body = r#"{"model":"m","choices":[{"message":{"content":"","tool_calls":[]},"finish_reason":"stop"}],"usage":{}}"#;
        watch.whole(body.as_bytes()).unwrap();
        assert_eq!(
            (watch.model.as_deref(), watch.finish.as_deref(), watch.tool_calls),
            (Some("m"), Some("stop"), false)
        );
        let calls = r#"{"choices":[{"message":{"tool_calls":[{}]},"finish_reason":"stop"}]}"#;
        watch.whole(calls.as_bytes()).unwrap();
        assert!(watch.tool_calls);
        let disguised = Watch::default().whole(br#"{"error":"Unexpected endpoint or method. (POST /x)"}"#);
        assert_eq!(disguised.unwrap_err(), "Unexpected endpoint or method. (POST /x)");
        assert!(Watch::default().whole(b"<html>").is_err());
    }
}

//! A structural scan over JSON text: where values begin and end, without building any. Strings are skipped from quote to
//! quote, so an agent's 40 KB body costs a fraction of a parse.
//!
//! It is a scan, not a validator: it refuses what it cannot find its way through (unbalanced brackets, missing colons,
//! text after the end), and leaves the spelling of numbers and literals to whoever reads the value. Depth is bounded by
//! [`DEPTH_MAX`].

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;
use wide::u8x16;

/// Nesting that is still followed; real requests stay below 30.
pub const DEPTH_MAX: usize = 256;

/// Where in the text the scan lost its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid JSON at byte {at}")]
pub struct Malformed {
    /// Offset in bytes.
    pub at: usize,
}

/// A position in JSON text.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

/// What kind of value begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A number, `true`, `false` or `null`.
    Scalar,
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    /// A scan from the beginning of the text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// A scan of the value that lies in `range`.
    pub fn within(text: &'a [u8], range: &Range<usize>) -> Self {
        Self { text: text.get(..range.end).unwrap_or_default(), at: range.start, depth: 0 }
    }

    /// The current offset.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The kind of the value that comes next.
    pub fn shape(&mut self) -> Result<Shape, Malformed> {
        match self.peek()? {
            b'{' => Ok(Shape::Object),
            b'[' => Ok(Shape::Array),
            b'"' => Ok(Shape::String),
            b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => Ok(Shape::Scalar),
            _ => Err(self.lost()),
        }
    }

    /// Walks an object. `visit` is given each key (raw, between its quotes) with the scan standing at the value, and must
    /// consume that value.
    pub fn object(
        &mut self,
        mut visit: impl FnMut(&mut Self, &'a [u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.enter(b'{')?;
        if self.take(b'}')? {
            return self.leave();
        }
        loop {
            let key = self.string()?;
            let key = self.text.get(key.start + 1..key.end.saturating_sub(1)).unwrap_or_default();
            self.expect(b':')?;
            visit(self, key)?;
            if self.take(b'}')? {
                return self.leave();
            }
            self.expect(b',')?;
        }
    }

    /// Walks an object as [`Self::object`] does; any other value is stepped over.
    pub fn any_object(
        &mut self,
        visit: impl FnMut(&mut Self, &'a [u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.shape()? == Shape::Object { self.object(visit) } else { self.value().map(|_| ()) }
    }

    /// Walks an array. `visit` stands at each element and must consume it.
    pub fn array(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.enter(b'[')?;
        if self.take(b']')? {
            return self.leave();
        }
        loop {
            visit(self)?;
            if self.take(b']')? {
                return self.leave();
            }
            self.expect(b',')?;
        }
    }

    /// Steps over a string; the range includes its quotes.
    pub fn string(&mut self) -> Result<Range<usize>, Malformed> {
        self.expect(b'"')?;
        let start = self.at - 1;
        loop {
            let Some(quote) = quote(self.text, self.at) else { return Err(Malformed { at: start }) };
            let before = self.text.get(self.at..quote).unwrap_or_default();
            self.at = quote + 1;
            let backslashes = before.iter().rev().take_while(|&&byte| byte == b'\\').count();
            if backslashes % 2 == 0 {
                return Ok(start..self.at);
            }
        }
    }

    /// Steps over any value; the range is exactly the value.
    pub fn value(&mut self) -> Result<Range<usize>, Malformed> {
        match self.shape()? {
            Shape::String => self.string(),
            Shape::Object | Shape::Array => self.nested(),
            Shape::Scalar => {
                let start = self.at;
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                let rest = self.text.get(start..).unwrap_or_default();
                self.at += rest.iter().position(ends).unwrap_or(rest.len());
                Ok(start..self.at)
            }
        }
    }

    /// Steps over an object or array by counting brackets outside strings.
    fn nested(&mut self) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        let mut open = 0_usize;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                b'}' | b']' => {
                    open -= 1;
                    if open == 0 {
                        self.at += 1;
                        return Ok(start..self.at);
                    }
                }
                _ => {}
            }
            if open > DEPTH_MAX {
                return Err(self.lost());
            }
            self.at += 1;
        }
        Err(Malformed { at: start })
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => Err(self.lost()),
        }
    }

    /// The byte that comes next, past white space.
    fn peek(&mut self) -> Result<u8, Malformed> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(self.lost())
    }

    fn take(&mut self, byte: u8) -> Result<bool, Malformed> {
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte)? { Ok(()) } else { Err(self.lost()) }
    }

    fn enter(&mut self, bracket: u8) -> Result<(), Malformed> {
        self.expect(bracket)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.lost()) } else { Ok(()) }
    }

    fn leave(&mut self) -> Result<(), Malformed> {
        self.depth -= 1;
        Ok(())
    }

    fn lost(&self) -> Malformed {
        Malformed { at: self.at }
    }
}

/// Blocks looked at one by one before the search for a far quote begins.
const NEAR_BLOCKS: usize = 4;

/// The next quote at or after `at`. In JSON it is mostly a few bytes away (keys, escaped quotes), where comparing a block at
/// a time beats the start of a long search by a third of the whole scan.
fn quote(text: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..NEAR_BLOCKS {
        let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk) else { break };
        let quotes = u8x16::new(*block).simd_eq(u8x16::splat(b'"')).to_bitmask();
        if quotes != 0 {
            return Some(at + usize::try_from(quotes.trailing_zeros()).unwrap_or_default());
        }
        at += block.len();
    }
    memchr(b'"', text.get(at..)?).map(|far| at + far)
}

/// Is this raw key (between its quotes) the given name? Keys are compared unescaped.
pub fn key_is(raw: &[u8], name: &str) -> bool {
    if memchr(b'\\', raw).is_none() { raw == name.as_bytes() } else { key(raw) == name }
}

/// A raw key (between its quotes), unescaped.
pub fn key(raw: &[u8]) -> String {
    let quoted = [b"\"", raw, b"\""].concat();
    text(&quoted).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned())
}

/// The text of a raw string (with its quotes), unescaped; none where the value is no string. An escape that stands for
/// no character is read as U+FFFD: half of a surrogate pair is what is left of an emoji that a client cut in two.
pub fn text(raw: &[u8]) -> Option<String> {
    serde_json::from_slice(raw).or_else(|_| serde_json::from_slice(&mended(raw))).ok()
}

/// JSON in which every escape stands for a character; the others have become U+FFFD.
pub fn mended(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(backslash) = raw.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        let start = at + backslash;
        let (length, is_whole) = escape(raw.get(start..).unwrap_or_default());
        at = start + length;
        if !is_whole {
            mended.extend_from_slice(raw.get(copied..start).unwrap_or_default());
            mended.extend_from_slice(b"\\ufffd");
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(raw);
    }
    mended.extend_from_slice(raw.get(copied..).unwrap_or_default());
    Cow::Owned(mended)
}

/// Length of the escape that `text` begins with, a surrogate pair being one; and whether it stands for a character.
fn escape(text: &[u8]) -> (usize, bool) {
    match text.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => (2, true),
        Some(b'u') => match (code_unit(text), text.get(6..).and_then(code_unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, true),
            (Some(0xd800..=0xdfff), _) => (6, false),
            (Some(_), _) => (6, true),
            (None, _) => (2, false),
        },
        // The next byte may be a character's first, which must not be torn from the rest.
        _ => (1, false),
    }
}

/// The number in a `\uXXXX` at the beginning of `text`.
fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Vec<(String, String)>, Malformed> {
        let mut found = Vec::new();
        let mut scan = Scanner::new(text.as_bytes());
        scan.object(|scan, key| {
            let value = scan.value()?;
            found.push((String::from_utf8_lossy(key).into_owned(), text[value].to_owned()));
            Ok(())
        })?;
        scan.end()?;
        Ok(found)
    }

    #[test]
    fn values_are_found_whole() {
        let text = r#" { "a" : 1.5e3 , "b":"x\"},\\" , "c":[{"d":"]"},[]] ,"e":null,"":{}} "#;
        let pairs = keys(text).unwrap();
        let expected =
            [("a", "1.5e3"), ("b", r#""x\"},\\""#), ("c", r#"[{"d":"]"},[]]"#), ("e", "null"), ("", "{}")];
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn what_is_broken_is_refused() {
        for text in
            ["", "[]", "{", r#"{"a""#, r#"{"a":1"#, r#"{"a":"x}"#, r#"{"a":1} x"#, r#"{"a" 1}"#, r#"{"a":]}"#]
        {
            assert!(keys(text).is_err(), "{text}");
        }
        assert!(keys(&format!(r#"{{"a":{}1{}}}"#, "[".repeat(300), "]".repeat(300))).is_err());
    }

    #[test]
    fn broken_escapes_cost_no_more_than_themselves() {
        let cases = [
            (r#""plain \" \ud83d\ude00 \u00fc""#, "plain \" 😀 ü"),
            (r#""half \ud83d""#, "half \u{fffd}"),
            (r#""\ude00 other half""#, "\u{fffd} other half"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud83d\n\\ud83d""#, "\u{fffd}\n\\ud83d"),
            (r#""\qü \u12 x""#, "\u{fffd}qü \u{fffd}12 x"),
        ];
        for (raw, expected) in cases {
            assert_eq!(text(raw.as_bytes()).as_deref(), Some(expected), "{raw}");
        }
        assert_eq!(text(b"1"), None);
        assert!(matches!(mended(br#"{"a":"\ud83d\ude00"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn keys_are_compared_unescaped() {
        assert!(key_is(b"model", "model"));
        assert!(key_is(br"m\u006fdel", "model"));
        assert!(!key_is(br"m\u006fdels", "model"));
        assert!(!key_is(br"mod\q", "model"));
    }
}

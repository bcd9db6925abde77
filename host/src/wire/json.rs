//! A structural scan over JSON text: where values begin and end, without building any. Strings are skipped from quote to
//! quote, so an agent's 40 KB body costs a fraction of a parse.
//!
//! It is a scan, not a validator: it refuses what it cannot find its way through (unbalanced brackets, missing colons,
//! text after the end), and leaves the spelling of numbers and literals to whoever reads the value. Depth is bounded by
//! [`DEPTH_MAX`].

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};
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
        let closing = near_quote(self.text, self.at).or_else(|| far_quote(self.text, self.at));
        self.at = closing.ok_or(Malformed { at: start })? + 1;
        Ok(start..self.at)
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

/// Bytes that are looked at in one go.
const BLOCK: usize = 64;

/// Bit of every other byte of a block, beginning with the first.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// The closing quote, if it is among the next few bytes and nothing is escaped before it: so it is for nearly every key
/// and most values.
fn near_quote(text: &[u8], at: usize) -> Option<usize> {
    let next = u8x16::new(*text.get(at..)?.first_chunk()?);
    let quotes = mask(next, b'"');
    let is_plain = quotes != 0 && mask(next, b'\\').trailing_zeros() > quotes.trailing_zeros();
    is_plain.then(|| at + usize::try_from(quotes.trailing_zeros()).unwrap_or_default())
}

/// The closing quote wherever it is: the first that is not escaped. Whole blocks are turned into bits, so that a text full
/// of escapes costs no more than one without.
fn far_quote(text: &[u8], mut at: usize) -> Option<usize> {
    let mut is_escaped = 0;
    loop {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let mut padded = [0; BLOCK];
        let block: &[u8; BLOCK] = match rest.first_chunk() {
            Some(block) => block,
            None => {
                padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                &padded
            }
        };
        let (quotes, backslashes) = quotes_and_backslashes(block);
        let closing = quotes & !escaped(backslashes, &mut is_escaped);
        if closing != 0 {
            return Some(at + usize::try_from(closing.trailing_zeros()).unwrap_or_default());
        }
        at += BLOCK;
    }
}

/// One bit for each byte of a block that is a quote, and one for each that is a backslash.
fn quotes_and_backslashes(block: &[u8; BLOCK]) -> (u64, u64) {
    let (quarters, _) = block.as_chunks();
    let mut bits = (0, 0);
    for quarter in quarters.iter().rev() {
        let bytes = u8x16::new(*quarter);
        bits.0 = (bits.0 << 16) | u64::from(mask(bytes, b'"'));
        bits.1 = (bits.1 << 16) | u64::from(mask(bytes, b'\\'));
    }
    bits
}

fn mask(bytes: u8x16, byte: u8) -> u32 {
    bytes.simd_eq(u8x16::splat(byte)).to_bitmask()
}

/// The bytes of a block that follow an odd number of backslashes. `carried` says whether the first of them is escaped by
/// the block before, and then whether this block escapes the next.
///
/// Runs of backslashes that begin at an odd place are carried out by an addition; where a run ends then tells whether it
/// was odd. The way was found by the authors of simdjson (Langdale and Lemire, 2019).
fn escaped(backslashes: u64, carried: &mut u64) -> u64 {
    if backslashes == 0 {
        return std::mem::take(carried);
    }
    let backslashes = backslashes & !*carried;
    let follows = (backslashes << 1) | *carried;
    let odd_starts = backslashes & !EVEN & !follows;
    let (even_sequences, overflows) = odd_starts.overflowing_add(backslashes);
    *carried = u64::from(overflows);
    (EVEN ^ (even_sequences << 1)) & follows
}

/// Is this raw key (between its quotes) the given name? Keys are compared unescaped.
pub fn key_is(raw: &[u8], name: &str) -> bool {
    // An escape is longer than what it stands for.
    raw == name.as_bytes() || (raw.len() > name.len() && raw.contains(&b'\\') && key(raw) == name)
}

/// A raw key (between its quotes), unescaped.
pub fn key(raw: &[u8]) -> String {
    let quoted = [b"\"", raw, b"\""].concat();
    text(&quoted).unwrap_or_else(|| String::from_utf8_lossy(raw).into_owned())
}

/// The text of a raw string (with its quotes), unescaped; none where the value is no string. An escape that stands for
/// no character is read as U+FFFD: half of a surrogate pair is what is left of an emoji that a client cut in two.
pub fn text(raw: &[u8]) -> Option<String> {
    let inner = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let is_plain =
        |inner: &&[u8]| memchr2(b'\\', b'"', inner).is_none() && inner.iter().all(|&byte| byte >= b' ');
    if let Some(plain) = inner.filter(is_plain) {
        return String::from_utf8(plain.to_vec()).ok();
    }
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

    /// Where the string at the beginning of `text` ends, byte by byte.
    fn end_of_string(text: &[u8]) -> Option<usize> {
        let mut is_escaped = false;
        let closes = |&byte: &u8| {
            let closes = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            closes
        };
        text.get(1..)?.iter().position(closes).map(|at| at + 2)
    }

    #[test]
    fn strings_end_at_the_first_quote_that_is_not_escaped() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..20_000 {
            // Long runs of backslashes and quotes anywhere, over the borders of blocks too.
            let mut text = vec![b'"'];
            for _ in 0..random(12) {
                let byte = [b'\\', b'"', b'x'][usize::try_from(random(3)).unwrap()];
                text.extend(std::iter::repeat_n(byte, usize::try_from(1 + random(40)).unwrap()));
            }
            let found = Scanner::new(&text).string().ok();
            assert_eq!(found, end_of_string(&text).map(|end| 0..end), "{:?}", String::from_utf8_lossy(&text));
        }
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
        for none in ["1", "\"", "\"line\nfeed\"", "\"a\"b\"", "null"] {
            assert_eq!(text(none.as_bytes()), None, "{none}");
        }
        assert_eq!(text(b"\"\""), Some(String::new()));
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

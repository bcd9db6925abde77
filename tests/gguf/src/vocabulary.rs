//! The tokens of a scripted model, and which follows which.
//!
//! It is a byte-level vocabulary: 256 tokens for the bytes, so that every prompt can be read, the control tokens, and
//! one token for each piece of what the model says. No two tokens may be spelled alike: the engine aborts on that. So a
//! piece whose spelling is taken takes in its neighbour, and a text that is taken as a whole is refused here.

use std::collections::{BTreeMap, HashMap};

use thiserror::Error;

/// The engine's number for a token of text.
const NORMAL: i32 = 1;

/// The engine's number for a token that steers and is never shown.
const CONTROL: i32 = 3;

/// The two bytes that are joined into one token: the engine's tokenizer wants one pair to be there.
const MERGED: [&str; 2] = ["t", "h"];

/// A text in which the last piece left is spelled like a token that is already there.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{piece:?} is a token already and no token may be there twice: write {text:?} differently towards its end"
)]
pub struct TextTaken {
    /// The piece.
    pub piece: String,
    /// The whole text.
    pub text: String,
}

/// A token's number.
pub(super) type Token = u32;

/// What comes after the last piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// This token.
    Then(Token),
    /// The text's first piece again, without end.
    Again,
}

/// Tokens and their order.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    spelled: Vec<String>,
    kinds: Vec<i32>,
    known: HashMap<String, Token>,
    follows: BTreeMap<Token, Token>,
}

// === impl Vocabulary ===

impl Vocabulary {
    /// The bytes, and nothing that follows anything.
    pub(super) fn of_bytes() -> Self {
        let mut vocabulary = Self::default();
        for byte in 0..=u8::MAX {
            vocabulary.add(spelled(&[byte]), NORMAL);
        }
        vocabulary.add(MERGED.concat(), NORMAL);
        vocabulary
    }

    /// A token that steers.
    pub(super) fn control(&mut self, spelled: &str) -> Token {
        self.add(spelled.to_owned(), CONTROL)
    }

    /// Lets these words follow this token, and gives back the first one's.
    pub(super) fn chain(&mut self, from: Token, text: &str, ending: Ending) -> Result<Token, TextTaken> {
        let pieces = self.cut(text)?;
        let tokens: Vec<Token> = pieces.iter().map(|piece| self.add(piece.clone(), NORMAL)).collect();
        let mut last = from;
        for token in &tokens {
            self.follow(last, *token);
            last = *token;
        }
        let first = tokens.first().copied().unwrap_or(from);
        match ending {
            Ending::Then(token) => self.follow(last, token),
            Ending::Again => self.follow(last, first),
        }
        Ok(first)
    }

    /// Lets one token follow another.
    pub(super) fn follow(&mut self, token: Token, next: Token) {
        self.follows.insert(token, next);
    }

    /// Lets this token follow every token that nothing follows yet.
    pub(super) fn otherwise(&mut self, next: Token) {
        for token in 0..self.len() {
            self.follows.entry(token).or_insert(next);
        }
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> Token {
        u32::try_from(self.spelled.len()).unwrap_or(u32::MAX)
    }

    /// How they are spelled, in order.
    pub(super) fn tokens(&self) -> &[String] {
        &self.spelled
    }

    /// What they are for the engine, in order.
    pub(super) fn kinds(&self) -> &[i32] {
        &self.kinds
    }

    /// The pairs that are joined.
    pub(super) fn merges() -> Vec<String> {
        vec![MERGED.join(" ")]
    }

    /// Each token and the one that follows it.
    pub(super) fn follows(&self) -> impl Iterator<Item = (Token, Token)> {
        self.follows.iter().map(|(token, next)| (*token, *next))
    }

    fn add(&mut self, spelled: String, kind: i32) -> Token {
        let token = self.len();
        self.known.insert(spelled.clone(), token);
        self.spelled.push(spelled);
        self.kinds.push(kind);
        token
    }

    /// The pieces of a text, spelled, each of them new.
    fn cut(&self, text: &str) -> Result<Vec<String>, TextTaken> {
        let (mut pieces, mut open): (Vec<String>, _) = (Vec::new(), String::new());
        for word in words(text) {
            open.push_str(&spelled(word.as_bytes()));
            if self.is_new(&open, &pieces) {
                pieces.push(std::mem::take(&mut open));
            }
        }
        // What is left at the end grows towards the beginning.
        while !open.is_empty() && !self.is_new(&open, &pieces) {
            let Some(before) = pieces.pop() else {
                return Err(TextTaken { piece: open, text: text.to_owned() });
            };
            open.insert_str(0, &before);
        }
        pieces.extend(Some(open).filter(|open| !open.is_empty()));
        Ok(pieces)
    }

    fn is_new(&self, piece: &String, pieces: &[String]) -> bool {
        !self.known.contains_key(piece) && !pieces.contains(piece)
    }
}

/// A text's words, each with the space before it; tags stand by themselves, as the engine's parsers look for them.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut rest, mut before) = (text, None::<char>);
    for (at, char) in text.char_indices() {
        let begins = match before {
            None => false,
            Some('>') => true,
            Some(before) => char == '<' || (char.is_whitespace() && !before.is_whitespace()),
        };
        if begins && let Some((word, after)) = rest.split_at_checked(at - (text.len() - rest.len())) {
            words.push(word);
            rest = after;
        }
        before = Some(char);
    }
    words.push(rest);
    words
}

/// Bytes as a byte-level vocabulary spells them: printable Latin-1 stands for itself, every other byte for a letter
/// above it, in order.
fn spelled(bytes: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(*byte),
        0..=0x20 => char::from_u32(0x100 + u32::from(*byte)).unwrap_or_default(),
        0x7f..=0xa0 => char::from_u32(0x121 + u32::from(*byte) - 0x7f).unwrap_or_default(),
        0xad => '\u{143}',
    };
    bytes.iter().map(letter).collect()
}

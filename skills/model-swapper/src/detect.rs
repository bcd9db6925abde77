//! From a turn to what it asks for: the sentence that asks, and what it asks it of.
//!
//! Only the beginning and the end of a turn are read; what stands between them is text, not request. A scan for the words
//! that every request has comes first, so that a turn that has none costs a few microseconds. Where in doubt, nothing
//! is asked: the conversation's own model answers anything, a specialist does not.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;

use crate::payload::{self, Piece};
use crate::sentence::{self, Act, Judgement, Request};
use crate::token::{Kind, SCAN_MAX, Token, scan};
use crate::words::{Lexicon, lexica};

/// Bytes of the beginning of a turn that are scanned for the words of a request.
const HEAD_MAX: usize = 1024;

/// Bytes of the end of a turn in which a request may stand.
const TAIL_MAX: usize = 300;

/// Bytes of a turn that names a language and no translation: "and in Italian?".
const WEAK_MAX: usize = 160;

/// Bytes of a turn that asks to read a picture.
const READ_MAX: usize = 400;

/// Sentences before the one that asks.
const PREFACE_MAX: usize = 3;

/// What the detector sees of a turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// What the user wrote.
    pub(crate) text: &'a str,
    /// The beginning of the assistant's last message.
    pub(crate) last_answer: &'a str,
    /// Kinds of the turn's media.
    pub(crate) media: &'a [String],
}

/// What a turn asks for.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The request, as its sentence told.
    pub(crate) request: Request,
    /// What it is about.
    pub(crate) piece: Piece,
}

/// Why a turn with a request in it is left alone; for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// No request.
    Nothing,
    /// It says that it wants no translation.
    Denied,
    /// A request, and the text it is about could not be told for sure.
    Unclear(&'static str),
}

/// The word lists, ready for use.
#[derive(Debug)]
pub(crate) struct Detector {
    lexica: Vec<Lexicon>,
    scan: Option<AhoCorasick>,
    /// For every pattern of the scan, the lexica that have it: a set of bits.
    owners: Vec<u32>,
}

/// A sentence of the turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sentence<'t> {
    pub(crate) tokens: &'t [Token],
    /// Where its mark ends.
    pub(crate) end: usize,
    pub(crate) start: usize,
    pub(crate) mark: Option<char>,
}

impl Sentence<'_> {
    /// Nothing but a quotation.
    fn is_quote(&self) -> bool {
        self.tokens.iter().all(|token| token.kind == Kind::Quote)
    }
}

impl Found {
    /// How well its language explains the turn.
    fn weight(&self) -> (bool, bool, usize) {
        (self.request.into.is_some(), !self.request.weak, self.request.known)
    }
}

impl Detector {
    /// Reads the word lists.
    pub(crate) fn new() -> Self {
        let lexica = lexica();
        let mut triggers: BTreeMap<String, u32> = BTreeMap::new();
        let mut add = |trigger: String, owner: u32| *triggers.entry(trigger).or_default() |= owner;
        for (at, lexicon) in lexica.iter().enumerate() {
            for trigger in lexicon.triggers() {
                // The text that is scanned is in lower case as far as it is ASCII: the case of other letters is left.
                if trigger.chars().any(|c| !c.is_ascii() && c.is_lowercase()) {
                    add(capitalised(trigger).to_ascii_lowercase(), 1 << at);
                    add(trigger.to_uppercase().to_ascii_lowercase(), 1 << at);
                }
                add(trigger.to_ascii_lowercase(), 1 << at);
            }
        }
        let mut patterns: Vec<(String, u32)> = Vec::new();
        for (trigger, owners) in triggers {
            // Whoever hears a word by its beginning need not hear more of it.
            let heard = |(shorter, theirs): &(String, u32)| {
                trigger.starts_with(shorter.as_str()) && owners & !theirs == 0
            };
            if !patterns.last().is_some_and(heard) {
                patterns.push((trigger, owners));
            }
        }
        let (words, owners): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let scan = AhoCorasick::new(&words).ok();
        Self { lexica, scan, owners }
    }

    /// What the turn asks for.
    pub(crate) fn find(&self, input: &Input<'_>) -> Result<Found, Pass> {
        let text = unwrapped(input.text.trim());
        let input = Input { text: &text, ..*input };
        let pictured = input.media.iter().any(|kind| kind == "image");
        let candidates = self.candidates(&text, pictured);
        if candidates.is_empty() {
            return Err(Pass::Nothing);
        }
        let head = scan(&text, 0);
        let (mut best, mut pass): (Option<Found>, _) = (None, Pass::Nothing);
        for lexicon in candidates {
            match self
                .in_head(&input, &head, lexicon, pictured)
                .or_else(|| self.in_tail(&input, &head, lexicon, pictured))
            {
                Some(Ok(found)) if best.as_ref().is_none_or(|best| found.weight() > best.weight()) => {
                    best = Some(found)
                }
                Some(Err(Pass::Denied)) => return Err(Pass::Denied),
                Some(Err(unclear)) => pass = unclear,
                _ => {}
            }
        }
        best.ok_or(pass)
    }

    /// The lexica in which the turn could be asking: none, for almost every turn.
    fn candidates(&self, text: &str, pictured: bool) -> Vec<&Lexicon> {
        if pictured {
            return self.lexica.iter().collect();
        }
        let cut = |at: usize| (at..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
        let head = cut(HEAD_MAX.min(text.len()));
        let tail = cut(text.len().saturating_sub(TAIL_MAX)).max(head);
        let ends = [text.get(..head), text.get(tail..)];
        let wanted = ends.into_iter().flatten().fold(0, |wanted, end| wanted | self.triggered(end));
        let lexica = self.lexica.iter().enumerate();
        lexica.filter(|(at, _)| wanted & (1 << at) != 0).map(|(_, lexicon)| lexicon).collect()
    }

    /// The lexica that have a word in this stretch of text.
    fn triggered(&self, text: &str) -> u32 {
        let Some(scan) = &self.scan else { return 0 };
        let begins = |at: usize| {
            let inside = at
                .checked_sub(1)
                .and_then(|before| text.as_bytes().get(before))
                .is_some_and(u8::is_ascii_alphabetic);
            !(inside && text.as_bytes().get(at).is_some_and(u8::is_ascii_alphabetic))
        };
        let lower = text.to_ascii_lowercase();
        let found = scan.find_overlapping_iter(&lower).filter(|found| begins(found.start()));
        found.fold(0, |set, found| {
            set | self.owners.get(found.pattern().as_usize()).copied().unwrap_or_default()
        })
    }

    /// Looks for a request in the first sentences.
    fn in_head(
        &self,
        input: &Input<'_>,
        head: &[Token],
        lexicon: &Lexicon,
        pictured: bool,
    ) -> Option<Result<Found, Pass>> {
        let sentences = sentences(head, 0);
        for (at, sentence) in sentences.iter().enumerate().take(PREFACE_MAX + 1) {
            match sentence::judge(sentence.tokens, lexicon, pictured) {
                Judgement::Denial => return Some(Err(Pass::Denied)),
                Judgement::Other => {}
                Judgement::Request(request)
                    if (request.weak || request.act == Act::Read)
                        && self.asked_later(&sentences, at, lexicon, pictured) => {}
                Judgement::Request(request) => {
                    let before = sentences.get(..at).unwrap_or_default();
                    let after = sentences.get(at + 1..).unwrap_or_default();
                    let task = |preface: &Sentence<'_>| {
                        let begins = sentence::begins_task(preface.tokens, lexicon);
                        begins || (!pictured && sentence::is_task(preface.tokens, lexicon))
                    };
                    if before.iter().any(task) {
                        return Some(Err(Pass::Unclear("something else is asked before")));
                    }
                    let place = payload::Place { sentence, before, after, lexicon };
                    return self.settle(input, request, &place);
                }
            }
        }
        None
    }

    /// Whether a sentence further on asks: "It's in Polish, I think. Could you put it into English?"
    fn asked_later(&self, sentences: &[Sentence<'_>], at: usize, lexicon: &Lexicon, pictured: bool) -> bool {
        let apart = sentences.get(at).is_some_and(|sentence| matches!(sentence.mark, Some(':' | '\n')));
        let mut later = sentences.iter().skip(at + 1).take(PREFACE_MAX);
        let asks = |sentence: &Sentence<'_>| matches!(sentence::judge(sentence.tokens, lexicon, pictured), Judgement::Request(request) if request.into.is_some());
        !apart && later.any(asks)
    }

    /// Settles what a request in the head is about.
    fn settle(
        &self,
        input: &Input<'_>,
        mut request: Request,
        place: &payload::Place<'_>,
    ) -> Option<Result<Found, Pass>> {
        if request.act == Act::Read || request.weak {
            let short = input.text.len() <= if request.weak { WEAK_MAX } else { READ_MAX };
            let more = place.after.iter().any(|sentence| sentence::is_task(sentence.tokens, place.lexicon));
            let beneath = input.text.get(place.sentence.end..).and_then(|rest| rest.split_once('\n'));
            let apart = matches!(place.sentence.mark, Some(':' | '\n'))
                || beneath.is_some_and(|(line, _)| line.chars().all(|c| !c.is_alphanumeric()))
                || place.before.iter().any(|sentence| sentence.is_quote());
            let weak_text = request.weak && (apart || request.quote.is_some());
            if (more && !apart) || !(short || weak_text) {
                return None;
            }
            if request.act == Act::Read {
                return Some(payload::picture(input).map(|piece| Found { request, piece }));
            }
        }
        Some(payload::find(input, &mut request, place).map(|piece| Found { request, piece }))
    }

    /// Looks for a request in the last sentences, about all that stands before it.
    fn in_tail(
        &self,
        input: &Input<'_>,
        head: &[Token],
        lexicon: &Lexicon,
        pictured: bool,
    ) -> Option<Result<Found, Pass>> {
        let start = tail_start(input.text);
        if start == 0 || pictured {
            return None;
        }
        let tokens = scan(input.text, start);
        let sentences = sentences(&tokens, start);
        let (at, request) = sentences.iter().enumerate().rev().take(2).find_map(|(at, sentence)| {
            match sentence::judge(sentence.tokens, lexicon, pictured) {
                Judgement::Request(request) => Some((at, request)),
                _ => None,
            }
        })?;
        let rest = sentences.get(at + 1..).unwrap_or_default();
        let alone = rest.iter().all(|sentence| sentence::is_idle(sentence.tokens, lexicon));
        let begins = self::sentences(head, 0)
            .first()
            .is_some_and(|first| sentence::begins_task(first.tokens, lexicon));
        let own_text =
            request.quote.is_some() || request.inline.is_some() || request.weak || request.act == Act::Read;
        if !alone || begins || own_text || request.back {
            return None;
        }
        let start = sentences.get(at).map_or(0, |sentence| sentence.start);
        let text = payload::bare(input.text.get(..start).unwrap_or_default());
        (!text.is_empty()).then(|| Ok(Found { request, piece: Piece::Text(text.to_owned()) }))
    }
}

/// Cuts tokens into sentences; the first begins at `start`.
pub(crate) fn sentences(tokens: &[Token], start: usize) -> Vec<Sentence<'_>> {
    let mut begin = start;
    let ends = |token: &Token| matches!(token.kind, Kind::Mark(mark) if mark != ',');
    let cut = tokens.split_inclusive(ends).filter_map(|tokens| {
        let last = tokens.last()?;
        let (words, mark) = match last.kind {
            Kind::Mark(mark) if mark != ',' => (tokens.get(..tokens.len() - 1)?, Some(mark)),
            _ => (tokens, None),
        };
        let sentence = Sentence {
            tokens: words,
            end: last.end,
            start: words.first().map_or(begin, |first| first.start),
            mark,
        };
        begin = last.end;
        (!words.is_empty()).then_some(sentence)
    });
    cut.collect()
}

/// Where the last line begins, or a sentence near the end of a long one; 0 where the head has seen it all.
fn tail_start(text: &str) -> usize {
    let line = text.rfind('\n').map_or(0, |at| at + 1);
    if text.len() - line <= TAIL_MAX {
        return line;
    }
    if text.len() <= SCAN_MAX {
        return 0;
    }
    let earliest =
        (text.len() - TAIL_MAX..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let tail = text.get(earliest..).unwrap_or_default();
    let cut = tail.char_indices().find(|(_, c)| matches!(c, '.' | '!' | '?' | '。' | '！' | '？' | '।'));
    cut.map_or(0, |(at, c)| earliest + at + c.len_utf8())
}

/// A message that is wholly in quotation marks, its own escaped, as some clients send it.
pub(crate) fn unwrapped(text: &str) -> Cow<'_, str> {
    let inner =
        text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|inner| !inner.is_empty());
    let Some(inner) = inner else { return Cow::Borrowed(text) };
    let unescaped = inner.replace("\\\"", "");
    if unescaped.contains('"') || inner.ends_with('\\') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(inner.replace("\\\"", "\"").trim().to_owned())
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

//! Tool calls in answers, apart from the protocol they came in: what one event of a stream (or a whole answer) says of
//! them, and how it is written again when some of it is withheld, replaced or renumbered.
//!
//! Each protocol is one [`Dialect`] for streams and one for answers that are not streamed. Reading names the parts of an
//! event in order; writing is given that same event and what becomes of some of its parts, so nothing parsed is kept
//! between the two: what is held are the bytes as they came. Who holds them, and for how long, is the splicer's matter.

pub mod chat;

use std::fmt::Debug;

use bytes::Bytes;

use super::answer::Usage;

/// What stands between two things that a message says one after the other.
pub const PARAGRAPH: &str = "\n\n";

/// What an event says, one part after another. What stands beside these (names, times, unknown members) belongs to the
/// event and goes with whatever part of it leaves first.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text, reasoning, a refusal: whatever is no call and passes at once.
    Said {
        /// Of which choice.
        choice: u32,
    },
    /// A piece of a call.
    Call(Delta),
    /// A choice has ended.
    Finish {
        /// Which.
        choice: u32,
        /// Why, in the protocol's word; empty where it does not say.
        reason: String,
    },
    /// What the answer has cost.
    Usage(Usage),
    /// The terminator.
    Done,
}

/// A piece of a call, as the server sent it: any of the texts may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delta {
    /// Of which choice.
    pub choice: u32,
    /// The call's place in the message, where the server says it.
    pub index: Option<u32>,
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// More of the arguments' JSON.
    pub arguments: String,
    /// Nothing more of this call will come.
    pub is_whole: bool,
    /// The event begins the message, too (chat: it has the role), and this is the part that carries that.
    pub opens: bool,
}

/// A call written as one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeCall {
    /// Its place in the message.
    pub index: u32,
    /// Its id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// JSON.
    pub arguments: String,
}

/// What becomes of one part of an event. Parts that are not named stay behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// Which part, counted as [`Dialect::read`] gave them.
    pub part: usize,
    /// What becomes of it.
    pub how: How,
}

/// What becomes of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// It leaves as it came.
    AsIs,
    /// A piece of a call, at another place or under another id.
    Numbered(u32, Identity),
    /// A whole call stands in place of this piece.
    Replaced(WholeCall),
    /// This piece of a call does not leave; what else it carries does.
    Withheld,
    /// The choice ends for this reason.
    Finish(String),
    /// So much is added to what the answer has cost.
    Added(Usage),
    /// Before anything else of the event, this text is said in the part's choice. The part itself is not meant.
    Say(String),
}

/// What becomes of the id in a piece of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It stays as it is.
    Keep,
    /// The server gave none.
    Set(String),
    /// The call goes by another one.
    Drop,
}

/// How one protocol speaks of calls. Events are given as their bytes: of a stream, one frame with its blank line; else
/// the answer's body.
///
/// Written parts take what stands around them (ids, times, unknown members) from the event that is given.
pub trait Dialect: Debug + Send {
    /// The parts of an event; none where it is not of this protocol, and so passes as it is.
    fn read(&self, raw: &Bytes) -> Vec<Part>;

    /// Tells the text that an event says to the user, and in which choice; a choice that it only mentions says "".
    fn said(&self, raw: &Bytes, tell: &mut dyn FnMut(u32, &str));

    /// The event as it leaves when nothing in it changes: the same bytes, unless it goes on with an earlier message.
    fn pass(&self, raw: &Bytes) -> Bytes;

    /// The event with nothing but these parts, in order.
    fn write(&self, raw: &Bytes, cuts: &[Cut]) -> Bytes;

    /// What is read from now on belongs to the same message as `raw`, although the server thinks it begins another.
    fn go_on(&mut self, raw: &Bytes);
}

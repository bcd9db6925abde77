//! One call on its way: what has come of it, what its hook said, and what of it is held.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::record::{self, Fate, Record};
use super::{Answer, Ask, CallNumber, Denied, Leaving, Piece, Write};
use crate::wire::calls::{Delta, How, Identity, WholeCall};

/// A call that the model makes.
#[derive(Debug)]
pub(super) struct Call<R> {
    pub(super) number: CallNumber,
    /// Its place in the message, as the server counts.
    pub(super) index: Option<u32>,
    /// As the server gave it.
    pub(super) own_id: String,
    /// As the client will know it; empty until somebody has to know.
    id: String,
    pub(super) name: String,
    /// The model's own, whole while the call is here and the beginning after it has left.
    arguments: String,
    is_whole: bool,
    opens: bool,
    /// Its pieces, in order. Of a call whose own arguments will not leave, only the first: what stands around it is used.
    pub(super) held: Vec<Held>,
    state: State<R>,
    has_begun: bool,
    /// Its arguments are kept as a whole, since somebody may have to know them.
    keeps: bool,
}

/// A piece of a call that waits.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) piece: Piece,
    index: Option<u32>,
    has_id: bool,
    is_first: bool,
}

#[derive(Debug)]
enum State<R> {
    /// Its name has not come.
    Unnamed,
    /// The hook is asked; with complete arguments or without.
    Asked { whole: bool },
    /// The hook wants to see the arguments.
    Waiting,
    /// It leaves as the model made it.
    Own(Fate),
    /// It leaves with these arguments.
    Replaced { arguments: String, by_model: bool },
    /// Another model is to write it, when the upstream has ended.
    Rerouted(R),
    /// Another model writes it.
    Writing,
    /// It does not leave.
    Denied(String),
}

// === impl Call ===

impl<R> Call<R> {
    pub(super) fn new(number: CallNumber, delta: &Delta, keeps: bool) -> Self {
        Self {
            number,
            index: delta.index,
            own_id: String::new(),
            id: String::new(),
            name: String::new(),
            arguments: String::new(),
            is_whole: false,
            opens: delta.opens,
            held: Vec::new(),
            state: State::Unnamed,
            has_begun: false,
            keeps,
        }
    }

    /// Takes in a piece.
    pub(super) fn take(&mut self, delta: Delta, piece: Piece) {
        let (index, has_id) = (delta.index, !delta.id.is_empty());
        if self.own_id.is_empty() {
            self.own_id = delta.id;
        }
        if self.name.is_empty() {
            self.name = delta.name;
        }
        self.is_whole |= delta.is_whole;
        let is_read = self.keeps && !matches!(self.state, State::Own(_) | State::Replaced { .. });
        if is_read || self.arguments.len() < record::KEPT_BYTES_MAX {
            self.arguments.push_str(&delta.arguments);
        }
        if !is_read {
            record::shorten(&mut self.arguments);
        }
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first || !matches!(self.state, State::Replaced { .. } | State::Denied(_)) {
            self.held.push(Held { piece, index, has_id, is_first });
        }
    }

    /// The question to the hook at the call's name, as soon as it is there.
    pub(super) fn named(&mut self, call_ids: &str) -> Option<Ask> {
        if !matches!(self.state, State::Unnamed) || self.name.is_empty() {
            return None;
        }
        self.identify(call_ids);
        Some(self.ask(self.is_whole))
    }

    /// The question to the hook that waited for the arguments, which are complete now.
    pub(super) fn completed(&mut self) -> Option<Ask> {
        matches!(self.state, State::Waiting).then(|| self.ask(true))
    }

    fn ask(&mut self, whole: bool) -> Ask {
        self.state = State::Asked { whole };
        Ask {
            call: self.number,
            id: self.id.clone(),
            name: self.name.clone(),
            arguments: whole.then(|| self.arguments.clone()),
        }
    }

    fn identify(&mut self, call_ids: &str) {
        if self.id.is_empty() {
            self.id = if self.own_id.is_empty() { self.number.id(call_ids) } else { self.own_id.clone() };
        }
    }

    /// The hook is being asked.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    /// Takes in the hook's answer; where it waits for arguments that are complete already, the next question.
    pub(super) fn answered(&mut self, answer: Answer<R>, is_complete: bool) -> Option<Ask> {
        let saw_all = matches!(self.state, State::Asked { whole: true });
        self.state = match answer {
            Answer::Pass => State::Own(Fate::Passed),
            Answer::Wait if saw_all => State::Own(Fate::Passed),
            Answer::Wait => State::Waiting,
            Answer::Reroute(route) => State::Rerouted(route),
            Answer::Rewrite(arguments) => State::Replaced { arguments, by_model: false },
            Answer::Deny(reason) => State::Denied(reason),
        };
        if matches!(self.state, State::Replaced { .. } | State::Denied(_)) {
            self.held.truncate(1);
        }
        if is_complete { self.completed() } else { None }
    }

    /// Nothing more will come of a call without a name: nobody can be asked about it.
    pub(super) fn ended(&mut self) {
        if matches!(self.state, State::Unnamed) {
            self.state = State::Own(Fate::Passed);
        }
    }

    /// Leaves as the model made it, because too much is held.
    pub(super) fn release(&mut self) {
        if !self.is_decided() {
            self.state = State::Own(Fate::Released);
        }
        // Of a denied call this leaves no JSON, so what the model is told of it has empty arguments.
        self.let_go();
    }

    /// Takes in what another model wrote, or that none could; whether it was being written.
    pub(super) fn written(&mut self, arguments: Option<String>) -> bool {
        let is_awaited = matches!(self.state, State::Writing);
        if is_awaited {
            self.state = match arguments {
                Some(arguments) => State::Replaced { arguments, by_model: true },
                None => State::Own(Fate::Kept),
            };
        }
        is_awaited
    }

    /// The route by which another model is to write it; given once.
    pub(super) fn reroute(&mut self, text: impl FnOnce() -> String) -> Option<Write<R>> {
        if !matches!(self.state, State::Rerouted(_)) {
            return None;
        }
        let State::Rerouted(route) = std::mem::replace(&mut self.state, State::Writing) else { return None };
        Some(Write {
            call: self.number,
            route,
            id: self.id.clone(),
            name: self.name.clone(),
            arguments: self.arguments.clone(),
            text: text(),
        })
    }

    /// What becomes of it is known.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self.state, State::Own(_) | State::Replaced { .. } | State::Denied(_))
    }

    /// Another model writes it, or will.
    pub(super) fn is_rerouted(&self) -> bool {
        matches!(self.state, State::Rerouted(_) | State::Writing)
    }

    /// It does not leave as the model made it.
    pub(super) fn is_changed(&self) -> bool {
        matches!(self.state, State::Replaced { .. } | State::Denied(_))
    }

    /// Why it does not leave.
    pub(super) fn denied(&self) -> Option<&str> {
        if let State::Denied(reason) = &self.state { Some(reason) } else { None }
    }

    /// The hook wants to see its arguments.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Its own arguments are a JSON text, so they can be complete.
    pub(super) fn has_json(&self) -> bool {
        serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok()
    }

    /// What is held of it leaves as the message's call at this place: to be called once what becomes of it is known, and
    /// again for each piece that comes later. A call that does not leave has no place.
    pub(super) fn leave(&mut self, place: u32, call_ids: &str, leaving: &mut Vec<Leaving>) {
        self.identify(call_ids);
        let held = std::mem::take(&mut self.held);
        match &self.state {
            State::Replaced { arguments, .. } => {
                leaving.extend(held.into_iter().take(1).map(|held| {
                    let (id, name, arguments) = (self.id.clone(), self.name.clone(), arguments.clone());
                    Leaving {
                        piece: held.piece,
                        how: How::Replaced(WholeCall { index: place, id, name, arguments }),
                    }
                }));
            }
            State::Denied(_) => {
                let opens = held.into_iter().filter(|held| held.is_first && self.opens);
                leaving.extend(opens.map(|held| Leaving { piece: held.piece, how: How::Withheld }));
                return;
            }
            _ => leaving.extend(held.into_iter().map(|held| self.renumbered(held, place))),
        }
        self.let_go();
    }

    fn renumbered(&self, held: Held, place: u32) -> Leaving {
        let identity = match (self.id == self.own_id, held.is_first) {
            (true, _) => Identity::Keep,
            (false, true) => Identity::Set(self.id.clone()),
            (false, false) if held.has_id => Identity::Drop,
            (false, false) => Identity::Keep,
        };
        let is_right = held.index == Some(place) && identity == Identity::Keep;
        let how = if is_right { How::AsIs } else { How::Numbered(place, identity) };
        Leaving { piece: held.piece, how }
    }

    /// From now on its arguments are kept for people only.
    pub(super) fn let_go(&mut self) {
        self.keeps = false;
        record::shorten(&mut self.arguments);
        if self.held.is_empty()
            && let State::Replaced { arguments, .. } = &mut self.state
        {
            record::shorten(arguments);
        }
    }

    /// Bytes of arguments that are kept.
    pub(super) fn kept_bytes(&self) -> usize {
        let replaced = match &self.state {
            State::Replaced { arguments, .. } => arguments.len(),
            _ => 0,
        };
        if self.keeps { self.arguments.len() + replaced } else { 0 }
    }

    /// What the model is told of a call that was denied.
    pub(super) fn denial(&self) -> Option<Denied> {
        let is_object = serde_json::from_str::<Map<String, Value>>(&self.arguments).is_ok();
        Some(Denied {
            id: self.id.clone(),
            name: self.name.clone(),
            arguments: if is_object { self.arguments.clone() } else { "{}".to_owned() },
            reason: self.denied()?.to_owned(),
        })
    }

    pub(super) fn record(&self, round: u32) -> Record {
        let fate = match &self.state {
            State::Unnamed | State::Asked { .. } | State::Waiting | State::Rerouted(_) | State::Writing => {
                Fate::Undecided
            }
            State::Own(fate) => fate.clone(),
            State::Replaced { arguments, by_model: false } => Fate::Rewritten(record::beginning(arguments)),
            State::Replaced { arguments, by_model: true } => Fate::Written(record::beginning(arguments)),
            State::Denied(reason) => Fate::Denied(reason.clone()),
        };
        let (id, name) = (self.id.clone(), self.name.clone());
        Record { call: self.number, round, id, name, arguments: record::beginning(&self.arguments), fate }
    }
}

//! The calls of one choice, in the order in which the model makes them: which call a piece belongs to, which of them may
//! leave, and how the choice ends.

use super::call::Call;
use super::{Ask, Denied, Leaving, Piece};
use crate::wire::calls::{Delta, How};

/// One choice of an answer.
#[derive(Debug)]
pub(super) struct Choice<R> {
    pub(super) calls: Vec<Call<R>>,
    /// Beside them there are calls that nobody looks at, which have left.
    pub(super) has_more: bool,
    /// So many calls, from the first on, have left or never will.
    out: usize,
    /// Its end, which waits for calls, and the reason that the model gave.
    finish: Option<(Piece, String)>,
    /// No more of its calls will come.
    has_ended: bool,
    /// So many calls, from the first on, need not be spoken of: they were not denied, or the client was told why.
    explained: usize,
    /// Where the client can be told, if the choice has no end: where its last denied call began.
    last_denied: Option<Piece>,
}

impl<R> Default for Choice<R> {
    fn default() -> Self {
        Self {
            calls: Vec::new(),
            has_more: false,
            out: 0,
            finish: None,
            has_ended: false,
            explained: 0,
            last_denied: None,
        }
    }
}

// === impl Choice ===

impl<R> Choice<R> {
    /// The call that a piece belongs to; none for a piece that begins one. Servers that leave out the index give each call
    /// an id, or send it as one piece.
    pub(super) fn place_of(&self, delta: &Delta) -> Option<usize> {
        let last = self.calls.len().checked_sub(1);
        if let Some(index) = delta.index {
            let place = self.calls.iter().rposition(|call| call.index == Some(index))?;
            return self.calls.get(place).filter(|call| !begins_anew(call, delta)).map(|_| place);
        }
        if !delta.id.is_empty() {
            let known = self.calls.iter().rposition(|call| call.own_id == delta.id);
            return known.or_else(|| last.filter(|_| delta.name.is_empty()));
        }
        last.filter(|place| {
            delta.name.is_empty() || self.calls.get(*place).is_some_and(|call| call.name.is_empty())
        })
    }

    /// Another call begins: those before it may be complete.
    pub(super) fn completed(&mut self) -> Vec<Ask> {
        let complete = |call: &&mut Call<R>| self.has_ended || (call.is_waiting() && call.has_json());
        self.calls.iter_mut().filter(complete).filter_map(Call::completed).collect()
    }

    /// Is all there of the arguments of the call at this place? If another call has begun and they are a JSON text: a model
    /// that writes several calls at once has not ended one that it is in the middle of.
    pub(super) fn is_complete(&self, place: usize) -> bool {
        let has_json = || self.calls.get(place).is_some_and(Call::has_json);
        self.has_ended || (place + 1 < self.calls.len() && has_json())
    }

    /// The choice ends.
    pub(super) fn finish(&mut self, piece: Piece, reason: String) -> Vec<Ask> {
        self.finish = Some((piece, reason));
        self.end()
    }

    /// No more of its calls will come.
    pub(super) fn end(&mut self) -> Vec<Ask> {
        self.has_ended = true;
        self.calls.iter_mut().for_each(Call::ended);
        self.calls.iter_mut().filter_map(Call::completed).collect()
    }

    /// Nothing of it is held, and nothing of it was changed.
    pub(super) fn is_untouched(&self) -> bool {
        self.is_settled() && !self.calls.iter().any(Call::is_changed)
    }

    /// Nothing of it is held.
    pub(super) fn is_settled(&self) -> bool {
        self.out == self.calls.len() && self.finish.is_none() && self.last_denied.is_none()
    }

    /// It has calls, and all of them were denied.
    pub(super) fn is_denied(&self) -> bool {
        !self.has_more && !self.calls.is_empty() && self.calls.iter().all(|call| call.denied().is_some())
    }

    /// What the model is told of the calls that were denied.
    pub(super) fn denials(&self) -> Vec<Denied> {
        self.calls.iter().filter_map(Call::denial).collect()
    }

    /// Where something of this choice stands, for a round that goes on with its message.
    pub(super) fn some_piece(&self) -> Option<&Piece> {
        self.last_denied.as_ref()
    }

    /// Lets out what may leave: calls up to the first of which nobody knows yet what becomes of it, and the end behind the
    /// last. Where all calls were denied, the end stays while the model may still be asked to go on (`may_go_on`).
    pub(super) fn leave(&mut self, may_go_on: bool, call_ids: &str, leaving: &mut Vec<Leaving>) {
        let mut place = 0;
        for (number, call) in self.calls.iter_mut().enumerate() {
            if !call.is_decided() {
                return;
            }
            if number >= self.out && call.denied().is_some() {
                self.last_denied =
                    call.held.first().map(|held| held.piece.clone()).or(self.last_denied.take());
            }
            call.leave(place, call_ids, leaving);
            place += u32::from(call.denied().is_none());
            self.out = self.out.max(number + 1);
        }
        if self.is_denied() && may_go_on {
            return;
        }
        if let Some((piece, reason)) = self.finish.take() {
            self.explain(&piece, leaving);
            let how = self.reason(&reason).map_or(How::AsIs, |reason| How::Finish(reason.to_owned()));
            leaving.push(Leaving { piece, how });
        }
    }

    /// Tells the client why calls were denied, although the choice has no end to tell it before.
    pub(super) fn explain_at_last(&mut self, leaving: &mut Vec<Leaving>) {
        if self.finish.is_none()
            && let Some(piece) = self.last_denied.take()
        {
            self.explain(&piece, leaving);
        }
    }

    /// Tells the client the reasons that it has not been told.
    fn explain(&mut self, piece: &Piece, leaving: &mut Vec<Leaving>) {
        let untold = self.calls.iter().skip(self.explained);
        let reasons: Vec<&str> = untold.filter_map(|call| call.denied()).collect();
        if !reasons.is_empty() {
            leaving.push(Leaving { piece: piece.clone(), how: How::Say(reasons.join("\n")) });
        }
        self.calls.iter_mut().filter(|call| call.denied().is_some()).for_each(Call::let_go);
        (self.explained, self.last_denied) = (self.calls.len(), None);
    }

    /// Why it ends, where that is another reason than the model's. A message that was cut off is still that if the call
    /// it broke off in leaves as it was.
    fn reason(&self, own: &str) -> Option<&'static str> {
        if self.is_denied() {
            return Some("stop");
        }
        let is_mended = own == "length" && self.calls.last().is_some_and(Call::is_changed);
        let is_changed = own == "stop" && self.calls.iter().any(Call::is_changed);
        (is_mended || is_changed).then_some("tool_calls")
    }

    /// Pieces that are held, and bytes of arguments.
    pub(super) fn held(&self) -> (impl Iterator<Item = &Piece>, usize) {
        let calls = self.calls.iter().flat_map(|call| &call.held).map(|held| &held.piece);
        let ends = self.finish.iter().map(|(piece, _)| piece).chain(&self.last_denied);
        (calls.chain(ends), self.calls.iter().map(Call::kept_bytes).sum())
    }
}

/// Does a piece with a known index begin another call? Some servers count every call as the first.
fn begins_anew<R>(call: &Call<R>, delta: &Delta) -> bool {
    let has_other_id = !delta.id.is_empty() && !call.own_id.is_empty() && delta.id != call.own_id;
    has_other_id && !delta.name.is_empty()
}

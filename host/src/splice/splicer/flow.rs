//! How what is held leaves: frames are taken apart into their choices, whatever may leave is let out, put in the order in
//! which it came, and written; and at the upstream's end it is said what is still to be done.

use bytes::Bytes;

use super::call::Call;
use super::choice::Choice;
use super::said::Said;
use super::{Action, Ask, CALLS_MAX, CallNumber, GoOn, Leaving, Phase, Piece, ROUNDS_MAX, Splicer, Write};
use crate::wire::answer::Usage;
use crate::wire::calls::{Cut, Delta, How, Identity, PARAGRAPH, Part};

impl<R> Splicer<R> {
    /// Takes an event apart.
    pub(super) fn take(&mut self, raw: &Bytes) {
        match self.phase {
            Phase::Over => return,
            Phase::GoingOn => self.begin_round(),
            Phase::Reading | Phase::Ended | Phase::Writing => {}
        }
        self.frames += 1;
        self.held_at_most += raw.len();
        let parts = self.dialect.read(raw);
        if !self.is_streamed {
            self.said.read(raw, &*self.dialect);
        } else if parts.iter().any(|part| matches!(part, Part::Said { .. })) {
            self.said.keep(raw.clone(), &*self.dialect);
        }
        if let Some(choice) = self.owes_paragraph {
            self.begin_paragraph(choice, &parts, raw);
        }
        let of = parts.len();
        if of == 0 {
            let piece = Piece { frame: self.frames, part: 0, of, raw: raw.clone() };
            self.leaving.push(Leaving { piece, how: How::AsIs });
        }
        for (part, meaning) in parts.into_iter().enumerate() {
            let piece = Piece { frame: self.frames, part, of, raw: raw.clone() };
            self.part(meaning, piece);
        }
    }

    /// What the model says after it was told of its calls is a paragraph of its own.
    fn begin_paragraph(&mut self, choice: u32, parts: &[Part], raw: &Bytes) {
        let Some(part) = parts.iter().position(|part| *part == Part::Said { choice }) else { return };
        let mut speaks = false;
        self.dialect.said(raw, &mut |of, text| speaks |= of == choice && !text.is_empty());
        if speaks {
            self.owes_paragraph = None;
            let piece = Piece { frame: self.frames, part, of: parts.len(), raw: raw.clone() };
            self.leaving.push(Leaving { piece, how: How::Say(PARAGRAPH.to_owned()) });
        }
    }

    fn part(&mut self, part: Part, piece: Piece) {
        match part {
            Part::Said { choice } => {
                self.choices.entry(choice).or_default();
                self.leaving.push(Leaving { piece, how: How::AsIs });
            }
            Part::Call(delta) => self.delta(delta, piece),
            Part::Finish { choice, reason } => {
                let asks = self.choices.entry(choice).or_default().finish(piece, reason);
                self.ask(asks);
            }
            Part::Usage(usage) => self.tail.push((piece, Some(usage))),
            Part::Done => self.tail.push((piece, None)),
        }
    }

    /// Takes in a piece of a call.
    fn delta(&mut self, delta: Delta, piece: Piece) {
        let key = delta.choice;
        let choice = self.choices.entry(key).or_default();
        let place = choice.place_of(&delta);
        if place.is_none()
            && self.choices.values().map(|choice| choice.calls.len()).sum::<usize>() >= CALLS_MAX
        {
            return self.beyond(delta, piece);
        }
        let (number, keeps) = (CallNumber(self.count), !self.overflowed);
        let choice = self.choices.entry(key).or_default();
        let place = place.unwrap_or_else(|| {
            self.count += 1;
            choice.calls.push(Call::new(number, &delta, keeps));
            choice.calls.len() - 1
        });
        let mut asks = choice.completed();
        self.held_at_most += delta.arguments.len();
        if let Some(call) = choice.calls.get_mut(place) {
            call.take(delta, piece);
            if self.overflowed {
                call.release();
            } else {
                asks.extend(call.named(&self.call_ids));
            }
        }
        self.ask(asks);
    }

    /// A call that is one too many leaves as the model made it, but for the gaps that denied ones left.
    fn beyond(&mut self, delta: Delta, piece: Piece) {
        self.overflow();
        let choice = self.choices.entry(delta.choice).or_default();
        choice.has_more = true;
        let denied = choice.denials().len();
        let gaps = u32::try_from(denied).unwrap_or(u32::MAX);
        let how = match delta.index {
            Some(index) if gaps > 0 => How::Numbered(index.saturating_sub(gaps), Identity::Keep),
            _ => How::AsIs,
        };
        self.leaving.push(Leaving { piece, how });
    }

    /// Notes questions to the hook.
    pub(super) fn ask(&mut self, asks: impl IntoIterator<Item = Ask>) {
        let before = self.new_asks.len();
        self.new_asks.extend(asks);
        self.asked += self.new_asks.len() - before;
    }

    /// Where a call is.
    pub(super) fn find(&mut self, call: CallNumber) -> Option<(&mut Choice<R>, usize)> {
        self.choices.values_mut().find_map(|choice| {
            let place = choice.calls.iter().position(|it| it.number == call)?;
            Some((choice, place))
        })
    }

    /// What is to be done now.
    pub(super) fn act(&mut self) -> Vec<Action<R>> {
        self.leave();
        self.keep_the_limit();
        let has_ended = matches!(self.phase, Phase::Ended | Phase::Writing) && self.asked == 0;
        let last = if has_ended { self.advance() } else { None };
        let mut actions: Vec<Action<R>> = self.write_leaving().into_iter().map(Action::Forward).collect();
        actions.extend(self.new_asks.drain(..).map(Action::Ask));
        actions.extend(last);
        actions
    }

    /// The upstream has ended and all hooks have answered: what is still to be done.
    fn advance(&mut self) -> Option<Action<R>> {
        if self.phase == Phase::Ended {
            let writes = self.writes();
            if !writes.is_empty() {
                self.phase = Phase::Writing;
                return Some(Action::Write(writes));
            }
        }
        if self.choices.values().flat_map(|choice| &choice.calls).any(Call::is_rerouted) {
            return None;
        }
        if let Some(go_on) = self.go_on() {
            self.phase = Phase::GoingOn;
            return Some(Action::GoOn(go_on));
        }
        self.leave_at_last();
        self.phase = Phase::Over;
        Some(Action::Over)
    }

    fn writes(&mut self) -> Vec<Write<R>> {
        let (said, dialect) = (&mut self.said, &*self.dialect);
        let mut writes = Vec::new();
        for (number, choice) in &mut self.choices {
            let calls = choice.calls.iter_mut();
            writes.extend(calls.filter_map(|call| call.reroute(|| said.text(*number, dialect))));
        }
        writes
    }

    fn go_on(&mut self) -> Option<GoOn> {
        if !self.may_go_on()
            || self.said.choices(&*self.dialect).any(|said| !self.choices.contains_key(&said))
        {
            return None;
        }
        let (number, choice) = self.choices.iter().next().filter(|(_, choice)| choice.is_denied())?;
        let text = self.said.text(*number, &*self.dialect);
        Some(GoOn { text, calls: choice.denials() })
    }

    /// A message of which nothing survives may be gone on with: there are rounds left, and one choice.
    fn may_go_on(&self) -> bool {
        !self.stays && self.round < ROUNDS_MAX && self.choices.len() == 1
    }

    /// The first frame after [`Action::GoOn`]: what ended the round before never leaves.
    fn begin_round(&mut self) {
        let spent = self.tail.drain(..).filter_map(|(_, usage)| usage);
        self.added = spent.fold(self.added, Usage::plus);
        if let Some(piece) = self.choices.values().find_map(Choice::some_piece) {
            self.dialect.go_on(&piece.raw);
        }
        // There is one choice, or the model would not have been asked to go on.
        let (said, dialect) = (&mut self.said, &*self.dialect);
        let spoke = self.choices.keys().copied().find(|choice| !said.text(*choice, dialect).is_empty());
        self.owes_paragraph = self.owes_paragraph.or(spoke).filter(|_| self.is_streamed);
        self.earlier = self.calls();
        self.choices.clear();
        self.said = Said::default();
        self.leaving.clear();
        self.round += 1;
        self.phase = Phase::Reading;
    }

    /// Lets out what may leave. While a hook is asked nothing may: calls that share a frame leave in one.
    fn leave(&mut self) {
        if self.asked > 0 {
            return;
        }
        let may_go_on = self.may_go_on();
        for (number, choice) in &mut self.choices {
            let before = self.leaving.len();
            choice.leave(may_go_on, &self.call_ids, &mut self.leaving);
            let is_more = self.owes_paragraph == Some(*number);
            set_off(self.leaving.iter_mut().skip(before), is_more, || {
                self.said.text(*number, &*self.dialect)
            });
        }
        self.leave_tail();
    }

    /// Lets out all that is decided, and tells why calls were denied: the model is not asked to go on.
    fn leave_at_last(&mut self) {
        self.stays = true;
        for (number, choice) in &mut self.choices {
            let before = self.leaving.len();
            choice.leave(false, &self.call_ids, &mut self.leaving);
            choice.explain_at_last(&mut self.leaving);
            let is_more = self.owes_paragraph == Some(*number);
            set_off(self.leaving.iter_mut().skip(before), is_more, || {
                self.said.text(*number, &*self.dialect)
            });
        }
        self.leave_tail();
    }

    fn leave_tail(&mut self) {
        if !self.choices.values().all(Choice::is_settled) {
            return;
        }
        let added = self.added;
        self.leaving.extend(self.tail.drain(..).map(|(piece, usage)| {
            let is_more = usage.is_some() && added != Usage::default();
            Leaving { piece, how: if is_more { How::Added(added) } else { How::AsIs } }
        }));
    }

    /// Where more is held than may be, calls are released; and if that is not enough, the ends of messages of which all was
    /// denied.
    fn keep_the_limit(&mut self) {
        if self.held_at_most <= self.hold_bytes_max {
            return;
        }
        self.held_at_most = self.held_bytes();
        if self.held_at_most > self.hold_bytes_max {
            self.overflow();
            self.leave();
            self.held_at_most = self.held_bytes();
        }
        if self.held_at_most > self.hold_bytes_max {
            self.leave_at_last();
            self.held_at_most = self.held_bytes();
        }
    }

    /// Releases all calls, of which hooks are asked, too.
    fn overflow(&mut self) {
        self.overflowed = true;
        self.choices.values_mut().flat_map(|choice| &mut choice.calls).for_each(Call::release);
        self.new_asks.clear();
        self.asked = 0;
    }

    /// What is on its way, written in the order in which it came.
    fn write_leaving(&mut self) -> Vec<Bytes> {
        if !self.is_streamed && self.phase != Phase::Over {
            return Vec::new();
        }
        let mut leaving = std::mem::take(&mut self.leaving);
        leaving.sort_by_key(|it| (it.piece.frame, it.piece.part));
        leaving.chunk_by(|one, next| one.piece.frame == next.piece.frame).map(|all| self.write(all)).collect()
    }

    /// The parts of one event that leave together.
    fn write(&self, leaving: &[Leaving]) -> Bytes {
        let Some(Leaving { piece: Piece { raw, of, .. }, .. }) = leaving.first() else { return Bytes::new() };
        if leaving.len() >= *of && leaving.iter().all(|it| it.how == How::AsIs) {
            return self.dialect.pass(raw);
        }
        let cuts: Vec<Cut> =
            leaving.iter().map(|it| Cut { part: it.piece.part, how: it.how.clone() }).collect();
        self.dialect.write(raw, &cuts)
    }
}

/// Where the model has said something, in this round or before (`is_more`), what is said after it begins a paragraph.
fn set_off<'l>(
    leaving: impl Iterator<Item = &'l mut Leaving>,
    is_more: bool,
    mut said: impl FnMut() -> String,
) {
    for leaving in leaving {
        if let How::Say(text) = &mut leaving.how
            && (is_more || !said().is_empty())
        {
            text.insert_str(0, PARAGRAPH);
        }
    }
}

//! A specialist swap as a router's events and its clients tell it. Pure: moments in, a swap out.
//!
//! A router says when a model comes and when it is gone, and not who asked for what; when answers run, only those know
//! who hear them. So an unload is shown from the moment from which nobody used the model any more.

use std::collections::BTreeSet;

use super::swap::{Cast, Span, Swap};
use crate::wire::llama_server::State;

/// Something that happened, in milliseconds since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// When.
    pub(super) at_ms: u64,
    /// What.
    pub(super) what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The other conversation's answer is whole.
    Drained,
    /// The specialist's answer began.
    Speaks,
    /// It is whole.
    Answered,
    /// A model came into this state.
    Memory {
        /// The model.
        model: String,
        /// The state.
        state: State,
    },
}

/// The swap that these moments tell of.
pub(super) fn swap(moments: &[Moment], cast: &Cast) -> Swap {
    let mut swap = Swap::default();
    let mut there = BTreeSet::from([cast.resident.as_str()]);
    for Moment { at_ms, what } in moments {
        match what {
            What::Drained => swap.drained = Some(*at_ms),
            What::Speaks => swap.answer_began = Some(*at_ms),
            What::Answered => swap.answer = swap.answer_began.map(|from| Span { from, to: *at_ms }),
            What::Memory { model, state } => {
                remember(&mut there, model, *state, &mut swap);
                take(&mut swap, *at_ms, model, *state, cast);
            }
        }
    }
    // The server's word may come before the client's that was written earlier.
    if let (Some(drained), Some(unload)) = (swap.drained, swap.unload) {
        swap.drained = Some(drained.min(unload.to));
    }
    swap.unload_began = swap.drained;
    swap.unload = swap.unload.map(|unload| Span { from: swap.drained.unwrap_or(unload.to), ..unload });
    swap
}

fn take(swap: &mut Swap, at: u64, model: &str, state: State, cast: &Cast) {
    let is_resident = model == cast.resident;
    match state {
        State::Unloaded if is_resident && swap.load_began.is_none() => {
            swap.unload.get_or_insert(Span { from: at, to: at });
        }
        // Progress says `loading` many times; the first is the beginning.
        State::Loading if is_resident => {
            swap.restore_began.get_or_insert(at);
        }
        State::Loading => {
            swap.load_began.get_or_insert(at);
            swap.specialist.get_or_insert_with(|| model.to_owned());
        }
        State::Loaded if is_resident => {
            swap.restore = swap.restore_began.map(|from| Span { from, to: at });
        }
        State::Loaded => swap.load = swap.load_began.map(|from| Span { from, to: at }),
        _ => {}
    }
}

/// There is room for both models, and never are both there.
fn remember<'a>(there: &mut BTreeSet<&'a str>, model: &'a str, state: State, swap: &mut Swap) {
    if state == State::Unloaded {
        there.remove(model);
        return;
    }
    let is_new = there.insert(model);
    if is_new && there.len() > 1 {
        swap.faults.push(format!("{model} came into memory beside another model"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast() -> Cast {
        Cast { resident: "big".to_owned(), specialists: BTreeSet::from(["tr".to_owned()]), since: 0 }
    }

    fn story() -> Vec<What> {
        let memory = |model: &str, state| What::Memory { model: model.to_owned(), state };
        vec![
            What::Drained,
            memory("big", State::Unloaded),
            memory("tr", State::Loading),
            memory("tr", State::Loading),
            memory("tr", State::Loaded),
            What::Speaks,
            What::Answered,
            memory("tr", State::Unloaded),
            memory("big", State::Loading),
            memory("big", State::Loaded),
        ]
    }

    fn told(story: Vec<What>) -> Swap {
        let moments: Vec<_> =
            (1..).zip(story).map(|(number, what)| Moment { at_ms: number * 10, what }).collect();
        swap(&moments, &cast())
    }

    #[test]
    fn a_whole_swap_has_no_shortcomings() {
        let swap = told(story());
        assert_eq!(swap.shortcomings(), Vec::<String>::new());
        assert_eq!((swap.drained, swap.unload), (Some(10), Some(Span { from: 10, to: 20 })));
        assert_eq!(
            (swap.load, swap.answer),
            (Some(Span { from: 30, to: 50 }), Some(Span { from: 60, to: 70 }))
        );
        assert_eq!(swap.restore, Some(Span { from: 90, to: 100 }));
        assert_eq!(swap.specialist.as_deref(), Some("tr"));
        // The client's word that comes late changes nothing.
        let mut late = story();
        late.swap(0, 1);
        assert_eq!(told(late).shortcomings(), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let mut beside = story();
        beside.swap(1, 3);
        assert!(told(beside).shortcomings().join("; ").contains("beside"));
        let mut unfinished = story();
        unfinished.truncate(8);
        assert!(told(unfinished).shortcomings().join("; ").contains("back"));
    }
}

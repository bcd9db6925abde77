//! One who waits in the line: a claim for a lease, or a wish.
//!
//! It knows what it wants and since when; what to do about it is decided elsewhere.

use std::time::Instant;

use super::{Claim, Phase, Ticket, Timings, Wish};
use crate::id::{ModelId, SessionKey};

/// Someone who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    /// Its age counts from here: the first claim of its request.
    pub(super) since: Instant,
    /// Its own arrival.
    pub(super) arrived: Instant,
    pub(super) want: Want,
    /// Since when it is its turn and only running requests are in its way.
    pub(super) blocked: Option<Instant>,
    pub(super) told: Option<Phase>,
    pub(super) timings: Timings,
}

/// What a waiter waits for.
#[derive(Debug)]
pub(super) enum Want {
    Lease(Claim),
    Wish(Wish),
}

/// Context that a load asks for at least: what LM Studio would take by itself.
const CONTEXT_LEAST: u32 = 4096;

// === impl Waiter ===

impl Waiter {
    pub(super) fn model(&self) -> &ModelId {
        match &self.want {
            Want::Lease(claim) => &claim.model,
            Want::Wish(wish) => &wish.model,
        }
    }

    /// A person wishes.
    pub(super) fn is_a_persons(&self) -> bool {
        matches!(&self.want, Want::Wish(wish) if wish.is_a_persons())
    }

    pub(super) fn claim(&self) -> Option<&Claim> {
        match &self.want {
            Want::Lease(claim) => Some(claim),
            Want::Wish(_) => None,
        }
    }

    /// Whose conversation it belongs to; none for wishes.
    pub(super) fn session(&self) -> Option<&SessionKey> {
        self.claim().map(|claim| &claim.session)
    }

    /// The context that a resident instance must have.
    pub(super) fn prompt_tokens(&self) -> u32 {
        match &self.want {
            Want::Lease(claim) => claim.prompt_tokens,
            Want::Wish(wish) => wish.context_length().unwrap_or(0),
        }
    }

    /// It wants its model in memory, as opposed to out of it.
    pub(super) fn wants_it_loaded(&self) -> bool {
        !matches!(&self.want, Want::Wish(wish) if wish.is_unload())
    }

    /// Tokens of context that its model is to be loaded with if it must be loaded.
    pub(super) fn asked_context(&self) -> Option<u32> {
        match &self.want {
            Want::Lease(claim) => claim.context_length,
            Want::Wish(wish) => wish.context_length(),
        }
    }

    /// The least context that leaves room for the prompt and its answer.
    pub(super) fn needed_context(&self) -> u32 {
        let Some(claim) = self.claim() else { return 0 };
        let tokens = claim.prompt_tokens.saturating_add(claim.output_tokens).saturating_add(1);
        tokens.checked_next_power_of_two().unwrap_or(u32::MAX).max(CONTEXT_LEAST)
    }
}

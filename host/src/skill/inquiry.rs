//! One request, as the skills of one generation are asked about it: its turn in the contract's words, made once, and what
//! all of them share of it.

use std::sync::Arc;

use super::chain::Outcome;
use super::convert;
use super::generation::Generation;
use super::guard::Watch;
use crate::capability::Subject;
use crate::capability::bindings::types;
use crate::capability::conversation::Conversation;
use crate::turn::Turn;

/// A request that skills are asked about. Cheap to clone.
#[derive(Clone)]
pub struct Inquiry {
    pub(super) generation: Arc<Generation>,
    pub(super) turn: Arc<types::Turn>,
    pub(super) subject: Subject,
    /// How many parts of the turn's own are no text: what a prompt may name.
    pub(super) media: usize,
}

// === impl Inquiry ===

impl Inquiry {
    /// Skills of this generation are to be asked about the turn, and may read the conversation behind it.
    pub fn new(generation: Arc<Generation>, turn: Turn, conversation: Option<Arc<dyn Conversation>>) -> Self {
        let media = turn.media.len();
        let named = Subject::new(turn.request_id.clone(), turn.session.clone());
        let turn = Arc::new(convert::turn(turn));
        let unwatched = Subject { conversation, ..named };
        let watch = Watch::new(generation.clone(), turn.clone(), unwatched.clone());
        let subject = Subject { guards: Some(Arc::new(watch)), ..unwatched };
        Self { generation, turn, subject, media }
    }

    /// The skills that are asked, to the request's end.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }
}

// === impl Generation ===

impl Generation {
    /// Asks the skills what is to become of a turn, with no conversation behind it.
    pub async fn decide(self: &Arc<Self>, turn: Turn) -> Outcome {
        Inquiry::new(self.clone(), turn, None).decide().await
    }
}

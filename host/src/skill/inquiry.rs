//! One request, as the skills of one generation are asked about it: its turn in the contract's words, made once, and what
//! all of them share of it.

use std::sync::Arc;

use super::chain::Outcome;
use super::convert;
use super::generation::Generation;
use super::guard::Watch;
use super::recorded::Recorded;
use crate::capability::bindings::types;
use crate::capability::conversation::Conversation;
use crate::capability::{Moment, Subject};
use crate::id::{RequestId, SessionKey};
use crate::model::Directory;
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

/// What stands behind a turn.
#[derive(Clone, Default)]
pub struct Behind {
    /// The messages, where they can be read.
    pub conversation: Option<Arc<dyn Conversation>>,
    /// The models.
    pub directory: Arc<Directory>,
}

// === impl Inquiry ===

impl Inquiry {
    /// Skills of this generation are to be asked about the turn.
    pub fn new(generation: Arc<Generation>, turn: Turn, behind: Behind) -> Self {
        let Behind { conversation, directory } = behind;
        let named = Subject::new(turn.request_id.clone(), turn.session.clone());
        let subject = Subject { conversation, moment: Some(Moment::now(directory)), ..named };
        Self { generation, media: turn.media.len(), turn: Arc::new(convert::turn(turn)), subject }.watched()
    }

    /// A question that was asked before. Skills may ask no model about it.
    pub(super) fn of_record(
        record: &Recorded,
        generation: Arc<Generation>,
        conversation: Option<Arc<dyn Conversation>>,
    ) -> Self {
        let turn = record.turn.clone();
        let request = RequestId::new(turn.request_id.as_str());
        let named = Subject::new(request, SessionKey::new(turn.session.as_str()));
        let subject = Subject { conversation, moment: Some(record.moment()), ..named };
        Self { generation, media: turn.media.len(), turn: Arc::new(turn), subject }
    }

    /// The skills that are asked, to the request's end.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The turn's model is not to be passed by.
    pub fn is_pinned(&self) -> bool {
        self.turn.pinned
    }

    /// When it came, and what chance gave skills for it.
    pub(super) fn moment(&self) -> Moment {
        self.subject.moment.clone().unwrap_or_else(|| Moment::now(Arc::default()))
    }

    /// The same question for those who look on: without what nobody of them reads, for it may be long.
    pub(super) fn for_onlookers(&self, reads_conversation: bool) -> Self {
        let conversation = self.subject.conversation.clone().filter(|_| reads_conversation);
        let subject = Subject { conversation, guards: None, ..self.subject.clone() };
        Self { subject, ..self.clone() }
    }

    /// The same question once more, with nothing spent on it yet. Guards are asked nothing that was not asked of them:
    /// where there are some, no model can be asked.
    pub(super) fn again(&self) -> Self {
        let subject = Subject { budget: Arc::default(), guards: None, ..self.subject.clone() };
        let again = Self { subject, ..self.clone() };
        if self.generation.is_guarded() { again } else { again.watched() }
    }

    /// What skills ask of models is narrowed by the guards.
    fn watched(self) -> Self {
        let watch = Watch::new(self.generation.clone(), self.turn.clone(), self.subject.clone());
        let subject = Subject { guards: Some(Arc::new(watch)), ..self.subject };
        Self { subject, ..self }
    }
}

// === impl Generation ===

impl Generation {
    /// Asks the skills what is to become of a turn, with nothing behind it.
    pub async fn decide(self: &Arc<Self>, turn: Turn) -> Outcome {
        let behind = Behind { conversation: None, directory: self.directory() };
        Inquiry::new(self.clone(), turn, behind).decide().await
    }
}

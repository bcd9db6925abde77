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
use crate::capability::{Moment, Past, Subject};
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
    /// The models, when it came.
    pub(super) directory: Arc<Directory>,
    /// When it came, and what chance gives skills for it.
    pub(super) moment: Moment,
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
        let named = Subject::new(turn.request_id.clone(), turn.session.clone());
        Self::about(generation, (convert::turn(turn), named), behind, Moment::now())
    }

    fn about(
        generation: Arc<Generation>,
        (turn, named): (types::Turn, Subject),
        behind: Behind,
        moment: Moment,
    ) -> Self {
        let Behind { conversation, directory } = behind;
        let turn = Arc::new(turn);
        let unwatched = Subject { conversation, moment: Some(moment.clone()), ..named };
        let watch = Watch::new(generation.clone(), turn.clone(), unwatched.clone());
        let subject = Subject { guards: Some(Arc::new(watch)), ..unwatched };
        let media = turn.media.len();
        Self { generation, turn, subject, media, directory, moment }
    }

    /// The skills that are asked, to the request's end.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The same question when its moment is over, with nothing spent on it yet.
    pub(super) fn again(&self) -> Self {
        let moment =
            Moment { past: Some(Arc::new(Past::with(self.directory.clone()))), ..self.moment.clone() };
        let subject = Subject { budget: Arc::default(), moment: Some(moment), ..self.subject.clone() };
        Self { subject, ..self.clone() }
    }

    /// A question that was asked before, with these skills standing guard.
    pub(super) fn of_record(
        record: &Recorded,
        generation: Arc<Generation>,
        conversation: Option<Arc<dyn Conversation>>,
    ) -> Self {
        let behind = Behind { conversation, directory: Arc::default() };
        let turn = record.turn.clone();
        let names = (RequestId::new(turn.request_id.as_str()), SessionKey::new(turn.session.as_str()));
        Self::about(generation, (turn, Subject::new(names.0, names.1)), behind, record.moment())
    }
}

// === impl Generation ===

impl Generation {
    /// Asks the skills what is to become of a turn, with nothing behind it.
    pub async fn decide(self: &Arc<Self>, turn: Turn) -> Outcome {
        Inquiry::new(self.clone(), turn, Behind::default()).decide().await
    }
}

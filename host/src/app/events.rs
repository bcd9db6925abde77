//! What residency notices, as skills are told.

use tokio::sync::broadcast::error::RecvError;

use crate::id::ModelId;
use crate::model::Model;
use crate::residency::{Notice, Residency, Wisher};
use crate::skill::EventSender;
use crate::turn::event::{Event, Fault};

/// Tells skills what happens to models and wishes, until residency is gone.
pub(super) async fn tell(residency: Residency, events: EventSender) {
    let mut notices = residency.notices();
    loop {
        match notices.recv().await {
            Ok(notice) => {
                if let Some(event) = event(&residency, notice) {
                    events.send(event);
                }
            }
            Err(RecvError::Lagged(lost)) => {
                tracing::warn!("{lost} notices about models were not told to skills")
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn event(residency: &Residency, notice: Notice) -> Option<Event> {
    let model = |id: &ModelId| -> Option<Box<Model>> { residency.directory().get(id).cloned().map(Box::new) };
    Some(match notice {
        Notice::Discovered(id) => Event::ModelDiscovered(model(&id)?),
        Notice::Removed(id) => Event::ModelRemoved(id),
        Notice::Loaded(id, _) => Event::ModelLoaded(model(&id)?),
        Notice::Unloaded(id, _) => Event::ModelUnloaded(id),
        Notice::WishFailed(wish, reason) => {
            let Wisher::Skill { skill, .. } = wish.by else { return None };
            let fault =
                Fault { code: "unavailable".to_owned(), message: reason.to_string(), retryable: true };
            Event::WishFailed { skill, model: wish.model.to_string(), fault }
        }
    })
}

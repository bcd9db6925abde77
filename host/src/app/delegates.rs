//! The rooms behind the capabilities: what a skill's `models` and `residency` reach.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::capability::{self, Code, Error};
use crate::model::Directory;
use crate::residency::{
    Action, Pin, Reason, Refused, Residency, Standing, WhenAnswered, Whose, Wish, Wisher,
};

/// Sees the models.
pub(super) struct Models(pub(super) Residency);

impl capability::models::Models for Models {
    fn directory(&self) -> Arc<Directory> {
        self.0.directory()
    }
}

/// Takes skills' wishes.
pub(super) struct Wishes(pub(super) Residency);

impl capability::residency::Residency for Wishes {
    fn wish(
        &self,
        wish: capability::residency::Wish,
    ) -> BoxFuture<'static, Result<capability::residency::Standing, Error>> {
        let residency = self.0.clone();
        async move {
            let directory = residency.directory();
            let Some(model) = directory.find(&wish.model).map(|model| model.id.clone()) else {
                return Err(Error::new(
                    Code::NotFound,
                    format!("no provider lists a model {:?}", wish.model),
                ));
            };
            let wish = Wish {
                model,
                action: action(&wish),
                by: Wisher::Skill { skill: wish.skill, session: wish.session },
                answer: WhenAnswered::AtOnce,
            };
            residency.wish(wish).await.map(standing).map_err(refused)
        }
        .boxed()
    }
}

fn action(wish: &capability::residency::Wish) -> Action {
    match wish.change {
        capability::residency::Change::Load { context_length, pin } => {
            Action::Load { context_length, pin: if pin { Pin::Pinned } else { Pin::Loose } }
        }
        capability::residency::Change::Unload => {
            Action::Unload { whose: if wish.all { Whose::Everyones } else { Whose::Ours } }
        }
    }
}

fn standing(standing: Standing) -> capability::residency::Standing {
    match standing {
        Standing::Done => capability::residency::Standing::Done,
        Standing::Started => capability::residency::Standing::Started,
        Standing::Queued => capability::residency::Standing::Queued,
    }
}

fn refused(refused: Refused) -> Error {
    let code = match refused.reason {
        Reason::QueueFull => Code::Limit,
        Reason::UnknownModel => Code::NotFound,
        _ => Code::Unavailable,
    };
    Error { code, message: refused.to_string(), retryable: refused.retry_after.is_some() }
}

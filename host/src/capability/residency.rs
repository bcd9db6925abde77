//! The capability `residency`: wishes for models to be loaded or unloaded. They are handed on and come back at once; what
//! becomes of them is told as an event.
//!
//! A skill is configured once per instance and before anybody decided to use it, so wishes are taken only from hooks.

use futures_util::future::BoxFuture;

use super::bindings::{residency, types};
use super::{Code, Error, Sandbox, check_model_name};
use crate::grant::Capability;
use crate::id::{SessionKey, SkillName};

/// Takes wishes.
pub trait Residency: Send + Sync {
    /// Takes one wish and says how it stands; it does not wait until the wish is fulfilled.
    fn wish(&self, wish: Wish) -> BoxFuture<'static, Result<Standing, Error>>;
}

/// A load or an unload that a skill asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Who wishes.
    pub skill: SkillName,
    /// The conversation whose turn's hook it was wished in; none in an event hook.
    pub session: Option<SessionKey>,
    /// The model, as the skill named it: at most 256 bytes, no control characters.
    pub model: String,
    /// What is to become of it.
    pub change: Change,
    /// The grant is `residency=all`: it may unload what people loaded.
    pub all: bool,
}

/// What is to become of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Have it in memory.
    Load {
        /// With this many tokens of context, above zero.
        context_length: Option<u32>,
        /// Never evict it until it is unloaded; ends with the skill.
        pin: bool,
    },
    /// Have it out of memory.
    Unload,
}

/// How a wish stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is so already.
    Done,
    /// Under way.
    Started,
    /// Waits for running requests or for memory.
    Queued,
}

impl residency::Host for Sandbox {
    async fn load(
        &mut self,
        model: String,
        options: residency::LoadOptions,
    ) -> wasmtime::Result<Result<residency::Standing, types::Error>> {
        self.enter()?;
        if options.context_length == Some(0) {
            return Ok(Err(Error::new(Code::Invalid, "a context of 0 tokens").into_record()));
        }
        let change = Change::Load { context_length: options.context_length, pin: options.pin };
        Ok(self.wish(model, change).await.map(Standing::into_record).map_err(Error::into_record))
    }

    async fn unload(&mut self, model: String) -> wasmtime::Result<Result<residency::Standing, types::Error>> {
        self.enter()?;
        let wished = self.wish(model, Change::Unload).await;
        Ok(wished.map(Standing::into_record).map_err(Error::into_record))
    }
}

impl Sandbox {
    async fn wish(&mut self, model: String, change: Change) -> Result<Standing, Error> {
        self.check(Capability::Residency)?;
        check_model_name(&model)?;
        if self.is_setup() {
            return Err(Error::new(Code::Unavailable, "wishes are taken only from hooks"));
        }
        let directory = self.directory();
        // What was checked is what is wished for: a name may mean another model a moment later.
        let model = match directory.find(&model).map(|model| model.id.as_str()) {
            Some(id) if !self.identity.rights.allow_residency(id) => {
                let message = format!("`residency` is not granted to {} for {id}", self.identity.name);
                return Err(Error::new(Code::Denied, message));
            }
            Some(id) => id.to_owned(),
            None => model,
        };
        let wish = Wish {
            skill: self.identity.name.clone(),
            session: self.subject().map(|subject| subject.session.clone()),
            model,
            change,
            all: self.identity.rights.allow_all_residency(),
        };
        let answer = self.delegates.residency.wish(wish);
        self.wait(answer).await
    }
}

// === impl Standing ===

impl Standing {
    fn into_record(self) -> residency::Standing {
        match self {
            Self::Done => residency::Standing::Done,
            Self::Started => residency::Standing::Started,
            Self::Queued => residency::Standing::Queued,
        }
    }
}

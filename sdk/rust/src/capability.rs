//! What a skill may call, one module per interface of the contract.
//!
//! On WebAssembly these are the host's functions; elsewhere they go to [`fake`](crate::fake). A capability that is never
//! called is not imported, so it never has to be granted. Nothing is cached here.

#[cfg(target_arch = "wasm32")]
use crate::bindings::contract as backend;
#[cfg(not(target_arch = "wasm32"))]
use crate::fake::backend;

/// See the models. Empty where the grant is missing.
pub mod models {
    use super::backend;
    use crate::Model;

    /// Every model that some provider can serve.
    pub fn all() -> Vec<Model> {
        backend::models::all()
    }

    /// The best match for an id, a key, the beginning of a key's last segment, or an alias; among several the resident
    /// one, then the smallest.
    pub fn find(name: &str) -> Option<Model> {
        backend::models::find(name)
    }
}

/// Wish for models to be loaded or unloaded. Wishes return at once and never hurt a running request.
pub mod residency {
    use super::backend;
    use crate::Error;

    pub use crate::bindings::contract::residency::{LoadOptions, Standing};

    impl LoadOptions {
        /// As the host sees fit, evictable.
        pub fn plain() -> Self {
            Self { context_length: None, pin: false, extra: Vec::new() }
        }

        /// With this many tokens of context.
        pub fn with_context(mut self, tokens: u32) -> Self {
            self.context_length = Some(tokens);
            self
        }

        /// Never evicted until unloaded; ends with the skill.
        pub fn pinned(mut self) -> Self {
            self.pin = true;
            self
        }
    }

    /// Wishes for a model to be loaded.
    pub fn load(model: &str, options: &LoadOptions) -> Result<Standing, Error> {
        backend::residency::load(model, options)
    }

    /// Wishes for every instance of a model that the gateway loaded to be unloaded.
    pub fn unload(model: &str) -> Result<Standing, Error> {
        backend::residency::unload(model)
    }
}

/// Which model a session uses.
pub mod sessions {
    use super::backend;
    use crate::Error;

    /// The session's own model, where it has one.
    pub fn model(session: &str) -> Option<String> {
        backend::sessions::model(session)
    }

    /// Changes it; none returns the session to its default.
    pub fn set_model(session: &str, model: Option<&str>) -> Result<(), Error> {
        backend::sessions::set_model(session, model)
    }
}

/// The conversation behind a turn, while its hook runs.
pub mod conversation {
    use super::backend;
    use crate::Error;

    pub use crate::bindings::contract::conversation::Message;

    /// At most `limit` messages from `offset` on.
    pub fn messages(request_id: &str, offset: u32, limit: u32) -> Result<Vec<Message>, Error> {
        backend::conversation::messages(request_id, offset, limit)
    }

    /// The request's body as sent, media removed, at most 1 MiB.
    pub fn body(request_id: &str) -> Result<String, Error> {
        backend::conversation::body(request_id)
    }
}

/// Ask a model that is resident or remote; never swaps.
pub mod inference {
    use super::backend;
    use crate::Error;

    /// One vector per input.
    pub fn embed(model: &str, inputs: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        backend::inference::embed(model, inputs)
    }

    /// One system and one user message; the answer's text.
    pub fn complete(model: &str, system: &str, user: &str, max_tokens: u32) -> Result<String, Error> {
        backend::inference::complete(model, system, user, max_tokens)
    }
}

/// The skill's own durable, bounded key-value store.
pub mod kv {
    use super::backend;
    use crate::Error;

    /// The value under a key.
    pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        backend::kv::get(key)
    }

    /// Puts a value under a key.
    pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
        backend::kv::set(key, value)
    }

    /// Removes a key; a missing one is no error.
    pub fn delete(key: &str) -> Result<(), Error> {
        backend::kv::delete(key)
    }

    /// Keys that start with `prefix`, sorted, at most 1000.
    pub fn keys(prefix: &str) -> Result<Vec<String>, Error> {
        backend::kv::keys(prefix)
    }

    /// Adds atomically and returns the new value; a missing key counts as 0.
    pub fn increment(key: &str, by: f64) -> Result<f64, Error> {
        backend::kv::increment(key, by)
    }
}

/// HTTP to the hosts that the user granted.
pub mod http {
    use super::backend;
    use crate::Error;

    pub use crate::bindings::contract::http::{Request, Response};

    /// Sends a request and waits for the whole response.
    pub fn send(request: &Request) -> Result<Response, Error> {
        backend::http::send(request)
    }
}

/// What the gateway has been doing.
pub mod activity {
    use super::backend;
    use crate::Error;

    pub use crate::bindings::contract::activity::SkillInfo;

    /// The installed skills.
    pub fn skills() -> Vec<SkillInfo> {
        backend::activity::skills()
    }

    /// Why the session's last request went where it went; Markdown.
    pub fn explain(session: &str) -> Result<String, Error> {
        backend::activity::explain(session)
    }
}

/// Lines in the gateway's log, stamped there with skill, version and request. Always granted.
pub mod log {
    use super::backend;

    pub use crate::bindings::contract::log::Level;

    /// Writes a line.
    pub fn write(level: Level, message: &str) {
        backend::log::write(level, message);
    }

    /// Writes a line for whoever hunts a fault.
    pub fn debug(message: &str) {
        write(Level::Debug, message);
    }

    /// Writes a line about the ordinary course of things.
    pub fn info(message: &str) {
        write(Level::Info, message);
    }

    /// Writes a line about something that someone should mend.
    pub fn warn(message: &str) {
        write(Level::Warn, message);
    }
}

/// The gateway's clock. Always granted; recorded and replayed with the turn.
pub mod clock {
    use super::backend;

    /// Milliseconds since the Unix epoch.
    pub fn now() -> f64 {
        backend::clock::now()
    }

    /// Minutes to add to UTC for the gateway's local time.
    pub fn utc_offset() -> i32 {
        backend::clock::utc_offset()
    }
}

/// The operating system's randomness. Always granted; recorded and replayed with the turn.
pub mod random {
    use super::backend;

    /// At most 1024 bytes.
    pub fn bytes(count: u32) -> Vec<u8> {
        backend::random::bytes(count)
    }
}

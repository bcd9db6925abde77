//! Write Pointsman skills in Rust.
//!
//! A skill is a type that implements [`Skill`] and is handed to [`skill!`] with the hooks it implements. The component
//! that `cargo build --target wasm32-wasip2` makes of it exports those hooks and no others, and imports exactly the
//! capabilities that it calls; nothing else states what a skill may do.
//!
//! ```
//! use pointsman_sdk::{Error, Manifest, Route, Settings, Skill, Turn, Verdict, skill};
//!
//! struct Polite;
//!
//! impl Skill for Polite {
//!     fn describe() -> Manifest {
//!         Manifest::new("polite", "0.1.0", "Routes polite requests to a polite model").reusable()
//!     }
//!
//!     fn configure(_settings: Settings<'_>) -> Result<Self, Error> {
//!         Ok(Self)
//!     }
//!
//!     fn on_request(&self, turn: &Turn) -> Result<Verdict, Error> {
//!         if turn.pinned || !turn.user_text.contains("please") {
//!             return Ok(Verdict::Pass);
//!         }
//!         Ok(Route::to("otter").restore().because("polite: they said please").into())
//!     }
//! }
//!
//! skill!(Polite: request);
//!
//! // Off WebAssembly the capabilities go to a fake host, so a skill's own tests are ordinary tests.
//! let skill = pointsman_sdk::fake::configured::<Polite>("{}").unwrap();
//! let verdict = skill.on_request(&Turn::saying("write a poem, please")).unwrap();
//! assert!(matches!(verdict, Verdict::Route(route) if route.candidates[0].model == "otter"));
//! ```
//!
//! The rooms: [`Skill`] and [`Settings`] are what an author implements and is given; builders for routes and prompts sit
//! on the contract's own records; one module per capability ([`models`], [`residency`], [`log`], ...) is what a skill
//! may call; [`fake`] stands in for the gateway in tests. Bounded by the contract in `wit/`: this crate adds no word to it.

mod bindings;
mod capability;
#[doc(hidden)]
pub mod export;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
mod prompt;
mod route;
mod skill;
mod tool;

pub use bindings::contract::types::{
    Afterwards, Candidate, ComposedMessage, ComposedPart, Error, Hold, Instance, Model, Part, Prompt,
    Refusal, Route, Swap, Turn,
};
pub use bindings::hooks::{
    Command, Event, Manifest, Outcome, RequestVerdict as Verdict, ToolCall, ToolVerdict,
};
pub use capability::{
    activity, clock, conversation, http, inference, kv, log, models, random, residency, sessions,
};
pub use skill::{Settings, Skill};

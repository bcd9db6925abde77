//! From a [`Skill`] to the functions that the host calls.
//!
//! Everything here is public because [`skill!`](crate::skill!) expands in the author's crate; nothing here is for
//! authors. A guest is single-threaded, so the configured skill lives in a thread-local of the author's crate.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::thread::LocalKey;

use crate::bindings::hooks::{Command, Event, Manifest, RequestVerdict, ToolCall, ToolVerdict};
use crate::{Error, Model, Settings, Skill, Turn};

#[doc(hidden)]
pub use crate::bindings::{command, event, guard, lifecycle, request, tool};

/// Where the configured skill is kept.
pub type Slot<S> = RefCell<Option<Rc<S>>>;

/// A skill with a place to keep it; implemented by [`skill!`](crate::skill!).
pub trait Installed: Skill {
    /// The place.
    fn slot() -> &'static LocalKey<Slot<Self>>;
}

/// What carries the exports.
pub struct Adapter<S>(PhantomData<S>);

/// The configured skill. The host configures before any hook; a host that does not is told so.
fn configured<S: Installed>() -> Result<Rc<S>, Error> {
    S::slot()
        .with_borrow(|slot| slot.clone())
        .ok_or_else(|| Error::invalid("a hook was called before `configure`"))
}

impl<S: Installed> lifecycle::exports::pointsman::skill::lifecycle::Guest for Adapter<S> {
    fn describe() -> Manifest {
        S::describe()
    }

    fn configure(settings: String) -> Result<(), Error> {
        let skill = Rc::new(S::configure(Settings::new(&settings))?);
        S::slot().with_borrow_mut(|slot| *slot = Some(skill));
        Ok(())
    }
}

impl<S: Installed> request::exports::pointsman::skill::request_hook::Guest for Adapter<S> {
    fn on_request(turn: Turn) -> Result<RequestVerdict, Error> {
        configured::<S>()?.on_request(&turn)
    }
}

impl<S: Installed> tool::exports::pointsman::skill::tool_hook::Guest for Adapter<S> {
    fn on_tool_call(turn: Turn, call: ToolCall) -> Result<ToolVerdict, Error> {
        configured::<S>()?.on_tool_call(&turn, &call)
    }
}

impl<S: Installed> guard::exports::pointsman::skill::guard_hook::Guest for Adapter<S> {
    fn narrow(turn: Turn, candidates: Vec<Model>) -> Result<Vec<String>, Error> {
        configured::<S>()?.narrow(&turn, &candidates)
    }
}

impl<S: Installed> command::exports::pointsman::skill::command_hook::Guest for Adapter<S> {
    fn commands() -> Vec<Command> {
        configured::<S>().map(|skill| skill.commands()).unwrap_or_default()
    }

    fn on_command(turn: Turn, name: String, arguments: String) -> Result<String, Error> {
        configured::<S>()?.on_command(&turn, &name, &arguments)
    }
}

impl<S: Installed> event::exports::pointsman::skill::event_hook::Guest for Adapter<S> {
    fn on_event(event: Event) -> Result<(), Error> {
        configured::<S>()?.on_event(&event)
    }
}

/// Makes a component of a [`Skill`]: the type, then the hooks it implements out of `request`, `tool`, `guard`,
/// `command`, `event`. Once per crate, at its top level.
///
/// Only the hooks named here are exported, so only they are called. Off WebAssembly it expands to almost nothing, so
/// that the crate's own tests are ordinary native tests.
///
/// ```
/// # use pointsman_sdk::{Error, Manifest, Settings, Skill, skill};
/// # struct MySkill;
/// # impl Skill for MySkill {
/// #     fn describe() -> Manifest { Manifest::new("my-skill", "0.1.0", "") }
/// #     fn configure(_: Settings<'_>) -> Result<Self, Error> { Ok(Self) }
/// # }
/// skill!(MySkill: request, event);
/// ```
#[macro_export]
macro_rules! skill {
    ($skill:ty $(: $($hook:ident),+ $(,)?)?) => {
        const _: () = {
            ::std::thread_local! {
                static SLOT: $crate::export::Slot<$skill> = const { ::std::cell::RefCell::new(None) };
            }

            impl $crate::export::Installed for $skill {
                fn slot() -> &'static ::std::thread::LocalKey<$crate::export::Slot<Self>> {
                    &SLOT
                }
            }

            // Off WebAssembly nothing else names the type, and the compiler would call it dead.
            const _: fn($crate::Settings<'_>) -> ::core::result::Result<$skill, $crate::Error> =
                <$skill as $crate::Skill>::configure;

            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::export::Adapter<$skill>;

            $crate::__export_hook!(lifecycle);
            $($($crate::__export_hook!($hook);)+)?
        };
    };
}

/// One exported interface; `skill!` calls it where `Exported` is in scope.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (lifecycle) => {
        $crate::__export_component!(__export_skill_lifecycle_impl, lifecycle);
    };
    (request) => {
        $crate::__export_component!(__export_skill_request_impl, request);
    };
    (tool) => {
        $crate::__export_component!(__export_skill_tool_impl, tool);
    };
    (guard) => {
        $crate::__export_component!(__export_skill_guard_impl, guard);
    };
    (command) => {
        $crate::__export_component!(__export_skill_command_impl, command);
    };
    (event) => {
        $crate::__export_component!(__export_skill_event_impl, event);
    };
    ($other:ident) => {
        ::core::compile_error!("unknown hook: it is one of request, tool, guard, command, event");
    };
}

/// The functions of one exported interface, which the generated code can only declare as unsafe. `allow` and not
/// `expect`, because it expands in the author's crate: where that does not deny unsafe code, nothing would be expected.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_component {
    ($generated:ident, $module:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
    $crate::$generated!(Exported with_types_in $crate::export::$module);
        };
    };
}

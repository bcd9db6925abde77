//! What the guests share: bindings of one world, and a macro that leave only the misbehaviour to write.
//!
//! A guest is one file in `examples/`. Those with another world generate their own bindings.
//!  It imports whatever its code calls: what it does not call is not in the
//! component.

/// Guests that are asked about requests.
pub mod asked {
    wit_bindgen::generate!({
        inline: r#"
            package guests:asked;
            world guest {
                import pointsman:skill/models@0.1.0;
                import pointsman:skill/residency@0.1.0;
                import pointsman:skill/sessions@0.1.0;
                import pointsman:skill/conversation@0.1.0;
                import pointsman:skill/inference@0.1.0;
                import pointsman:skill/kv@0.1.0;
                import pointsman:skill/http@0.1.0;
                import pointsman:skill/activity@0.1.0;
                import pointsman:skill/log@0.1.0;
                import pointsman:skill/clock@0.1.0;
                import pointsman:skill/random@0.1.0;
                export pointsman:skill/lifecycle@0.1.0;
                export pointsman:skill/request-hook@0.1.0;
            }
        "#,
        path: "../../wit",
        world: "guests:asked/guest",
        pub_export_macro: true,
        default_bindings_module: "guests::asked",
        generate_all,
    });
}

/// What the guests import by a short name.
pub mod prelude {
    pub use crate::asked::exports::pointsman::skill::lifecycle::{Guest as Lifecycle, Manifest};
    pub use crate::asked::exports::pointsman::skill::request_hook::{Guest as RequestHook, Verdict};
    pub use crate::asked::pointsman::skill::types::*;
    pub use crate::asked::pointsman::skill::{
        activity, clock, conversation, http, inference, kv, log, models, random, residency, sessions,
    };
}

use prelude::*;

/// A manifest that says only what the host insists on.
pub fn manifest(name: &str, reusable: bool) -> Manifest {
    Manifest {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        description: format!("The test guest `{name}`."),
        priority: 100,
        settings_schema: None,
        reusable,
        extra: Vec::new(),
    }
}

/// A route to one model with the conversation as it is.
pub fn route(model: &str) -> Route {
    Route {
        candidates: vec![candidate(model)],
        swap: Swap::Wait,
        hold: Hold::Turn,
        afterwards: Afterwards::Restore,
        tag: None,
        reason: format!("test: {model}"),
        extra: Vec::new(),
    }
}

/// A candidate with the conversation as it is.
pub fn candidate(model: &str) -> Candidate {
    Candidate { model: model.to_owned(), context_length: None, prompt: None, patch: None, extra: Vec::new() }
}

/// An error of this guest.
pub fn error(code: &str, message: &str) -> Error {
    Error { code: code.to_owned(), message: message.to_owned(), retryable: false }
}

/// A whole guest out of one function of the turn; `fresh` guests get a new instance for every call, `warm` ones are
/// reused.
#[macro_export]
macro_rules! guest {
    (fresh $name:literal, $hook:expr) => { $crate::guest!(@ $name, "1.0.0", false, $hook); };
    (warm $name:literal, $hook:expr) => { $crate::guest!(@ $name, "1.0.0", true, $hook); };
    (warm $name:literal $version:literal, $hook:expr) => { $crate::guest!(@ $name, $version, true, $hook); };
    (@ $name:literal, $version:literal, $reusable:literal, $hook:expr) => {
        struct Component;

        impl $crate::prelude::Lifecycle for Component {
            fn describe() -> $crate::prelude::Manifest {
                $crate::prelude::Manifest { version: $version.to_owned(), ..$crate::manifest($name, $reusable) }
            }

            fn configure(_settings: String) -> Result<(), $crate::prelude::Error> {
                Ok(())
            }
        }

        impl $crate::prelude::RequestHook for Component {
            fn on_request(
                turn: $crate::prelude::Turn,
            ) -> Result<$crate::prelude::Verdict, $crate::prelude::Error> {
                let hook: fn($crate::prelude::Turn) -> Result<$crate::prelude::Verdict, $crate::prelude::Error> = $hook;
                hook(turn)
            }
        }

        $crate::asked::export!(Component with_types_in $crate::asked);
    };
}

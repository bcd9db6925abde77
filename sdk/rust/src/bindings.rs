//! The contract as Rust: what `wit/` says, generated once per world so that a skill exports only what it implements.
//!
//! Each hook is a world of its own, because a world's exports are all or nothing; all of them share the records of
//! `types`. Imports sit in one world: those that a skill never calls are dropped when its component is made.
#![expect(missing_docs, reason = "generated from the contract, which carries the documentation")]
#![expect(unreachable_pub, reason = "generated")]

/// Everything a skill can call, and the records that all worlds share.
pub mod capabilities {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package pointsman:sdk;
            world capabilities {
                import pointsman:skill/types@0.1.0;
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
            }
        ",
        additional_derives: [PartialEq],
        generate_all,
        generate_unused_types: true,
    });
}

macro_rules! hook {
    ($(#[$doc:meta])* $module:ident, $inline:literal) => {
        $(#[$doc])*
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $inline,
                with: { "pointsman:skill/types@0.1.0": crate::bindings::contract::types },
                additional_derives: [PartialEq],
                pub_export_macro: true,
            });
        }
    };
}

hook! {
    /// `lifecycle`, which every skill exports.
    lifecycle, "package pointsman:sdk; world skill-lifecycle { export pointsman:skill/lifecycle@0.1.0; }"
}
hook! {
    /// `request-hook`.
    request, "package pointsman:sdk; world skill-request { export pointsman:skill/request-hook@0.1.0; }"
}
hook! {
    /// `tool-hook`.
    tool, "package pointsman:sdk; world skill-tool { export pointsman:skill/tool-hook@0.1.0; }"
}
hook! {
    /// `guard-hook`.
    guard, "package pointsman:sdk; world skill-guard { export pointsman:skill/guard-hook@0.1.0; }"
}
hook! {
    /// `command-hook`.
    command, "package pointsman:sdk; world skill-command { export pointsman:skill/command-hook@0.1.0; }"
}
hook! {
    /// `event-hook`.
    event, "package pointsman:sdk; world skill-event { export pointsman:skill/event-hook@0.1.0; }"
}

/// The package's interfaces, without the path that the generator puts before them.
pub use capabilities::pointsman::skill as contract;

/// The records of the exported interfaces under one roof.
pub mod hooks {
    pub use super::command::exports::pointsman::skill::command_hook::Command;
    pub use super::event::exports::pointsman::skill::event_hook::{Event, Outcome};
    pub use super::lifecycle::exports::pointsman::skill::lifecycle::Manifest;
    pub use super::request::exports::pointsman::skill::request_hook::Verdict as RequestVerdict;
    pub use super::tool::exports::pointsman::skill::tool_hook::{ToolCall, ToolVerdict};
}

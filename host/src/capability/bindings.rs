//! The contract as Rust: generated, and nothing else.
//!
//! The world names every hook; a component need not export them all, so hooks are looked up one interface at a time
//! (`exports::…::GuestIndices`). Only functions that may wait are asynchronous.

#![expect(missing_docs, reason = "generated from wit/, where the documentation is")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "skill",
    imports: {
        default: trappable,
        "pointsman:skill/residency": async | trappable,
        "pointsman:skill/inference": async | trappable,
        "pointsman:skill/http": async | trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
    // What skills were shown is kept, and shown to them again.
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});

pub use self::exports::pointsman::skill::{
    command_hook, event_hook, guard_hook, lifecycle, request_hook, tool_hook,
};
pub use self::pointsman::skill::{
    activity, clock, conversation, http, inference, kv, log, models, random, residency, sessions, types,
};

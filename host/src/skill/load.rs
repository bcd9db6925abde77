//! From bytes to a skill that can be called: what the file is, what the component wants, what it says about itself.
//!
//! Nothing is believed that is not in the component: imports say what it must be granted, exports say when it runs. The
//! guest is called here for the first time, with the same bounds as ever. A file that fails any of this is refused with
//! the reason and costs nobody else anything. Precompiled code is never accepted: it would be native code.

use std::sync::Arc;

use wasmtime::component::{Component, HasSelf, Linker};

use super::call::{CallError, Instance};
use super::command::{self, Command, CommandError};
use super::compiled::{self, Wasm};
use super::engine::Engine;
use super::manifest::{self, Manifest, ManifestError};
use super::pool::{Blueprint, Exports};
use crate::capability::bindings::{
    self, command_hook, event_hook, guard_hook, lifecycle, request_hook, tool_hook,
};
use crate::capability::{Delegates, Identity, Limits, Sandbox, link_wasi};
use crate::grant::{Capability, Grant, Rights};
use crate::id::SkillName;

/// What to load and under which conditions.
pub(super) struct Order {
    pub(super) name: SkillName,
    pub(super) wasm: Wasm,
    /// None grants all that it imports.
    pub(super) grants: Option<Vec<Grant>>,
    pub(super) settings: serde_json::Value,
}

/// A skill that described itself and took its settings.
pub(super) struct Loaded {
    pub(super) manifest: Manifest,
    pub(super) interfaces: Interfaces,
    pub(super) blueprint: Blueprint,
    /// The chat commands it answers.
    pub(super) commands: Vec<Command>,
    /// Configured and not called yet.
    pub(super) first: Instance,
}

/// What a component imports and exports of the contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interfaces {
    pub(super) imports: Vec<Capability>,
    pub(super) hooks: Vec<Hook>,
}

/// When a skill runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// When a turn's first request arrives.
    Request,
    /// When the model calls a tool.
    Tool,
    /// On every list of models about to be used.
    Guard,
    /// When a chat command is given.
    Command,
    /// When something happened.
    Event,
}

/// Why a file is not a skill that can be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// What was installed is not there any more, or not what it was.
    #[error("cannot be read: {0}")]
    Shelf(String),
    /// It is too big.
    #[error("has {0} bytes, more than {COMPONENT_BYTES_MAX}")]
    Large(u64),
    /// It is something else.
    #[error("is not WebAssembly")]
    NotWasm,
    /// It is what compilers make before it is wrapped.
    #[error(
        "is a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// It is native code.
    #[error("is precompiled code, which is never accepted; give the component itself")]
    Precompiled,
    /// The engine does not accept it.
    #[error("does not compile: {0}")]
    Compile(String),
    /// It wants what nobody has.
    #[error("imports `{0}`, which this gateway does not have")]
    UnknownImport(String),
    /// It is not a skill.
    #[error("does not export `pointsman:skill/lifecycle`, so it is not a skill")]
    MissingLifecycle,
    /// It was built against another contract.
    #[error("is built against version {found} of the contract; this gateway supports {CONTRACT}.x")]
    Contract {
        /// The version it names.
        found: String,
    },
    /// An import or export has another type than in the contract.
    #[error("does not fit the contract: {0}")]
    Link(String),
    /// `describe` failed.
    #[error("{0} in `describe`")]
    Describe(CallError),
    /// What `describe` says is not acceptable.
    #[error("describes itself badly: {0}")]
    Manifest(#[from] ManifestError),
    /// The user's settings are not what it takes.
    #[error("cannot be given its settings: {0}")]
    Settings(ManifestError),
    /// `configure` failed.
    #[error("{0} in `configure`")]
    Configure(CallError),
    /// `commands` failed.
    #[error("{0} in `commands`")]
    Commands(CallError),
    /// A chat command is not acceptable.
    #[error("names a chat command badly: {0}")]
    Command(#[from] CommandError),
}

/// Bytes of a component; Python guests have 18 MiB.
pub(super) const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// The part of the contract's version that must agree: within it only interfaces and imported functions are added.
const CONTRACT: &str = "0.1";

/// The contract's package.
const PACKAGE: &str = "pointsman:skill/";

/// Interfaces of the package that need no grant.
const UNGRANTED: [&str; 4] = ["types", "log", "clock", "random"];

/// Loads a skill: checks, compiles, links, describes, configures.
pub(super) async fn load(
    code: &compiled::Source,
    limits: &Arc<Limits>,
    delegates: &Delegates,
    order: Order,
) -> Result<Loaded, LoadError> {
    let engine = &code.engine;
    let component = code.component(order.wasm).await?;
    let interfaces = read_interfaces(engine, &component)?;
    let (pre, exports) = link(&component, &interfaces)?;
    let rights = Rights::effective(&interfaces.imports, order.grants.as_deref());
    let mut blueprint = Blueprint {
        engine: engine.clone(),
        pre,
        exports,
        identity: Arc::new(Identity {
            name: order.name.clone(),
            version: String::new(),
            rights: rights.clone(),
        }),
        delegates: delegates.clone(),
        limits: limits.clone(),
        settings: manifest::settings_text(&order.settings).map_err(LoadError::Settings)?,
    };
    let manifest = describe(&blueprint).await?;
    manifest.check_settings(&order.settings).map_err(LoadError::Settings)?;
    blueprint.identity = Arc::new(Identity { name: order.name, version: manifest.version.clone(), rights });
    let slot =
        engine.slot(limits).await.ok_or(LoadError::Configure(CallError::Busy(limits.instance_wait)))?;
    let mut first = blueprint.make(slot).await.map_err(LoadError::Configure)?;
    let commands = match interfaces.hooks.contains(&Hook::Command) {
        true => command::check(first.commands().await.map_err(LoadError::Commands)?)?,
        false => Vec::new(),
    };
    Ok(Loaded { manifest, interfaces, blueprint, commands, first })
}

async fn describe(blueprint: &Blueprint) -> Result<Manifest, LoadError> {
    let limits = &blueprint.limits;
    let slot = blueprint.engine.slot(limits).await;
    let slot = slot.ok_or(LoadError::Describe(CallError::Busy(limits.instance_wait)))?;
    let mut instance = blueprint.instantiate(slot).await.map_err(LoadError::Describe)?;
    let described = instance.describe().await.map_err(LoadError::Describe)?;
    Ok(manifest::check(described)?)
}

/// What the file is, from its first bytes. A component and a core module differ in their `layer` field.
pub(super) fn check_bytes(wasm: &[u8]) -> Result<(), LoadError> {
    let bytes = wasm.len() as u64;
    if bytes > COMPONENT_BYTES_MAX {
        return Err(LoadError::Large(bytes));
    }
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(LoadError::Precompiled);
    }
    match wasm {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(LoadError::CoreModule),
        _ => Err(LoadError::NotWasm),
    }
}

/// What a component imports and exports, without running any of it; none where it does not compile.
pub(super) async fn interfaces(code: &compiled::Source, wasm: Wasm) -> Option<Interfaces> {
    let component = code.component(wasm).await.ok()?;
    read_interfaces(&code.engine, &component).ok()
}

fn read_interfaces(engine: &Engine, component: &Component) -> Result<Interfaces, LoadError> {
    let ty = component.component_type();
    let imports: Vec<String> = ty.imports(engine.wasm()).map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<String> = ty.exports(engine.wasm()).map(|(name, _)| name.to_owned()).collect();
    sort_names(imports.iter().map(String::as_str), exports.iter().map(String::as_str))
}

/// What the names of imports and exports mean. Exports beyond the contract are tolerated: toolchains add some.
fn sort_names<'a>(
    imports: impl Iterator<Item = &'a str>,
    exports: impl Iterator<Item = &'a str>,
) -> Result<Interfaces, LoadError> {
    let mut interfaces = Interfaces::default();
    let mut lifecycle = false;
    for name in exports {
        match contract_interface(name)? {
            Some("lifecycle") => lifecycle = true,
            Some(interface) => interfaces.hooks.extend(Hook::from_name(interface)),
            None => {}
        }
    }
    if !lifecycle {
        return Err(LoadError::MissingLifecycle);
    }
    for name in imports {
        match contract_interface(name)? {
            Some(interface) => match Capability::from_name(interface) {
                Some(capability) => interfaces.imports.push(capability),
                None if UNGRANTED.contains(&interface) => {}
                None => return Err(LoadError::UnknownImport(super::text::shown(name))),
            },
            None if name.starts_with("wasi:") => {}
            None => return Err(LoadError::UnknownImport(super::text::shown(name))),
        }
    }
    Ok(interfaces)
}

/// The interface of the contract that a name stands for, where its version is one we serve.
fn contract_interface(name: &str) -> Result<Option<&str>, LoadError> {
    let Some(rest) = name.strip_prefix(PACKAGE) else { return Ok(None) };
    let (interface, version) = rest.split_once('@').unwrap_or((rest, "none"));
    let patch = version.strip_prefix(CONTRACT).and_then(|rest| rest.strip_prefix('.'));
    match patch {
        Some(patch) if !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()) => Ok(Some(interface)),
        _ => Err(LoadError::Contract { found: super::text::shown(version) }),
    }
}

/// Links the component to the host, and finds its hooks. Types are checked here, not at the first call.
fn link(
    component: &Component,
    interfaces: &Interfaces,
) -> Result<(wasmtime::component::InstancePre<Sandbox>, Exports), LoadError> {
    let link = |error: wasmtime::Error| LoadError::Link(super::text::shown(&format!("{error:#}")));
    let mut linker = Linker::<Sandbox>::new(component.engine());
    bindings::Skill::add_to_linker::<_, HasSelf<_>>(&mut linker, |sandbox| sandbox).map_err(link)?;
    link_wasi(&mut linker, component).map_err(link)?;
    let pre = linker.instantiate_pre(component).map_err(link)?;
    let lifecycle = lifecycle::GuestIndices::new(&pre).map_err(link)?;
    let has = |hook| interfaces.hooks.contains(&hook);
    let request =
        has(Hook::Request).then(|| request_hook::GuestIndices::new(&pre)).transpose().map_err(link)?;
    let tool = has(Hook::Tool).then(|| tool_hook::GuestIndices::new(&pre)).transpose().map_err(link)?;
    let guard = has(Hook::Guard).then(|| guard_hook::GuestIndices::new(&pre)).transpose().map_err(link)?;
    let command =
        has(Hook::Command).then(|| command_hook::GuestIndices::new(&pre)).transpose().map_err(link)?;
    let event = has(Hook::Event).then(|| event_hook::GuestIndices::new(&pre)).transpose().map_err(link)?;
    Ok((pre, Exports { lifecycle, request, tool, guard, command, event }))
}

// === impl Interfaces ===

impl Interfaces {
    /// The hooks of these names.
    pub(super) fn hooks_named(names: &[String]) -> Vec<Hook> {
        names.iter().filter_map(|name| Hook::from_name(name)).collect()
    }
}

// === impl Hook ===

impl Hook {
    /// The name of its interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request-hook",
            Self::Tool => "tool-hook",
            Self::Guard => "guard-hook",
            Self::Command => "command-hook",
            Self::Event => "event-hook",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Request, Self::Tool, Self::Guard, Self::Command, Self::Event]
            .into_iter()
            .find(|hook| hook.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let check = |bytes: &[u8], expected: &str| {
            let shown = check_bytes(bytes).map(|()| String::new()).unwrap_or_else(|error| error.to_string());
            assert!(shown.starts_with(expected) && shown.is_empty() == expected.is_empty(), "{shown}");
        };
        check(b"\0asm\x0d\0\x01\0", "");
        check(b"\0asm\x01\0\0\0", "is a core module");
        check(b"\x7fELF\x02\x01\x01\0", "is not WebAssembly");
        check(b"", "is not WebAssembly");
        // The smallest component there is, compiled.
        let engine = wasmtime::Engine::default();
        let compiled = engine.precompile_component(b"\0asm\x0d\0\x01\0").unwrap();
        check(&compiled, "is precompiled code");
        check(b"#!/bin/sh\n", "is not WebAssembly");
    }

    #[test]
    fn names_say_what_a_component_is() {
        let check = |imports: &[&str], exports: &[&str], expected: Result<(&[Capability], &[Hook]), &str>| {
            let sorted = sort_names(imports.iter().copied(), exports.iter().copied());
            let sorted = sorted.map_err(|error| error.to_string());
            let expected = expected
                .map(|(imports, hooks)| Interfaces { imports: imports.to_vec(), hooks: hooks.to_vec() })
                .map_err(str::to_owned);
            assert_eq!(sorted, expected);
        };
        let lifecycle = "pointsman:skill/lifecycle@0.1.0";
        check(
            &[
                "pointsman:skill/types@0.1.0",
                "pointsman:skill/models@0.1.3",
                "pointsman:skill/log@0.1.0",
                "wasi:io/poll@0.2.6",
            ],
            &[lifecycle, "pointsman:skill/request-hook@0.1.0", "exports", "init"],
            Ok((&[Capability::Models], &[Hook::Request])),
        );
        check(
            &[],
            &["wasi:cli/run@0.2.0"],
            Err("does not export `pointsman:skill/lifecycle`, so it is not a skill"),
        );
        for version in ["0.2.0", "0.1", "0.10.0", "1.0.0", "0.1.0-rc"] {
            let export = format!("pointsman:skill/lifecycle@{version}");
            let message =
                format!("is built against version {version} of the contract; this gateway supports 0.1.x");
            check(&[], &[&export], Err(&message));
        }
        check(
            &[],
            &["pointsman:skill/lifecycle"],
            Err("is built against version none of the contract; this gateway supports 0.1.x"),
        );
        check(
            &["pointsman:skill/teleport@0.1.0"],
            &[lifecycle],
            Err("imports `pointsman:skill/teleport@0.1.0`, which this gateway does not have"),
        );
        check(
            &["acme:db/sql@1.0.0"],
            &[lifecycle],
            Err("imports `acme:db/sql@1.0.0`, which this gateway does not have"),
        );
    }
}

//! WASI for guests whose toolchain imports it by default: every interface of 0.2 is there and nothing is behind it. No
//! arguments, environment, files, sockets or input; output is kept, bounded, and goes to the log.
//!
//! Clocks and random numbers are real where runtimes read them at start; in a hook that may be asked once more, the time and
//! the chance are the request's, as `clock` and `random` say it. A guest that goes to sleep is ended by its call's wall clock. Interfaces beyond wasmtime's own (`wasi:http`, which a JavaScript toolchain imports
//! unasked) are linked to traps, one component at a time.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use rand::RngCore as _;
use rand_chacha::ChaCha20Rng;
use rand_core::TryRng;
use tokio::io::AsyncWrite;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceTable, ResourceType};
use wasmtime_wasi::HostWallClock;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::subject::Moment;
use super::{Sandbox, sandbox};

/// One instance's WASI.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    pub(super) output: Output,
    moment: Now,
}

/// The moment that the call is about, where it is about one. Clones see the same.
#[derive(Clone, Default)]
struct Now(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    moment: Option<Moment>,
    /// Of that moment, as soon as some was asked for.
    chance: Option<ChaCha20Rng>,
}

/// What a guest printed during one call, standard output and standard error together. Clones write to the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Output(Arc<Mutex<Printed>>);

#[derive(Debug, Default)]
struct Printed {
    bytes: Vec<u8>,
    bytes_max: usize,
}

/// Handles that an instance may hold in WASI; a runtime holds about ten.
const HANDLES_MAX: usize = 256;

/// Random bytes a guest may ask WASI for at once.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// What a stream says it would take: output beyond the bound is swallowed rather than made to wait.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Links WASI, and whatever else of `wasi:` this component imports, to nothing.
pub fn link_wasi(linker: &mut Linker<Sandbox>, component: &Component) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    let engine = component.engine();
    let mut known: Vec<ResourceType> = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        let foreign = name.starts_with("wasi:") && !PROVIDED.iter().any(|package| name.starts_with(package));
        let mut target = if foreign { Some(linker.instance(name)?) } else { None };
        for (item, export) in instance.exports(engine) {
            if let ComponentItem::Resource(resource) = export.ty {
                // A resource seen before is another interface's, imported under a second name.
                if !known.contains(&resource) {
                    known.push(resource);
                } else {
                    continue;
                }
            }
            if let Some(target) = &mut target {
                link_trap(target, name, item, &export.ty)?;
            }
        }
    }
    Ok(())
}

/// The packages of WASI that wasmtime brings.
const PROVIDED: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// A resource that no guest ever gets one of.
struct Never;

fn link_trap(
    target: &mut LinkerInstance<'_, Sandbox>,
    interface: &str,
    item: &str,
    ty: &ComponentItem,
) -> wasmtime::Result<()> {
    match ty {
        ComponentItem::ComponentFunc(_) => {
            let message = format!("called `{item}` of `{interface}`, which skills do not have");
            target.func_new(item, move |_, _, _, _| Err(wasmtime::Error::msg(message.clone())))
        }
        ComponentItem::Resource(_) => target.resource(item, ResourceType::host::<Never>(), |_, _| Ok(())),
        _ => Ok(()),
    }
}

// === impl Wasi ===

impl Wasi {
    pub(super) fn inert() -> Self {
        let output = Output::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let moment = Now::default();
        let ctx = WasiCtx::builder()
            .wall_clock(moment.clone())
            .secure_random(moment.clone())
            .insecure_random(moment.clone())
            .stdout(output.clone())
            .stderr(output.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX)
            .build();
        Self { ctx, table, output, moment }
    }

    /// A call begins that is about this moment; about none, time and chance are real.
    pub(super) fn at(&self, moment: Option<Moment>) {
        *self.moment.told() = Told { moment, chance: None };
    }
}

// === impl Now ===

impl Now {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostWallClock for Now {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        match &self.told().moment {
            Some(moment) => Duration::from_millis(moment.at_ms),
            None => UNIX_EPOCH.elapsed().unwrap_or_default(),
        }
    }
}

impl TryRng for Now {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let mut told = self.told();
        let Told { moment, chance } = &mut *told;
        match moment {
            Some(moment) => {
                let made = || sandbox::chance(&moment.seed, WHOSE);
                chance.get_or_insert_with(made).fill_bytes(bytes);
            }
            None => rand::rng().fill_bytes(bytes),
        }
        Ok(())
    }
}

/// What WASI's chance is made of, beside the request's; the contract's own is each skill's.
const WHOSE: &str = "wasi";

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi.ctx, table: &mut self.wasi.table }
    }
}

// === impl Output ===

impl Output {
    /// Forgets what was printed, and takes up to this much.
    pub(super) fn open(&self, bytes_max: usize) {
        let mut printed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        printed.bytes.clear();
        printed.bytes_max = bytes_max;
    }

    /// What was printed.
    pub(super) fn take(&self) -> String {
        let mut printed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if printed.bytes.is_empty() {
            return String::new();
        }
        String::from_utf8_lossy(&std::mem::take(&mut printed.bytes)).into_owned()
    }

    fn print(&self, bytes: &[u8]) {
        let mut printed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = printed.bytes_max.saturating_sub(printed.bytes.len());
        let kept = bytes.get(..room).unwrap_or(bytes);
        printed.bytes.extend_from_slice(kept);
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 would write here, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_ends_at_its_bound() {
        let output = Output::default();
        output.open(8);
        output.print(b"12345");
        output.print(b"67890");
        assert_eq!((output.take(), output.take()), ("12345678".to_owned(), String::new()));
        output.open(0);
        output.print(b"1");
        assert_eq!(output.take(), "");
    }
}

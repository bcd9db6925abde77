//! Machine code of components: compiled once, then taken from the cache that only this gateway writes.
//!
//! What is in the cache is native code. It is believed because the shelf authenticates it with a key that nobody else can
//! read, and because its name holds the component's digest and what the engine was built with; anything else is compiled
//! anew. Code from the compiler's process is believed because this gateway started it from its own program. Precompiled
//! code from elsewhere never comes here.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Component;

use super::compiler::{BIG_BYTES, CompileError, Compiler};
use super::engine::Engine;
use super::load::LoadError;
use super::text::shown;
use crate::shelf::Shelf;
use crate::shelf::compiled::CacheKey;
use crate::shelf::{Digest, compiled::Compiled};

/// Where code comes from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) engine: Arc<Engine>,
    /// Where big components are compiled; none where they are compiled here.
    pub(super) compiler: Option<Compiler>,
    pub(super) shelf: Option<Arc<Shelf>>,
}

// === impl Source ===

impl Source {
    /// The component, compiled: off the runtime's threads, and what is big in a process of its own.
    pub(super) async fn component(&self, wasm: Bytes) -> Result<Component, LoadError> {
        let (source, bytes) = (self.clone(), wasm.clone());
        if let Some(component) = in_background(move || source.cached(&bytes)).await? {
            return Ok(component);
        }
        let code = self.compiled_elsewhere(&wasm).await?;
        let source = self.clone();
        let made = in_background(move || match code {
            Some(code) => source.of_code(&wasm, &code),
            None => source.compiled_here(&wasm),
        });
        made.await?.map_err(|error| LoadError::Compile(shown(&format!("{error:#}"))))
    }

    /// Machine code of a big component, from the compiler's process; none where it is compiled here.
    async fn compiled_elsewhere(&self, wasm: &Bytes) -> Result<Option<Bytes>, LoadError> {
        let Some(compiler) = self.compiler.as_ref().filter(|_| wasm.len() >= BIG_BYTES) else {
            return Ok(None);
        };
        match compiler.compile(&self.engine, wasm.clone()).await {
            Ok(code) => Ok(Some(code)),
            Err(CompileError::Component(reason)) => Err(LoadError::Compile(reason)),
            Err(CompileError::Compiler(reason)) => {
                tracing::warn!("a big component is compiled here: its compiler cannot be used: {reason}");
                Ok(None)
            }
        }
    }

    fn cached(&self, wasm: &[u8]) -> Option<Component> {
        let cache = self.cache()?;
        let key = self.key(wasm);
        let component = self.deserialized(&cache.get(&key)?);
        let stale = |error: &wasmtime::Error| {
            tracing::warn!("compiled code of a skill is of no use any more: {error:#}");
            cache.remove(&key);
        };
        component.inspect_err(stale).ok()
    }

    fn of_code(&self, wasm: &[u8], code: &[u8]) -> wasmtime::Result<Component> {
        let component = self.deserialized(code)?;
        if let Some(cache) = self.cache() {
            cache.put(&self.key(wasm), code);
        }
        Ok(component)
    }

    fn compiled_here(&self, wasm: &[u8]) -> wasmtime::Result<Component> {
        let component = Component::new(self.engine.wasm(), wasm)?;
        if let Some(cache) = self.cache() {
            cache.put(&self.key(wasm), &component.serialize()?);
        }
        Ok(component)
    }

    fn deserialized(&self, code: &[u8]) -> wasmtime::Result<Component> {
        #[expect(unsafe_code, reason = "see the head: this gateway compiled it for this engine")]
        // SAFETY: either the shelf has checked that these are the bytes which this gateway wrote for this component and
        // engine, or this program's own compiler has just made them for an engine of the same fingerprint.
        unsafe {
            Component::deserialize(self.engine.wasm(), code)
        }
    }

    fn cache(&self) -> Option<&Compiled> {
        self.shelf.as_deref().map(Shelf::compiled).filter(|cache| cache.is_usable())
    }

    /// Everything that decides what the machine code is.
    fn key(&self, wasm: &[u8]) -> CacheKey {
        CacheKey {
            component: Digest::of(wasm),
            engine: self.engine.fingerprint(),
            extra: concat!(env!("CARGO_PKG_VERSION"), " ", env!("CARGO_PKG_NAME")).to_owned(),
        }
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    let crashed = |_| LoadError::Compile("the compiler crashed".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(crashed)
}

//! Machine code of components: compiled once, then taken from the cache that only this gateway writes.
//!
//! What is in the cache is native code. It is believed because the shelf authenticates it with a key that nobody else can
//! read, and because its name holds the component's digest and what the engine was built with; anything else is compiled
//! anew. Code from the compiler's process is believed because this gateway started it from its own program. Precompiled
//! code from elsewhere never comes here.
//!
//! Code in the cache is mapped, not read, and the component that it was made of is not even opened: a start costs what is
//! used of the code, not its size.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Component;

use super::compiler::{BIG_BYTES, CompileError, Compiler};
use super::engine::Engine;
use super::load::{LoadError, check_bytes};
use super::text::shown;
use crate::shelf::Shelf;
use crate::shelf::compiled::CacheKey;
use crate::shelf::{Digest, compiled::Compiled};

/// A component, which is only read where it has to be compiled.
#[derive(Clone)]
pub(super) enum Wasm {
    /// Its bytes.
    Here(Bytes),
    /// An installed one's.
    Kept { shelf: Arc<Shelf>, digest: Digest },
}

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
    pub(super) async fn component(&self, wasm: Wasm) -> Result<Component, LoadError> {
        let source = self.clone();
        let found = in_background(move || source.find(&wasm)).await??;
        let (key, wasm) = match found {
            Found::Cached(component) => return Ok(component),
            Found::Wasm(key, wasm) => (key, wasm),
        };
        let code = self.compiled_elsewhere(&wasm).await?;
        let source = self.clone();
        let made = in_background(move || match code {
            Some(code) => source.of_code(&key, &code),
            None => source.compiled_here(&key, &wasm),
        });
        made.await?.map_err(|error| LoadError::Compile(shown(&format!("{error:#}"))))
    }

    /// What the cache has of a component; where it has nothing, the component itself.
    fn find(&self, wasm: &Wasm) -> Result<Found, LoadError> {
        if let Wasm::Here(bytes) = wasm {
            check_bytes(bytes)?;
        }
        let key = self.key(wasm.digest());
        if let Some(component) = self.cached(&key) {
            return Ok(Found::Cached(component));
        }
        let bytes = wasm.read()?;
        check_bytes(&bytes)?;
        Ok(Found::Wasm(key, bytes))
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

    fn cached(&self, key: &CacheKey) -> Option<Component> {
        let cache = self.cache()?;
        let path = cache.get(key)?;
        #[expect(unsafe_code, reason = "see the head: this gateway compiled it for this engine")]
        // SAFETY: the shelf has checked that these are the bytes which this gateway wrote for this component and engine.
        // They are mapped after that: who could change the file in between, or later, runs as the gateway's own user.
        let component = unsafe { Component::deserialize_file(self.engine.wasm(), path) };
        let stale = |error: &wasmtime::Error| {
            tracing::warn!("compiled code of a skill is of no use any more: {error:#}");
            cache.remove(key);
        };
        component.inspect_err(stale).ok()
    }

    fn of_code(&self, key: &CacheKey, code: &[u8]) -> wasmtime::Result<Component> {
        #[expect(unsafe_code, reason = "see the head: this gateway's own compiler made it")]
        // SAFETY: this program's own compiler has just made it, for an engine of the same fingerprint.
        let component = unsafe { Component::deserialize(self.engine.wasm(), code) }?;
        if let Some(cache) = self.cache() {
            cache.put(key, code);
        }
        Ok(component)
    }

    fn compiled_here(&self, key: &CacheKey, wasm: &[u8]) -> wasmtime::Result<Component> {
        let component = Component::new(self.engine.wasm(), wasm)?;
        if let Some(cache) = self.cache() {
            cache.put(key, &component.serialize()?);
        }
        Ok(component)
    }

    fn cache(&self) -> Option<&Compiled> {
        self.shelf.as_deref().map(Shelf::compiled).filter(|cache| cache.is_usable())
    }

    /// Everything that decides what the machine code is.
    fn key(&self, component: Digest) -> CacheKey {
        CacheKey {
            component,
            engine: self.engine.fingerprint(),
            extra: concat!(env!("CARGO_PKG_VERSION"), " ", env!("CARGO_PKG_NAME")).to_owned(),
        }
    }
}

/// What there is of a component.
enum Found {
    Cached(Component),
    Wasm(CacheKey, Bytes),
}

// === impl Wasm ===

impl Wasm {
    /// The digest of its bytes; of an installed one it is known.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Here(bytes) => Digest::of(bytes),
            Self::Kept { digest, .. } => *digest,
        }
    }

    fn read(&self) -> Result<Bytes, LoadError> {
        match self {
            Self::Here(bytes) => Ok(bytes.clone()),
            Self::Kept { shelf, digest } => match shelf.get(digest) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => Err(LoadError::Shelf(error.to_string())),
            },
        }
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    let crashed = |_| LoadError::Compile("the compiler crashed".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(crashed)
}

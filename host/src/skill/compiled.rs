//! Machine code of components: compiled once, then taken from the cache that only this gateway writes.
//!
//! What is in the cache is native code. It is believed because the shelf authenticates it with a key that nobody else can
//! read, and because its name holds the component's digest and what the engine was built with; anything else is compiled
//! anew. Precompiled code from elsewhere never comes here.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Component;

use super::engine::Engine;
use super::load::LoadError;
use crate::shelf::Digest;
use crate::shelf::Shelf;
use crate::shelf::compiled::CacheKey;

/// Compiles off the runtime's threads: a big guest takes seconds.
pub(super) async fn component(
    engine: &Arc<Engine>,
    shelf: Option<Arc<Shelf>>,
    wasm: Bytes,
) -> Result<Component, LoadError> {
    let engine = engine.clone();
    let compiled =
        tokio::task::spawn_blocking(move || from_cache_or_anew(&engine, shelf.as_deref(), &wasm)).await;
    match compiled {
        Ok(compiled) => {
            compiled.map_err(|error| LoadError::Compile(super::text::shown(&format!("{error:#}"))))
        }
        Err(_) => Err(LoadError::Compile("the compiler crashed".to_owned())),
    }
}

fn from_cache_or_anew(engine: &Engine, shelf: Option<&Shelf>, wasm: &[u8]) -> wasmtime::Result<Component> {
    let Some(cache) = shelf.map(Shelf::compiled).filter(|cache| cache.is_usable()) else {
        return Component::new(engine.wasm(), wasm);
    };
    let key = key(engine, wasm);
    if let Some(code) = cache.get(&key) {
        #[expect(unsafe_code, reason = "authenticated above: this gateway compiled it with this engine")]
        // SAFETY: the shelf has checked that these are the bytes which this gateway wrote for this component and engine.
        let component = unsafe { Component::deserialize(engine.wasm(), &code) };
        match component {
            Ok(component) => return Ok(component),
            Err(error) => {
                tracing::warn!("compiled code of a skill is of no use any more: {error:#}");
                cache.remove(&key);
            }
        }
    }
    let component = Component::new(engine.wasm(), wasm)?;
    cache.put(&key, &component.serialize()?);
    Ok(component)
}

/// Everything that decides what the machine code is.
fn key(engine: &Engine, wasm: &[u8]) -> CacheKey {
    let mut hasher = DefaultHasher::new();
    engine.wasm().precompile_compatibility_hash().hash(&mut hasher);
    CacheKey {
        component: Digest::of(wasm),
        engine: hasher.finish(),
        extra: concat!(env!("CARGO_PKG_VERSION"), " ", env!("CARGO_PKG_NAME")).to_owned(),
    }
}

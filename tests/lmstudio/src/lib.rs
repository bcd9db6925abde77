//! An LM Studio that runs anywhere: its REST API, its quirks and its faults, for tests and demonstrations.
//!
//! Owns what a client of LM Studio can see over HTTP: the native model list with load and unload, the OpenAI-compatible
//! chat, the errors in all their shapes, the headers, and the memory behind it. Models are imitated: answers are the
//! same every time and name the instance that served and the images that arrived.
//!
//! What is not there: the v0 API, downloads, native chat, embeddings, the idle timer that unloads models loaded by
//! requests. Their paths answer as paths that do not exist.

mod chat;
mod control;
mod emulator;
mod exchange;
mod listener;
mod memory;
mod native;
mod reply;
mod resolve;
mod server;
mod shared;

pub mod config;
pub mod fault;
pub mod log;

#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, Model};
pub use emulator::{Emulator, Restart, StartError};
pub use fault::Fault;
pub use log::{Entry, Event};

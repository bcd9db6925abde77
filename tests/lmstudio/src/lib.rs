//! An LM Studio that runs anywhere: its REST API, its quirks and its faults, for tests and demonstrations.
//!
//! Owns what a client of LM Studio can see over HTTP: the native API in both its versions, the OpenAI-compatible one,
//! the errors in all their shapes, the headers, and the memory behind it. Models are imitated: answers are the same
//! every time and name the instance that served and the images that arrived. Where the configuration names weights and
//! an engine, an instance is a process of that engine instead.
//!
//! What is not there: `/v1/responses`, `/v1/messages`, and what is not HTTP with JSON. Their paths answer as paths that
//! do not exist.

mod access;
mod chat;
mod control;
mod download;
mod embeddings;
mod emulator;
mod engine;
mod exchange;
mod inference;
mod life;
mod listener;
mod memory;
mod native;
mod reply;
mod resolve;
mod server;
mod shared;
mod v0;

pub mod config;
pub mod fault;
pub mod log;

#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, Model};
pub use emulator::{Emulator, Restart, StartError};
pub use fault::Fault;
pub use log::{Entry, Event};

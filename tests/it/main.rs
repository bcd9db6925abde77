//! Scenarios through real sockets, the tidy test, badly behaved skills: one binary, so that the engine is linked once.

mod binary;
mod clients;
mod commands;
mod compiler;
mod contained;
mod crash;
mod download;
mod engine;
mod export;
mod faults;
mod folder;
mod front;
mod hooks;
mod languages;
mod limits;
mod manage;
mod plugins;
mod registry;
mod requests;
mod scenarios;
mod sessions;
mod skills;
mod swap;
mod tidy;
mod traps;
mod tried;

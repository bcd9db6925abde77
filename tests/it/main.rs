//! Scenarios through real sockets, the tidy test, badly behaved skills: one binary, so that the engine is linked once.

mod binary;
mod clients;
mod commands;
mod crash;
mod engine;
mod export;
mod faults;
mod folder;
mod front;
mod hooks;
mod manage;
mod plugins;
mod reload;
mod requests;
mod scenarios;
mod sessions;
mod skills;
mod swap;
mod tidy;
mod traps;

//! The way in: connections, who may use them, and which request goes where. Chat requests go straight to the exchange;
//! everything else is small and goes through axum.
//!
//! Bounded: connections at once, header bytes and time, body bytes and time. What a request's headers give away (no key,
//! too long, a foreign page) is refused before its body is read.

pub mod entrance;
pub mod guard;
pub mod keys;
pub mod listener;
pub mod models;
pub mod read;
pub mod routes;

use std::time::Duration;

use keys::Keys;

/// Who may come in, and how much they may bring.
#[derive(Debug, Clone)]
pub struct Config {
    /// Clients' keys; with none, no key is asked for.
    pub keys: Keys,
    /// Host names, besides localhost and addresses, under which clients may reach the gateway.
    pub allowed_hosts: Vec<String>,
    /// Bytes of a body, decompressed.
    pub body_bytes_max: usize,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// Connections at once.
    pub connections_max: usize,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            allowed_hosts: Vec::new(),
            body_bytes_max: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(60),
            connections_max: 1024,
        }
    }
}

//! What every skill may use without a grant: `log`, `clock`, `random`. A hook that may be asked
//! once more, as the request hook is when a decision is replayed, is given the same time and the same chance each time: the
//! request's.
//!
//! A line of a guest is one line of the gateway's log, whatever is in it, stamped with who wrote it. Lines and bytes are
//! bounded per call; what is beyond is dropped and that is said once.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::rngs::OsRng;
use rand::{RngCore, TryRngCore};

use super::Sandbox;
use super::bindings::{clock, log, random};
use super::subject::{Moment, utc_offset_minutes};

/// The contract's bound on random bytes per call.
const RANDOM_BYTES_MAX: u32 = 1024;

impl log::Host for Sandbox {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.enter()?;
        self.log_line(level, &message);
        Ok(())
    }
}

impl clock::Host for Sandbox {
    fn now(&mut self) -> wasmtime::Result<f64> {
        self.enter()?;
        let ms = match self.moment() {
            Some(moment) => moment.at_ms as f64,
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0,
        };
        Ok(ms)
    }

    fn utc_offset(&mut self) -> wasmtime::Result<i32> {
        self.enter()?;
        Ok(self.moment().map_or_else(utc_offset_minutes, Moment::utc_offset_minutes))
    }
}

impl random::Host for Sandbox {
    fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        self.enter()?;
        let mut bytes = vec![0; count.min(RANDOM_BYTES_MAX) as usize];
        match self.chance() {
            Some(chance) => chance.fill_bytes(&mut bytes),
            None => OsRng.try_fill_bytes(&mut bytes).map_err(wasmtime::Error::new)?,
        }
        Ok(bytes)
    }
}

impl Sandbox {
    /// One line to the log, as far as the call's allowance goes.
    pub(super) fn log_line(&mut self, level: log::Level, message: &str) {
        let Some(bytes) = self.allowance.log_line(message.len()) else {
            self.log_dropped();
            return;
        };
        let line = one_line(message, bytes);
        let (skill, version, request) = self.author();
        match level {
            log::Level::Trace => tracing::trace!(skill, version, request, "{line}"),
            log::Level::Debug => tracing::debug!(skill, version, request, "{line}"),
            log::Level::Info => tracing::info!(skill, version, request, "{line}"),
            log::Level::Warn => tracing::warn!(skill, version, request, "{line}"),
            log::Level::Error => tracing::error!(skill, version, request, "{line}"),
        }
    }

    fn log_dropped(&mut self) {
        if self.allowance.note_dropped_lines() {
            let (skill, version, request) = self.author();
            tracing::warn!(skill, version, request, "further lines of this call are dropped");
        }
    }

    fn author(&self) -> (&str, &str, &str) {
        let request = self.subject().map_or("", |subject| subject.request.as_str());
        (self.identity.name.as_str(), &self.identity.version, request)
    }
}

/// At most this many bytes of a text, without control characters: a guest must not forge lines or move the cursor.
fn one_line(text: &str, bytes_max: usize) -> String {
    let end = text.floor_char_boundary(bytes_max);
    let text = text.get(..end).unwrap_or_default();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(one_line("a\nb\u{1b}[31mc", 100), "a b [31mc");
        assert_eq!(one_line("äöü", 3), "ä");
        assert_eq!(one_line("abc", 0), "");
    }
}

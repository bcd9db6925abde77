//! The capability `kv`: a skill's own durable store. It is kept under the name the skill was installed as, whatever the
//! guest calls itself, and shared by all its instances and versions.
//!
//! Bounded by the grant's quota over keys and values together, and by the sizes below.

use super::bindings::{kv, types};
use super::{Code, Error, Sandbox};
use crate::grant::Capability;
use crate::id::SkillName;

/// Keeps what skills want kept. Answers at once; what is changed is on disk within a second.
pub trait Kv: Send + Sync {
    /// The value.
    fn get(&self, skill: &SkillName, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Replaces the value, or removes it. Keys and values together stay within `quota` bytes.
    fn set(&self, skill: &SkillName, key: &str, value: Option<&[u8]>, quota: usize) -> Result<(), Error>;

    /// Keys with this beginning, sorted, at most so many.
    fn keys(&self, skill: &SkillName, prefix: &str, most: usize) -> Result<Vec<String>, Error>;

    /// Adds to a number in one step, and says what it is now.
    fn increment(&self, skill: &SkillName, key: &str, by: f64, quota: usize) -> Result<f64, Error>;
}

/// Bytes of a key.
const KEY_BYTES_MAX: usize = 512;

/// Bytes of a value.
const VALUE_BYTES_MAX: usize = 256 * 1024;

/// Keys in one answer.
const KEYS_MAX: usize = 1000;

/// A kept number. Numbers are kept as text, so that `get` shows them as people write them.
pub fn number(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

impl kv::Host for Sandbox {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Error>> {
        self.enter()?;
        let read = self.keep(&key).and_then(|()| self.delegates.kv.get(&self.identity.name, &key));
        Ok(read.map_err(Error::into_record))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), types::Error>> {
        self.enter()?;
        Ok(self.write(&key, Some(&value)).map_err(Error::into_record))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.enter()?;
        Ok(self.write(&key, None).map_err(Error::into_record))
    }

    fn keys(&mut self, prefix: String) -> wasmtime::Result<Result<Vec<String>, types::Error>> {
        self.enter()?;
        let read = self.check(Capability::Kv);
        let read = read.and_then(|()| self.delegates.kv.keys(&self.identity.name, &prefix, KEYS_MAX));
        Ok(read.map_err(Error::into_record))
    }

    fn increment(&mut self, key: String, by: f64) -> wasmtime::Result<Result<f64, types::Error>> {
        self.enter()?;
        let added = self.may_write(&key).and_then(|quota| {
            if !by.is_finite() {
                return Err(Error::new(Code::Invalid, "only finite numbers are added"));
            }
            self.delegates.kv.increment(&self.identity.name, &key, by, quota)
        });
        Ok(added.map_err(Error::into_record))
    }
}

impl Sandbox {
    fn keep(&self, key: &str) -> Result<(), Error> {
        self.check(Capability::Kv)?;
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::new(Code::Invalid, format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// How many bytes the skill may keep, where it may write now.
    fn may_write(&self, key: &str) -> Result<usize, Error> {
        self.keep(key)?;
        if self.is_setup() {
            return Err(Error::new(Code::Unavailable, "values are written only from hooks"));
        }
        Ok(self.identity.rights.kv_bytes_max())
    }

    fn write(&self, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        let quota = self.may_write(key)?;
        if value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(Error::new(Code::Limit, format!("a value has at most {VALUE_BYTES_MAX} bytes")));
        }
        self.delegates.kv.set(&self.identity.name, key, value, quota)
    }
}

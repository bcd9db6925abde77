//! Where residency keeps what must survive the process: a small trait that the application gives an implementation of,
//! and one that keeps things for as long as the process lives.
//!
//! Bounded by what is kept: one record a device, one list of models a provider, each replaced as a whole. Serving never
//! depends on it: what cannot be read is taken for nothing, what cannot be written is lost.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::record::{Kept, KnownModel, Record};

/// Resolves when a record is durable, or is known not to be.
pub type Synced = Pin<Box<dyn Future<Output = Result<(), NotKept>> + Send>>;

/// Keeps records. Whatever is handed in first is durable first; none of the writes may wait.
pub trait Journal: Send + Sync + 'static {
    /// What was kept for this device and these providers of it. Called once, at the start; may wait for a disk.
    fn load(&self, device: &str, providers: &[&str]) -> Kept;

    /// Replaces the device's record, some time soon.
    fn write(&self, device: &str, record: &Record);

    /// Replaces the device's record at once. Handed in when called, not when the future is first polled.
    fn write_synced(&self, device: &str, record: &Record) -> Synced;

    /// Replaces what is known of the provider's models, some time soon.
    fn write_models(&self, provider: &str, models: &[KnownModel]);
}

/// A record may not outlive the process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record was not kept: {0}")]
pub struct NotKept(pub String);

/// Keeps everything in its stored form until it is dropped itself. It has no clock: what it kept is always new.
#[derive(Debug, Default)]
pub struct InMemory(Mutex<Texts>);

#[derive(Debug, Default)]
struct Texts {
    records: BTreeMap<String, String>,
    models: BTreeMap<String, String>,
}

// === impl InMemory ===

impl Journal for InMemory {
    fn load(&self, device: &str, providers: &[&str]) -> Kept {
        let texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let models = providers.iter().filter_map(|provider| {
            let text = texts.models.get(*provider)?;
            Some(((*provider).to_owned(), serde_json::from_str(text).ok()?))
        });
        let record = texts.records.get(device).and_then(|text| serde_json::from_str(text).ok());
        Kept { record, age: Duration::ZERO, models: models.collect() }
    }

    fn write(&self, device: &str, record: &Record) {
        // A record has nothing in it that JSON could not hold.
        let text = serde_json::to_string(record).unwrap_or_default();
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.records.insert(device.to_owned(), text);
    }

    fn write_synced(&self, device: &str, record: &Record) -> Synced {
        self.write(device, record);
        Box::pin(std::future::ready(Ok(())))
    }

    fn write_models(&self, provider: &str, models: &[KnownModel]) {
        let text = serde_json::to_string(models).unwrap_or_default();
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.models.insert(provider.to_owned(), text);
    }
}

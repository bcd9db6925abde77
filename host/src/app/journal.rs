//! Residency's journal in the store: one document for each device, one for each provider's models.
//!
//! A provider's list is one document because it is read and replaced as a whole; the store's bound on a document bounds
//! it, and what does not fit is logged there and asked of the provider again after a restart.

use std::fmt::Display;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::residency::{Journal, Kept, KnownModel, NotKept, Record, Synced};
use crate::store::{Collection, Store};

/// What each device's owner must know after a restart, by the device's name.
const DEVICES: Collection = Collection::new("residency");

/// Models as last known, by their provider's name.
const MODELS: Collection = Collection::new("models");

/// The journal.
pub(super) struct Stored(Store);

/// A value and when it was written.
#[derive(Serialize, Deserialize)]
struct Dated<T> {
    /// Milliseconds since 1970.
    #[serde(default)]
    written_ms: u64,
    #[serde(flatten)]
    value: T,
}

// === impl Dated ===

impl<T> Dated<T> {
    fn now(value: T) -> Self {
        let since = UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { written_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX), value }
    }

    /// None at all where the clock was set back.
    fn age(&self) -> Duration {
        let written = UNIX_EPOCH.checked_add(Duration::from_millis(self.written_ms));
        written.and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }
}

// === impl Stored ===

impl Stored {
    pub(super) fn new(store: Store) -> Self {
        Self(store)
    }
}

impl Journal for Stored {
    fn load(&self, device: &str, providers: &[&str]) -> Kept {
        let dated = self.0.get::<Dated<Record>>(DEVICES, device).unwrap_or_else(|error| lost(&error));
        let age = dated.as_ref().map(Dated::age).unwrap_or_default();
        let models = providers.iter().filter_map(|provider| {
            let known: Option<Vec<KnownModel>> =
                self.0.get(MODELS, provider).unwrap_or_else(|error| lost(&error));
            Some(((*provider).to_owned(), known?))
        });
        Kept { record: dated.map(|dated| dated.value), age, models: models.collect() }
    }

    fn write(&self, device: &str, record: &Record) {
        self.0.put(DEVICES, device, &Dated::now(record));
    }

    fn write_synced(&self, device: &str, record: &Record) -> Synced {
        let commit = self.0.put_synced(DEVICES, device, &Dated::now(record));
        Box::pin(async { commit.await.map_err(|error| NotKept(error.to_string())) })
    }

    fn write_models(&self, provider: &str, models: &[KnownModel]) {
        self.0.put(MODELS, provider, &models);
    }
}

/// Serving does not depend on what was remembered.
fn lost<T>(error: &dyn Display) -> Option<T> {
    tracing::warn!("what was remembered cannot be read, and is asked of the model servers again: {error}");
    None
}

//! Residency's journal in the store: one document for each device, one for each provider's models.
//!
//! A provider's list is one document because it is read and replaced as a whole; the store's bound on a document bounds
//! it, and what does not fit is logged there and asked of the provider again after a restart.

use std::fmt::Display;

use crate::residency::{Journal, Kept, KnownModel, NotKept, Record, Synced};
use crate::store::{Collection, Store};

/// What each device's owner must know after a restart, by the device's name.
const DEVICES: Collection = Collection::new("residency");

/// Models as last known, by their provider's name.
const MODELS: Collection = Collection::new("models");

/// The journal.
pub(super) struct Stored(Store);

// === impl Stored ===

impl Stored {
    pub(super) fn new(store: Store) -> Self {
        Self(store)
    }
}

impl Journal for Stored {
    fn load(&self, device: &str, providers: &[&str]) -> Kept {
        let record = self.0.get::<Record>(DEVICES, device).unwrap_or_else(|error| lost(&error));
        let models = providers.iter().filter_map(|provider| {
            let known: Option<Vec<KnownModel>> =
                self.0.get(MODELS, provider).unwrap_or_else(|error| lost(&error));
            Some(((*provider).to_owned(), known?))
        });
        Kept { record, models: models.collect() }
    }

    fn write(&self, device: &str, record: &Record) {
        self.0.put(DEVICES, device, record);
    }

    fn write_synced(&self, device: &str, record: &Record) -> Synced {
        let commit = self.0.put_synced(DEVICES, device, record);
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

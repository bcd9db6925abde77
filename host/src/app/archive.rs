//! Where decided turns are kept, for replay: each a document of the store, in the order in which they came. What the models
//! were is kept once for all turns that saw the same.
//!
//! Bounded in number and in bytes; the oldest turn goes first. Switched off, it keeps nothing, and what it had is removed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::exchange;
use crate::model::Directory;
use crate::skill::conversation::Conversation;
use crate::skill::{Archive, Recorded, Recording};
use crate::store::{Collection, DOCUMENT_BYTES_MAX, Store};

/// The turns.
pub(super) struct Turns {
    store: Store,
    bounds: ArcSwap<Recording>,
    index: Mutex<Index>,
}

/// What is kept, without its content.
#[derive(Debug, Default)]
struct Index {
    /// Oldest first.
    turns: VecDeque<Entry>,
    /// What the models were, by digest: how many turns saw it, and its bytes.
    directories: BTreeMap<String, (usize, usize)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    name: String,
    bytes: usize,
}

/// A turn as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    turn: Recorded,
    /// Of instances that were in use or waited for, by their place among all: how many requests ran, and how many waited.
    busy: Vec<(usize, u32, u32)>,
}

const TURNS: Collection = Collection::new("turns");

/// What the models were.
const DIRECTORIES: Collection = Collection::new("turns-models");

/// Digits of a directory's digest.
const DIGITS: usize = 24;

// === impl Turns ===

impl Turns {
    /// Finds what was kept before; waits for the disk.
    pub(super) fn new(store: Store, bounds: Recording) -> Self {
        let mut index = Index::default();
        let sizes = |collection| {
            store.sizes(collection).unwrap_or_else(|error| {
                tracing::warn!("recorded turns cannot be read: {error}");
                Vec::new()
            })
        };
        let directories: BTreeMap<String, usize> = sizes(DIRECTORIES).into_iter().collect();
        for (name, bytes) in sizes(TURNS) {
            let directory = directory_of(&name).to_owned();
            match directories.get(&directory) {
                Some(size) => index.add(Entry { name, bytes }, directory, *size),
                None => store.remove(TURNS, &name),
            }
        }
        for digest in directories.keys().filter(|digest| !index.directories.contains_key(*digest)) {
            store.remove(DIRECTORIES, digest);
        }
        let turns = Self { store, bounds: ArcSwap::from_pointee(bounds), index: Mutex::new(index) };
        turns.make_room();
        turns
    }

    /// Lets the oldest turns go that are too many.
    fn make_room(&self) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let Recording { is_on, turns_max, bytes_max } = **self.bounds.load();
        while !is_on || index.turns.len() > turns_max || index.bytes > bytes_max {
            let Some((turn, directory)) = index.take_oldest() else { return };
            self.store.remove(TURNS, &turn);
            if let Some(directory) = directory {
                self.store.remove(DIRECTORIES, &directory);
            }
        }
    }
}

impl Archive for Turns {
    fn is_on(&self) -> bool {
        self.bounds.load().is_on
    }

    fn bound(&self, bounds: Recording) {
        self.bounds.store(Arc::new(bounds));
        self.make_room();
    }

    fn keep(&self, mut turn: Recorded) {
        let mut busy = Vec::new();
        let seen = std::mem::take(&mut turn.directory).with_instances(|place, it| {
            if it.in_flight > 0 || it.queued > 0 {
                busy.push((place, it.in_flight, it.queued));
            }
            (it.in_flight, it.queued) = (0, 0);
        });
        let (at, request) = (turn.at_ms, turn.turn.request_id.clone());
        let (Some((directory, of_directory)), Some((turn, of_turn))) =
            (json(&seen), json(&Kept { turn, busy }))
        else {
            return tracing::debug!(request, "a turn is too big to be recorded");
        };
        let mut digest: String =
            Sha256::digest(directory.get()).iter().map(|it| format!("{it:02x}")).collect();
        digest.truncate(DIGITS);
        let name = format!("{at:015}-{request}-{digest}");
        {
            // Handed in under the lock, which costs no disk: what is switched off meanwhile removes this one, too.
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            if !index.directories.contains_key(&digest) {
                self.store.put(DIRECTORIES, &digest, &directory);
            }
            self.store.put(TURNS, &name, &turn);
            index.add(Entry { name, bytes: of_turn }, digest, of_directory);
        }
        self.make_room();
    }

    fn since(&self, at_ms: u64) -> Vec<String> {
        let from = format!("{at_ms:015}");
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.turns.iter().map(|entry| &entry.name).filter(|name| **name >= from).cloned().collect()
    }

    fn get(&self, name: &str) -> Option<Recorded> {
        let kept: Kept = self.store.get(TURNS, name).ok()??;
        let seen: Directory = self.store.get(DIRECTORIES, directory_of(name)).ok()??;
        let busy: BTreeMap<usize, (u32, u32)> =
            kept.busy.into_iter().map(|(place, running, waiting)| (place, (running, waiting))).collect();
        let directory = seen.with_instances(|place, it| {
            if let Some(counts) = busy.get(&place) {
                (it.in_flight, it.queued) = *counts;
            }
        });
        let mut turn = kept.turn;
        turn.directory = directory;
        Some(turn)
    }

    fn conversation(&self, body: &str) -> Option<Arc<dyn Conversation>> {
        exchange::conversation_of(body)
    }
}

// === impl Index ===

impl Index {
    fn add(&mut self, turn: Entry, directory: String, directory_bytes: usize) {
        let (seen, _) = self.directories.entry(directory).or_insert((0, directory_bytes));
        if *seen == 0 {
            self.bytes += directory_bytes;
        }
        *seen += 1;
        self.bytes += turn.bytes;
        self.turns.push_back(turn);
    }

    /// The oldest turn, and what nobody else saw of the models.
    fn take_oldest(&mut self) -> Option<(String, Option<String>)> {
        let turn = self.turns.pop_front()?;
        self.bytes -= turn.bytes;
        let digest = directory_of(&turn.name).to_owned();
        let Some((seen, bytes)) = self.directories.get_mut(&digest) else { return Some((turn.name, None)) };
        *seen -= 1;
        if *seen > 0 {
            return Some((turn.name, None));
        }
        self.bytes -= *bytes;
        self.directories.remove(&digest);
        Some((turn.name, Some(digest)))
    }
}

/// The digest of what the models were: the end of a turn's name.
fn directory_of(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or_default()
}

/// A document and its bytes; none where it is too big for one.
fn json(value: &impl Serialize) -> Option<(Box<RawValue>, usize)> {
    let text = serde_json::to_string(value).ok().filter(|text| text.len() <= DOCUMENT_BYTES_MAX)?;
    let bytes = text.len();
    Some((RawValue::from_string(text).ok()?, bytes))
}

#[cfg(test)]
mod tests;

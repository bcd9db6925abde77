//! The models that people picked, kept over restarts: one document with all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::admin;
use crate::id::{ModelId, SessionKey};
use crate::session::table::Table;
use crate::store::{Collection, Store};

/// What people picked, as it is kept: that for all conversations has no key.
type Document = Vec<(Option<SessionKey>, ModelId)>;

const PICKS: Collection = Collection::new("picks");

/// The document.
const ALL: &str = "all";

/// The table with what was picked in lives before.
pub(super) fn restored(store: &Store, mut table: Table) -> Arc<Mutex<Table>> {
    let kept: Document = store.get(PICKS, ALL).ok().flatten().unwrap_or_default();
    for (session, model) in kept {
        match session {
            Some(session) => table.pick(&session, Some(model)),
            None => table.pick_for_all(Some(model)),
        }
    }
    Arc::new(Mutex::new(table))
}

/// The table; a panic elsewhere leaves nothing half done in it.
pub(super) fn locked(sessions: &Mutex<Table>) -> MutexGuard<'_, Table> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A model is picked for a conversation, or for all; none returns to the default.
pub(super) fn pick(
    store: &Store,
    sessions: &Mutex<Table>,
    session: Option<&SessionKey>,
    model: Option<ModelId>,
) {
    let mut table = locked(sessions);
    match session {
        Some(session) => table.pick(session, model),
        None => table.pick_for_all(model),
    }
    keep(store, &table);
}

fn keep(store: &Store, table: &Table) {
    let kept: Vec<(Option<&SessionKey>, &ModelId)> = table.picks().collect();
    store.put(PICKS, ALL, &kept);
}

/// What the admin API changes of it.
pub(super) struct Kept {
    pub(super) store: Store,
    pub(super) sessions: Arc<Mutex<Table>>,
}

// === impl Kept ===

impl Kept {
    /// Resolves when what is picked is on disk. Where the disk fails, it still counts for as long as the gateway runs.
    fn kept(&self) -> impl Future<Output = ()> + Send + 'static {
        let written = self.store.flush();
        async move {
            if let Err(error) = written.await {
                tracing::warn!("which model was picked may be forgotten after a restart: {error}");
            }
        }
    }
}

impl admin::Picks for Kept {
    fn pick(&self, session: Option<&SessionKey>, model: Option<ModelId>) -> BoxFuture<'static, ()> {
        pick(&self.store, &self.sessions, session, model);
        self.kept().boxed()
    }

    fn reset(&self, session: &SessionKey) -> BoxFuture<'static, bool> {
        let was_there = {
            let mut table = locked(&self.sessions);
            let was_there = table.reset(session);
            keep(&self.store, &table);
            was_there
        };
        self.kept().map(move |()| was_there).boxed()
    }
}

//! Replay: a candidate is asked about turns that were recorded, with the time, the chance and the models of each, and what
//! it says is compared with what was said. Nothing that it does has an effect.

use std::sync::Arc;

use super::Skills;
use super::compare::Comparison;
use super::inquiry::Inquiry;
use super::manage::{ManageError, Offer};
use super::recorded::{Archive, Recorded};
use super::shadow::Tried;

// === impl Skills ===

impl Skills {
    /// Asks a candidate about every turn that was recorded since then.
    ///
    /// # Errors
    /// It cannot be used, or has no verdicts to compare, or no turns are recorded.
    pub async fn replay(&self, offer: Offer, since_ms: u64) -> Result<Tried, ManageError> {
        let archive = self.witness.archive().ok_or(ManageError::NotRecorded)?.clone();
        let candidate = self.tried(&offer).await?;
        let generation = self.generation();
        let mut comparison = Comparison::default();
        for name in archive.since(since_ms) {
            let Some(record) = read(&archive, name).await else { continue };
            let Some(said) = record.said_by(&candidate.name) else {
                comparison.skipped += 1;
                continue;
            };
            let conversation = record.body.as_deref().and_then(|body| archive.conversation(body));
            let inquiry = Inquiry::of_record(&record, generation.clone(), conversation);
            let now = inquiry.ask(&candidate).await;
            comparison.add((&record.turn, record.at_ms), said, now);
        }
        Ok(self.as_tried(&candidate, since_ms, comparison))
    }
}

/// One turn, off the runtime's threads. It may have been let go meanwhile.
async fn read(archive: &Arc<dyn Archive>, name: String) -> Option<Recorded> {
    let archive = archive.clone();
    tokio::task::spawn_blocking(move || archive.get(&name)).await.ok().flatten()
}

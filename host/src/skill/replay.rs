//! Replay: a candidate is asked about turns that were recorded, with the time, the chance and the models of each, and what
//! it says is compared with what was said. Nothing that it does has an effect, and it is answered by no model.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Skills;
use super::compare::Comparison;
use super::generation::{Active, Generation};
use super::inquiry::Inquiry;
use super::manage::{ManageError, Offer};
use super::recorded::{Archive, Recorded};
use super::said::Said;
use super::shadow::Tried;
use crate::grant::Capability;

/// How long a replay may take: less than who asks for it waits. Turns that are left then are not asked about.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(1200);

// === impl Skills ===

impl Skills {
    /// Asks a candidate about every turn that was recorded since then.
    ///
    /// # Errors
    /// It cannot be used, or has no verdicts to compare, or no turns are recorded.
    pub async fn replay(&self, offer: Offer, since_ms: u64) -> Result<Tried, ManageError> {
        let archive = self.witness.archive().ok_or(ManageError::NotRecorded)?.clone();
        let delegates = self.loader().delegates.without_effect().without_answers();
        let candidate = self.tried(&offer, &delegates).await?;
        drop(offer);
        let (generation, deadline) = (self.generation(), Instant::now() + REPLAY_TIMEOUT);
        let mut comparison = Comparison::default();
        for name in archive.since(since_ms) {
            let record = if Instant::now() < deadline { read(&archive, name).await } else { None };
            let asked = match &record {
                Some(record) => ask(record, &archive, &candidate, &generation).await,
                None => None,
            };
            match (record, asked) {
                (Some(record), Some((said, now))) => comparison.add((&record.turn, record.at_ms), said, now),
                _ => comparison.skipped += 1,
            }
        }
        Ok(self.as_tried(&candidate, since_ms, comparison))
    }
}

/// What was said to the turn, and what the candidate says; none where it cannot be asked about it: another skill had
/// decided before, it could read a conversation that is not kept, or there was no free instance for it.
async fn ask(
    record: &Recorded,
    archive: &Arc<dyn Archive>,
    candidate: &Active,
    generation: &Arc<Generation>,
) -> Option<(Said, Said)> {
    let said = record.said_by(&candidate.name)?;
    let conversation = record.body.as_deref().and_then(|body| archive.conversation(body));
    if conversation.is_none() && candidate.identity.rights.allow(Capability::Conversation) {
        return None;
    }
    let now = Inquiry::of_record(record, generation.clone(), conversation).ask(candidate).await?;
    Some((said, now))
}

/// One turn, off the runtime's threads. It may have been let go meanwhile.
async fn read(archive: &Arc<dyn Archive>, name: String) -> Option<Recorded> {
    let archive = archive.clone();
    tokio::task::spawn_blocking(move || archive.get(&name)).await.ok().flatten()
}

//! Which faults are armed, how often each is still met, and the gates at which requests hang until released.
//!
//! Plain state behind the lock of its owner. A gate outlives its fault for as long as somebody hangs at it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Fault, Kind, Route, Stage};

/// The faults that are armed.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    faults: Vec<ArmedFault>,
    /// Gates of faults whose count is used up but whose requests may still hang.
    spent: Vec<(Arc<str>, watch::Sender<bool>)>,
}

#[derive(Debug)]
struct ArmedFault {
    fault: Fault,
    name: Arc<str>,
    /// Opened by a release; replaced by a closed one then.
    gate: watch::Sender<bool>,
}

/// A fault that a request has met.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    gate: watch::Receiver<bool>,
}

// === impl Armed ===

impl Armed {
    pub(crate) fn arm(&mut self, fault: Fault) {
        let name = Arc::from(fault.name.as_deref().unwrap_or_else(|| fault.kind.name()));
        self.faults.push(ArmedFault { fault, name, gate: watch::Sender::new(false) });
    }

    /// The first fault of this stage that a request so described meets. `names` are all it is known under.
    pub(crate) fn meet(&mut self, stage: Stage, route: Route, names: &[&str]) -> Option<Met> {
        let index = self
            .faults
            .iter()
            .position(|it| it.fault.kind.stage() == stage && it.fault.matches.takes(route, names))?;
        let armed = self.faults.get_mut(index)?;
        let met =
            Met { name: armed.name.clone(), kind: armed.fault.kind.clone(), gate: armed.gate.subscribe() };
        match armed.fault.count.less() {
            Some(count) => armed.fault.count = count,
            None => {
                let armed = self.faults.remove(index);
                self.spent.retain(|(_, gate)| gate.receiver_count() > 0);
                self.spent.push((armed.name, armed.gate));
            }
        }
        Some(met)
    }

    /// Some fault of this stage is armed.
    pub(crate) fn has(&self, stage: Stage) -> bool {
        self.faults.iter().any(|it| it.fault.kind.stage() == stage)
    }

    /// What is armed, with the counts that are left.
    pub(crate) fn list(&self) -> Vec<Fault> {
        self.faults.iter().map(|it| it.fault.clone()).collect()
    }

    /// Lets go of the requests that a fault has met so far, also of those that will come to hang only later. Says how
    /// many gates it opened. Without a name: all of them.
    pub(crate) fn release(&mut self, name: Option<&str>) -> usize {
        let wanted = |own: &str| name.is_none_or(|name| name == own);
        let mut opened = 0;
        for armed in self.faults.iter_mut().filter(|it| wanted(&it.name)) {
            armed.gate.send_replace(true);
            armed.gate = watch::Sender::new(false);
            opened += 1;
        }
        self.spent.retain(|(own, gate)| {
            let hit = wanted(own);
            if hit {
                gate.send_replace(true);
                opened += 1;
            }
            !hit
        });
        opened
    }

    /// Takes all faults away and lets go of whatever hangs in them.
    pub(crate) fn clear(&mut self) {
        self.release(None);
        self.faults.clear();
    }
}

// === impl Met ===

impl Met {
    /// Until it is released, or taken away with the whole emulator.
    pub(crate) async fn released(&mut self) {
        // A gate that is dropped without being opened can only be that of an emulator that is gone.
        let _ = self.gate.wait_for(|open| *open).await;
    }

    /// How much longer a load takes by it.
    pub(crate) fn delay(&self) -> Duration {
        match self.kind {
            Kind::SlowLoad { seconds } => Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

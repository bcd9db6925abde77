//! The device's providers as the planner sees them: which of them answer, what each was asked and when, and in which
//! order it lists its models.
//!
//! Nothing in this file decides or sends anything. What one provider does says nothing about another: each has its own
//! link, and an instance is named by its provider and that one's name for it.

use std::time::Instant;

use super::address::Holder;
use super::{Asked, Planner};
use crate::id::{InstanceId, ModelId};
use crate::provider::Control;

/// One of the device's providers; never another one's again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::residency) struct ProviderIndex(pub(in crate::residency) usize);

/// An instance on the device: two servers may use the same name for theirs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::residency) struct InstanceKey {
    pub(in crate::residency) provider: ProviderIndex,
    pub(in crate::residency) id: InstanceId,
}

/// A provider of the device.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) index: ProviderIndex,
    /// The configured name.
    pub(super) name: String,
    /// Where it is; empty where nobody says.
    pub(super) address: String,
    pub(super) link: Link,
    /// What its last list showed that can be asked of it.
    pub(super) control: Control,
    /// Its models, in its own order.
    pub(super) order: Vec<ModelId>,
    /// What it holds in memory, where it looks after that itself and says so.
    pub(super) holds: Vec<ModelId>,
    /// It was not there at the start, and has not answered yet.
    pub(super) is_newcomer: bool,
    /// It is not configured any more: whoever waits for it or is inside is the last.
    pub(super) leaves: bool,
    /// Somebody else still has its address: it is asked nothing until that has let go of it.
    pub(super) awaits: Option<Holder>,
}

/// What is known of a provider's presence.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) state: LinkState,
    /// Failed lists in a row.
    pub(super) failures: u32,
    /// A list is on its way.
    pub(super) asking: Option<Asked>,
    /// When to ask next.
    pub(super) due: Instant,
    /// When the last good list arrived.
    pub(super) listed: Option<Instant>,
    /// A list is needed that is asked for after this.
    pub(super) wanted: Option<Asked>,
    /// Since when it is reached as it is now: what was asked for before is another client's.
    pub(super) since: Asked,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum LinkState {
    Unknown,
    Up,
    Down(String),
}

// === impl Server ===

impl Server {
    /// A provider of which nothing was heard yet.
    pub(super) fn new(index: ProviderIndex, (name, address): (&str, &str), now: Instant) -> Self {
        let link = Link {
            state: LinkState::Unknown,
            failures: 0,
            asking: None,
            due: now,
            listed: None,
            wanted: None,
            since: Asked(0),
        };
        Self {
            index,
            name: name.to_owned(),
            address: address.to_owned(),
            link,
            control: Control::Full,
            order: Vec::new(),
            holds: Vec::new(),
            is_newcomer: false,
            leaves: false,
            awaits: None,
        }
    }

    /// It is at its address, and not on the way there.
    pub(super) fn holds_its_address(&self) -> bool {
        self.awaits.is_none() && !self.address.is_empty()
    }
}

// === impl Link ===

impl Link {
    /// When it is asked next without anything else happening.
    pub(super) fn wakes(&self) -> Option<Instant> {
        self.asking.is_none().then_some(self.due)
    }
}

// === impl Planner: questions ===

impl Planner {
    /// All of them, in the configured order.
    pub(super) fn providers(&self) -> impl Iterator<Item = ProviderIndex> + use<> {
        self.servers.iter().map(|server| server.index).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn server(&self, provider: ProviderIndex) -> Option<&Server> {
        self.servers.iter().find(|server| server.index == provider)
    }

    pub(super) fn server_mut(&mut self, provider: ProviderIndex) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.index == provider)
    }

    pub(super) fn link_mut(&mut self, provider: ProviderIndex) -> Option<&mut Link> {
        self.server_mut(provider).map(|server| &mut server.link)
    }

    /// The provider of this name.
    pub(super) fn provider_called(&self, name: &str) -> Option<ProviderIndex> {
        self.servers.iter().find(|server| server.name == name).map(|server| server.index)
    }

    /// The provider that serves the model; none where it is not of this device.
    pub(super) fn provider_of(&self, model: &ModelId) -> Option<ProviderIndex> {
        self.provider_called(model.provider())
    }

    /// What is heard of the model's provider; none where it is not of this device.
    pub(super) fn link_of(&self, model: &ModelId) -> Option<&LinkState> {
        Some(&self.server(self.provider_of(model)?)?.link.state)
    }

    /// The provider answers, as far as we know.
    pub(super) fn is_up(&self, provider: ProviderIndex) -> bool {
        self.server(provider).is_some_and(|server| server.link.state == LinkState::Up)
    }

    /// The provider looks after its memory itself: all it lists counts as resident, takes no room of ours, is never due
    /// and gets no effect.
    pub(super) fn looks_after_itself(&self, provider: ProviderIndex) -> bool {
        self.server(provider).is_some_and(|server| server.control == Control::ListOnly)
    }

    /// The same of the model's provider.
    pub(super) fn is_looked_after(&self, model: &ModelId) -> bool {
        self.provider_of(model).is_some_and(|provider| self.looks_after_itself(provider))
    }

    /// The model's provider answers, as far as we know.
    pub(super) fn is_served(&self, model: &ModelId) -> bool {
        self.link_of(model) == Some(&LinkState::Up)
    }

    /// Of every provider it is known whether it answers, and what of those that do is in memory. Nobody waits for a
    /// newcomer that did not answer at once, or that is not asked yet.
    pub(super) fn knows_all(&self) -> bool {
        let is_known = |server: &Server| server.link.state != LinkState::Unknown || server.awaits.is_some();
        self.servers.iter().all(|server| is_known(server) || self.is_silent_newcomer(server))
    }

    /// It came while others are served, was asked in vain, and nothing of it is known to be in memory.
    fn is_silent_newcomer(&self, server: &Server) -> bool {
        let has_any = || self.instances.keys().any(|key| key.provider == server.index);
        server.is_newcomer && server.link.failures > 0 && !has_any()
    }

    /// Some provider answers.
    pub(super) fn is_any_up(&self) -> bool {
        self.servers.iter().any(|server| server.link.state == LinkState::Up)
    }
}

//! Whose server is whose among the devices' owners: an address that one of them still has is not another's yet.
//!
//! Owners know nothing of each other. Each says when it has let go of an address; who waits for it by the arrangement in force
//! hears of that by its outbox, before any message that was sent later. Plain values behind one lock, held for a look-up.
//!
//! Bounded by what is configured, and by what owners have not let go of yet. Within one device the planner does the same
//! itself (`plan/address.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::lease::{Note, Outbox};
use super::plan::Legacy;

/// Which owners have which addresses, by the names of their devices.
#[derive(Debug, Default)]
pub(super) struct Tenancy(Mutex<Addresses>);

#[derive(Debug, Default)]
struct Addresses(BTreeMap<String, Tenants>);

/// The owners that ask one server.
#[derive(Debug, Default)]
struct Tenants {
    /// They have it, by this arrangement or one before.
    have: BTreeSet<String>,
    /// They are to have it by the arrangement in force.
    are_to: BTreeMap<String, Arc<Outbox>>,
}

/// One owner's servers by a new arrangement.
pub(super) struct Wanted {
    pub(super) device: String,
    pub(super) outbox: Arc<Outbox>,
    pub(super) addresses: Vec<String>,
}

/// What becomes of an address that an owner has let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freed {
    /// Somebody waited for it, and has what was due there.
    HandedOn,
    /// Nobody has it now.
    Nobodys,
}

// === impl Tenancy ===

impl Tenancy {
    /// From now on these are to have these. Gives, for each, the addresses that it must wait for.
    pub(super) fn arrange(&self, all: Vec<Wanted>) -> Vec<BTreeSet<String>> {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.0.values_mut().for_each(|tenants| tenants.are_to.clear());
        for wanted in &all {
            // Where nobody says where a server is, nobody can have it as well.
            for address in wanted.addresses.iter().filter(|address| !address.is_empty()) {
                let tenants = addresses.0.entry(address.clone()).or_default();
                tenants.are_to.insert(wanted.device.clone(), wanted.outbox.clone());
            }
        }
        addresses.0.values_mut().for_each(|tenants| drop(tenants.let_in()));
        addresses.0.retain(|_, tenants| !tenants.have.is_empty());
        let waits = |wanted: &Wanted, address: &&String| {
            addresses.0.get(*address).is_some_and(|tenants| !tenants.have.contains(&wanted.device))
        };
        let held =
            |wanted: &Wanted| wanted.addresses.iter().filter(|it| waits(wanted, it)).cloned().collect();
        all.iter().map(held).collect()
    }

    /// The device's owner has let go of the address. What was due there goes to who waits for it.
    pub(super) fn freed(&self, device: &str, address: &str, legacy: Option<Legacy>) -> Freed {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tenants) = addresses.0.get_mut(address) else { return Freed::Nobodys };
        // It was to leave and is to have it again: what it has let go of is what it had before.
        if !tenants.are_to.contains_key(device) {
            tenants.have.remove(device);
        }
        let heirs = tenants.let_in();
        let is_handed_on = !heirs.is_empty();
        let mut legacy = legacy;
        for heir in heirs {
            heir.push(Note::Freed(address.to_owned(), legacy.take()));
        }
        if tenants.have.is_empty() {
            addresses.0.remove(address);
        }
        if is_handed_on { Freed::HandedOn } else { Freed::Nobodys }
    }
}

// === impl Tenants ===

impl Tenants {
    /// Those who are to have it do, unless somebody does who is not to. Gives those who did not before.
    fn let_in(&mut self) -> Vec<Arc<Outbox>> {
        if self.have.iter().any(|device| !self.are_to.contains_key(device)) {
            return Vec::new();
        }
        let new = self.are_to.iter().filter(|(device, _)| !self.have.contains(*device));
        let outboxes = new.map(|(_, outbox)| outbox.clone()).collect();
        self.have.extend(self.are_to.keys().cloned());
        outboxes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(device: &str, addresses: &[&str]) -> (Wanted, Arc<Outbox>) {
        let outbox: Arc<Outbox> = Arc::default();
        let addresses = addresses.iter().map(|it| (*it).to_owned()).collect();
        (Wanted { device: device.to_owned(), outbox: outbox.clone(), addresses }, outbox)
    }

    fn arranged(tenancy: &Tenancy, all: &[(&str, &[&str])]) -> (Vec<Vec<String>>, Vec<Arc<Outbox>>) {
        let (all, outboxes) = all.iter().map(|(device, addresses)| wanted(device, addresses)).unzip();
        let held = tenancy.arrange(all);
        (held.into_iter().map(|it| it.into_iter().collect()).collect(), outboxes)
    }

    fn told(outbox: &Outbox) -> Vec<String> {
        let address = |note| match note {
            Note::Freed(address, _) => address,
            other => panic!("{other:?}"),
        };
        outbox.take().into_iter().map(address).collect()
    }

    #[test]
    fn who_comes_waits_for_who_leaves_and_for_nobody_else() {
        let tenancy = Tenancy::default();
        let (held, _) = arranged(&tenancy, &[("d", &["a", "b", ""]), ("e", &["c", ""])]);
        assert_eq!(held, [[""; 0], [""; 0]], "whoever is the first has it");
        let (held, outboxes) = arranged(&tenancy, &[("d", &["b"]), ("e", &["c", "a"]), ("f", &["b"])]);
        assert_eq!(held, [vec![], vec!["a".to_owned()], vec![]], "two may have one at once, if that is said");
        assert_eq!(tenancy.freed("d", "a", None), Freed::HandedOn);
        assert_eq!(
            outboxes.iter().map(|it| told(it)).collect::<Vec<_>>(),
            [vec![], vec!["a".to_owned()], vec![]]
        );
        assert_eq!(tenancy.freed("f", "nowhere", None), Freed::Nobodys);
    }

    #[test]
    fn two_owners_may_take_each_others() {
        let tenancy = Tenancy::default();
        let _ = arranged(&tenancy, &[("d", &["a"]), ("e", &["b"])]);
        let (held, outboxes) = arranged(&tenancy, &[("d", &["b"]), ("e", &["a"])]);
        assert_eq!(held, [["b"], ["a"]]);
        assert_eq!(tenancy.freed("e", "b", None), Freed::HandedOn);
        assert_eq!((told(&outboxes[0]), told(&outboxes[1])), (vec!["b".to_owned()], vec![]));
    }

    #[test]
    fn who_does_not_want_it_any_more_is_not_told() {
        let tenancy = Tenancy::default();
        let _ = arranged(&tenancy, &[("d", &["a"])]);
        let (_, before) = arranged(&tenancy, &[("d", &[]), ("e", &["a"])]);
        // Whoever leaves and is to stay after all has never left.
        let (held, _) = arranged(&tenancy, &[("d", &["a"]), ("e", &[])]);
        assert_eq!(held, [[""; 0], [""; 0]]);
        assert_eq!(tenancy.freed("d", "a", None), Freed::Nobodys);
        assert_eq!(told(&before[1]), [""; 0]);
        let (held, _) = arranged(&tenancy, &[("d", &[]), ("e", &["a"])]);
        assert_eq!(held, [vec![], vec!["a".to_owned()]], "it has it still");
        let _ = arranged(&tenancy, &[("d", &[]), ("e", &[])]);
        assert_eq!(tenancy.freed("d", "a", None), Freed::Nobodys);
        assert_eq!(arranged(&tenancy, &[("e", &["a"])]).0, [[""; 0]]);
    }
}

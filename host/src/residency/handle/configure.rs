//! Other devices and other providers for a residency that is in use: each owner is told by its mailbox, new devices get an
//! owner, and the owner of one that is not configured any more ends when the last who needs it has.
//!
//! Owners are told before newcomers are sent to them, so that whoever asks by the new arrangement finds it in force. Who asked
//! by the old one, and is told that the model is not known there, asks again (`Residency::ask`). An owner that gets a server
//! which another one still has is told so, and asks it nothing until it hears that it may (`tenancy`).

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{Actor, Desk, Device, Message, Outbox, Residency};
use crate::residency::actor::Arrangement;
use crate::residency::record::Kept;

/// A device as it is to be, with all that a disk has to be asked for.
struct Plan {
    device: Device,
    /// Its owner until now.
    before: Option<Desk>,
    outbox: Arc<Outbox>,
    /// What was kept of the providers that are new there; of all, where the device itself is new.
    kept: Kept,
}

// === impl Residency ===

impl Residency {
    /// From now on there are these devices with these providers, and these aliases. A provider that is the same value as
    /// before goes on as it was. Nothing is unloaded for it, and nobody who waits is sent away. Gives the owners of new
    /// devices, whose `run` must be spawned each.
    ///
    /// The disk is read before anything changes; from then on, what is shown of the models stands still until all owners
    /// have taken in what is new.
    pub async fn reconfigure(&self, devices: Vec<Device>, aliases: Vec<(String, String)>) -> Vec<Actor> {
        let alone = self.0.configuring.lock().await;
        let before = self.desks();
        let order = devices.iter().map(|device| device.name.clone()).collect();
        let plans = join_all(devices.into_iter().map(|device| planned(&before, device))).await;
        let still = self.0.public.hold_still();
        let held = self.0.tenancy.arrange(plans.iter().map(|plan| plan.device.wants(&plan.outbox)).collect());
        let (mut desks, mut actors, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for (Plan { device, before, outbox, kept }, held) in plans.into_iter().zip(held) {
            let Some(before) = before else {
                let (desk, actor) = self.open(device, outbox, (kept, &held));
                desks.push(desk);
                actors.push(actor);
                continue;
            };
            let (desk, taken) = before.configured(&device, kept, held.clone()).await;
            told.push((desks.len(), device, held, taken));
            desks.push(desk);
        }
        let gone = leaving(&before, &desks);
        for desk in &gone {
            // An owner that has ended has left.
            let _ = desk.mailbox.send(Message::Leave).await;
        }
        self.0.desks.store(Arc::new(desks.iter().chain(&gone).cloned().collect()));
        for (at, device, held, taken) in told {
            // It may have ended in this moment, with the last of those who had left it.
            if taken.await.is_err() {
                let names = device.providers.iter().map(|provider| provider.name().to_owned()).collect();
                let kept = kept(&device, names).await;
                // What it is told of addresses goes on where it was told before.
                let outbox = desks.get(at).map(|desk| desk.outbox.clone()).unwrap_or_default();
                let (desk, actor) = self.open(device, outbox, (kept, &held));
                actors.push(actor);
                desks.splice(at..=at, [desk]);
            }
        }
        self.0.desks.store(Arc::new(desks.into_iter().chain(gone).collect()));
        self.0.public.arrange(order, aliases);
        drop(still);
        drop(alone);
        actors
    }

    fn open(&self, device: Device, outbox: Arc<Outbox>, from: (Kept, &BTreeSet<String>)) -> (Desk, Actor) {
        Desk::open((&self.0.public, &self.0.tenancy), device, outbox, from)
    }
}

/// What is to become of the device.
async fn planned(before: &[Desk], device: Device) -> Plan {
    let before = before.iter().find(|desk| desk.device == device.name && !desk.mailbox.is_closed());
    let is_new = |name: &String| before.is_none_or(|desk| !desk.providers.contains(name));
    let names: Vec<String> = device.providers.iter().map(|provider| provider.name().to_owned()).collect();
    let new: Vec<String> = names.into_iter().filter(is_new).collect();
    let kept = if new.is_empty() { Kept::default() } else { kept(&device, new).await };
    let outbox = before.map(|desk| desk.outbox.clone()).unwrap_or_default();
    Plan { before: before.cloned(), device, outbox, kept }
}

/// Owners of devices that are not configured any more.
fn leaving(before: &[Desk], desks: &[Desk]) -> Vec<Desk> {
    let stays = |desk: &Desk| desks.iter().any(|it| it.device == desk.device);
    let gone = before.iter().filter(|desk| !desk.mailbox.is_closed() && !stays(desk));
    gone.map(|desk| Desk { providers: Vec::new(), ..desk.clone() }).collect()
}

// === impl Desk ===

impl Desk {
    /// Tells the owner, who answers when it has taken it in.
    async fn configured(
        &self,
        device: &Device,
        kept: Kept,
        held: BTreeSet<String>,
    ) -> (Self, oneshot::Receiver<()>) {
        let providers = device.providers.iter().map(|it| it.name().to_owned()).collect();
        let (answer, taken) = oneshot::channel();
        let (config, clients) = (device.config.clone(), device.providers.clone());
        let arrangement = Box::new(Arrangement { config, providers: clients, known: kept.models, held });
        // Where it has ended, so has the answer.
        let _ = self.mailbox.send(Message::Configure(arrangement, answer)).await;
        (Self { providers, ..self.clone() }, taken)
    }
}

/// What was kept of the device and these providers. It may wait for a disk, and no thread that serves others does.
async fn kept(device: &Device, providers: Vec<String>) -> Kept {
    let (journal, name) = (device.journal.clone(), device.name.clone());
    let read = tokio::task::spawn_blocking(move || {
        journal.load(&name, &providers.iter().map(String::as_str).collect::<Vec<_>>())
    });
    read.await.unwrap_or_default()
}

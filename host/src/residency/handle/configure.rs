//! Other devices and other providers for a residency that is in use: each owner is told by its mailbox, new devices get an
//! owner, and the owner of one that is not configured any more ends when the last who needs it has.
//!
//! Owners are told before newcomers are sent to them, so that whoever asks by the new arrangement finds it in force. Who asked
//! by the old one, and is told that the model is not known there, asks again (`Residency::ask`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Actor, Desk, Device, Message, Residency};
use crate::residency::actor::Arrangement;
use crate::residency::record::{Kept, KnownModel};

// === impl Residency ===

impl Residency {
    /// From now on there are these devices with these providers, and these aliases. A provider that is the same value as
    /// before goes on as it was. Nothing is unloaded for it, and nobody who waits is sent away. Gives the owners of new
    /// devices, whose `run` must be spawned each.
    pub async fn reconfigure(&self, devices: Vec<Device>, aliases: Vec<(String, String)>) -> Vec<Actor> {
        let alone = self.0.configuring.lock().await;
        let before = self.desks();
        self.0.public.arrange(devices.iter().map(|device| device.name.clone()).collect(), aliases);
        let (mut desks, mut actors, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for device in devices {
            let known = before.iter().find(|desk| desk.device == device.name);
            match known.filter(|desk| !desk.mailbox.is_closed()) {
                Some(desk) => {
                    let (desk, taken) = desk.configured(&device).await;
                    told.push((desks.len(), device, taken));
                    desks.push(desk);
                }
                None => {
                    let (desk, actor) = self.opened(device).await;
                    desks.push(desk);
                    actors.push(actor);
                }
            }
        }
        let is_gone = |desk: &&Desk| {
            !desk.mailbox.is_closed() && !desks.iter().any(|it: &Desk| it.device == desk.device)
        };
        let gone: Vec<Desk> = before
            .iter()
            .filter(is_gone)
            .map(|desk| Desk { providers: Vec::new(), ..desk.clone() })
            .collect();
        for desk in &gone {
            // An owner that has ended has left.
            let _ = desk.mailbox.send(Message::Leave).await;
        }
        self.0.desks.store(Arc::new(desks.iter().chain(&gone).cloned().collect()));
        for (at, device, taken) in told {
            // It may have ended in this moment, with the last of those who had left it.
            if taken.await.is_err() {
                let (desk, actor) = self.opened(device).await;
                actors.push(actor);
                desks.splice(at..=at, [desk]);
            }
        }
        self.0.desks.store(Arc::new(desks.into_iter().chain(gone).collect()));
        drop(alone);
        actors
    }

    async fn opened(&self, device: Device) -> (Desk, Actor) {
        let names = device.providers.iter().map(|provider| provider.name().to_owned()).collect();
        let kept = kept(&device, names).await;
        Desk::open(&self.0.public, device, kept)
    }
}

// === impl Desk ===

impl Desk {
    /// Tells the owner, who answers when it has taken it in.
    async fn configured(&self, device: &Device) -> (Self, oneshot::Receiver<()>) {
        let providers: Vec<String> = device.providers.iter().map(|it| it.name().to_owned()).collect();
        let new: Vec<String> = providers.iter().filter(|it| !self.providers.contains(it)).cloned().collect();
        let known: BTreeMap<String, Vec<KnownModel>> =
            if new.is_empty() { BTreeMap::new() } else { kept(device, new).await.models };
        let (answer, taken) = oneshot::channel();
        let (config, clients) = (device.config.clone(), device.providers.clone());
        let arrangement = Box::new(Arrangement { config, providers: clients, known });
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

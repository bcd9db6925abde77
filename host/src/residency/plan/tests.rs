//! The rules of residency, one by one, as scripts: what happens at which second, and what the planner does about it.
//!
//! The desk answers lists and unloads by itself and at once, from a memory that the script may touch; loads end when
//! the script says so. Effects are written down as short lines; what is said to waiting clients is left out. What belongs
//! to the provider `q` has that before its name, what belongs to `p` only its name. A provider is at an address of its own
//! name unless a script says otherwise; the memory is the server's that is there.

mod addresses;
mod configured;
mod devices;
mod durable;
mod elsewhere;
mod failures;
mod rules;
mod wishes;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{
    Asked, Client, Durability, Effect, Event, Grant, Inventory, Legacy, Mark, Operation, Place, Planner,
    ProviderIndex, Record, Ticket,
};
use crate::id::{InstanceId, ModelId, RequestId, SessionKey};
use crate::model::Kind;
use crate::provider::{Control, Error, Listed, Loaded, Readiness, Resident, Settings};
use crate::residency::claim::{Claim, Progress, Purpose, Reason};
use crate::residency::config::Config;
use crate::residency::gate::Gate;
use crate::residency::lease::{End, Ended, TurnAfter};
use crate::residency::record::Kept;
use crate::turn::verdict::{Afterwards, Swap};

const ROUTED: Purpose = Purpose::Routed { swap: Swap::Wait, afterwards: Afterwards::Restore };
const KEEP: Purpose = Purpose::Routed { swap: Swap::Wait, afterwards: Afterwards::Keep };
const SIDE: Purpose = Purpose::SideCall { swap: Swap::Wait };
const DONE: End = End::Answered { turn: TurnAfter::Finished };
const TOOLS: End = End::Answered { turn: TurnAfter::Unfinished };

/// A planner with a memory and a clock.
struct Desk {
    planner: Planner,
    start: Instant,
    now: Instant,
    memory: Vec<(InstanceId, ModelId, u32)>,
    /// Where providers are; what follows a `#` is another address, with a memory that looks the same.
    addresses: BTreeMap<String, String>,
    /// What lists of `p` answer instead.
    outage: Option<Error>,
    /// What lists of `q` answer instead.
    other_outage: Option<Error>,
    /// What `q` is.
    other_control: Control,
    /// What models weigh, where a script says so.
    sizes: Vec<(&'static str, u64)>,
    /// Instances that are still loading by someone else's doing.
    loading: Vec<&'static str>,
    /// What the next unload answers instead.
    unload_error: Option<Error>,
    /// Unloads are not answered.
    hangs_unloads: bool,
    /// Lists wait until the script answers them.
    holds_lists: bool,
    lists: Vec<(ProviderIndex, Asked, Result<Inventory, Error>)>,
    loads: Vec<(Operation, ModelId, Settings)>,
    granted: Vec<(Ticket, Grant, ModelId, SessionKey, Purpose)>,
    claims: Vec<(Ticket, Claim)>,
    log: Vec<String>,
    /// A directory was published.
    published: bool,
    /// What is durable.
    record: Option<Record>,
    /// When it was handed in.
    recorded: Instant,
    /// Records wait until the script says that they are durable.
    holds_records: bool,
    marks: Vec<Mark>,
    /// What cannot be brought back.
    losses: Vec<String>,
    /// Times to live that somebody gave instances.
    ttls: Vec<(&'static str, Duration)>,
    /// Addresses that were let go of, and what was due there.
    freed: Vec<String>,
    legacies: Vec<Legacy>,
}

impl Desk {
    /// A device with these models in memory, listed once.
    fn new(config: Config, memory: &[&str]) -> Self {
        Self::of(&["p"], config, memory, &[])
    }

    /// A device of these providers.
    fn of(providers: &[&str], config: Config, memory: &[&str], sizes: &[(&'static str, u64)]) -> Self {
        let start = tokio::time::Instant::now().into_std();
        let places: Vec<Place> = providers.iter().map(|name| Place::new(name, name)).collect();
        let mut desk = Self {
            planner: Planner::new("local", config, &places, start),
            addresses: places.into_iter().map(|place| (place.name, place.address)).collect(),
            start,
            now: start,
            memory: memory.iter().map(|name| in_memory(name)).collect(),
            outage: None,
            other_outage: None,
            other_control: Control::Full,
            sizes: sizes.to_vec(),
            loading: Vec::new(),
            unload_error: None,
            hangs_unloads: false,
            holds_lists: false,
            lists: Vec::new(),
            loads: Vec::new(),
            granted: Vec::new(),
            claims: Vec::new(),
            log: Vec::new(),
            published: false,
            record: None,
            recorded: start,
            holds_records: false,
            marks: Vec::new(),
            losses: Vec::new(),
            ttls: Vec::new(),
            freed: Vec::new(),
            legacies: Vec::new(),
        };
        desk.feed(Event::Tick);
        desk.log.clear();
        desk
    }

    fn feed(&mut self, event: Event) {
        for effect in self.planner.handle(self.now, event) {
            self.play(effect);
        }
        while !self.holds_lists && !self.lists.is_empty() {
            let (provider, asked, result) = self.lists.remove(0);
            self.feed(Event::Listed(provider, asked, result));
        }
    }

    fn play(&mut self, effect: Effect) {
        match effect {
            Effect::Grant(ticket, grant) => {
                let place = self.claims.iter().position(|(it, _)| *it == ticket).unwrap();
                let (_, claim) = self.claims.remove(place);
                let instance = ModelId::of(claim.model.provider(), grant.instance.as_str());
                self.log.push(format!("grant {} on {}", ticket.0, name(&instance)));
                self.granted.push((ticket, grant, claim.model, claim.session, claim.purpose));
            }
            Effect::Refuse(ticket, refused) => {
                let word = match refused.reason {
                    Reason::LoadFailed { .. } => "load failed".to_owned(),
                    Reason::ProviderDown { .. } => "provider down".to_owned(),
                    reason => format!("{reason:?}"),
                };
                let retry =
                    refused.retry_after.map_or(String::new(), |wait| format!(", retry {}", wait.as_secs()));
                self.log.push(format!("refuse {}: {word}{retry}", ticket.0));
            }
            Effect::Answer(ticket, answer) => {
                let answer = answer.map(|standing| format!("{standing:?}"));
                let answer = answer.unwrap_or_else(|refused| format!("{:?}", refused.reason));
                self.log.push(format!("answer {}: {answer}", ticket.0));
            }
            Effect::List(provider, asked) => {
                let outage = if self.server(provider) == "p" { &self.outage } else { &self.other_outage };
                let result = outage.clone().map_or_else(|| Ok(self.list(provider)), Err);
                self.lists.push((provider, asked, result));
            }
            Effect::Load(_, operation, request) => {
                let context = request.settings.context_length.unwrap_or(0);
                self.log.push(format!("load {} {context}", name(&request.model)));
                self.loads.push((operation, request.model, request.settings));
            }
            Effect::Unload(key) => {
                let instance = ModelId::of(self.planner.name_of(key.provider).unwrap(), key.id.as_str());
                self.log.push(format!("unload {}", name(&instance)));
                if self.hangs_unloads {
                    return;
                }
                let result = self.unload_error.take().map_or(Ok(()), Err);
                if result.is_ok() {
                    let server = self.server(key.provider).to_owned();
                    self.memory.retain(|(id, it, _)| *id != key.id || it.provider() != server);
                }
                self.feed(Event::Unloaded(key, result));
            }
            Effect::Remember(mark, record) => {
                (self.record, self.recorded) = (Some(record), self.now);
                if !self.holds_records {
                    self.feed(Event::Remembered(mark, Durability::Durable));
                } else {
                    self.marks.push(mark);
                }
            }
            Effect::Write(record) => (self.record, self.recorded) = (Some(record), self.now),
            Effect::WriteModels(..) => {}
            Effect::Lost(model, instance, loss) => {
                self.losses.push(format!("{instance} of {}: {loss:?}", name(&model)));
            }
            Effect::AbortStalled(key) => self.log.push(format!("abort stalled {}", key.id)),
            Effect::AbortAll => self.log.push("abort all".to_owned()),
            Effect::Stopped => self.log.push("stopped".to_owned()),
            Effect::Freed(address, legacy) => self.note_freed(&address, legacy),
            Effect::Publish => self.published = true,
            Effect::Tell(..) | Effect::Notice(_) => {}
        }
    }

    fn note_freed(&mut self, address: &str, legacy: Option<Legacy>) {
        let due: Vec<&str> = legacy.iter().flat_map(Legacy::due).map(name).collect();
        let due = if due.is_empty() { String::new() } else { format!(", due {}", due.join(" ")) };
        self.freed.push(format!("{address}{due}"));
        self.legacies.extend(legacy);
    }

    /// The server that the provider is at.
    fn server(&self, provider: ProviderIndex) -> &str {
        let address = &self.addresses[self.planner.name_of(provider).unwrap()];
        address.split('#').next().unwrap()
    }

    fn list(&self, provider: ProviderIndex) -> Inventory {
        let provider = self.server(provider);
        let control = if provider == "p" { Control::Full } else { self.other_control };
        let keys = ["a", "b", "c", "d", "text-embedding-e", "text-embedding-f", "text-embedding-g"];
        let memory: Vec<_> =
            self.memory.iter().filter(|(_, it, _)| it.provider() == provider).cloned().collect();
        let mut list: Vec<Listed> = keys.into_iter().map(|key| listed(key, &memory)).collect();
        for listed in &mut list {
            let weighs = |(it, _): &&(&str, u64)| model(it) == ModelId::of(provider, &listed.key);
            listed.size_bytes = self.sizes.iter().find(weighs).map(|(_, size)| *size);
            for resident in &mut listed.instances {
                let is_it = |(id, _): &&(&str, Duration)| *id == resident.id.as_str();
                resident.remaining_ttl = self.ttls.iter().find(is_it).map(|(_, ttl)| *ttl);
                if self.loading.contains(&resident.id.as_str()) {
                    resident.readiness = Readiness::Loading;
                }
            }
        }
        (control, list)
    }

    /// The process is gone, and all that was not durable with it; another begins, with the memory as it is now.
    fn restart(&mut self) -> &mut Self {
        let age = self.now - self.recorded;
        let kept = Kept { record: self.record.clone(), age, ..Kept::default() };
        let config = self.planner.config.clone();
        let places =
            ["p", "q"].map(|name| Place::new(name, self.addresses.get(name).map_or(name, String::as_str)));
        self.planner = Planner::new("local", config, &places, self.now).resume(kept);
        (self.granted, self.claims, self.loads, self.lists) = Default::default();
        self.marks.clear();
        self.feed(Event::Tick);
        self
    }

    /// Seconds from the start; the planner is woken whenever it wants to be.
    fn at(&mut self, seconds: f64) -> &mut Self {
        let until = self.start + Duration::from_secs_f64(seconds);
        while let Some(wake) = self.planner.wake_at().filter(|wake| *wake <= until) {
            self.now = wake;
            self.feed(Event::Tick);
        }
        self.now = until;
        self.feed(Event::Tick);
        self
    }

    fn claim(&mut self, ticket: u64, key: &str, purpose: Purpose) -> &mut Self {
        self.claim_of(ticket, key, purpose, &format!("s{ticket}"), 100)
    }

    fn claim_of(
        &mut self,
        ticket: u64,
        key: &str,
        purpose: Purpose,
        session: &str,
        tokens: u32,
    ) -> &mut Self {
        self.claim_as(ticket, claim_for(ticket, key, purpose, session, tokens))
    }

    fn claim_as(&mut self, ticket: u64, claim: Claim) -> &mut Self {
        self.claims.push((Ticket(ticket), claim.clone()));
        self.feed(Event::Claimed(Ticket(ticket), claim));
        self
    }

    fn leave(&mut self, ticket: u64) -> &mut Self {
        self.feed(Event::Left(Ticket(ticket)));
        self
    }

    fn end(&mut self, ticket: u64, end: End) -> &mut Self {
        let place = self.granted.iter().position(|(it, ..)| it.0 == ticket).unwrap();
        let (_, grant, model, session, purpose) = self.granted.remove(place);
        if end == DONE && grant.gate.leave_quietly() {
            return self;
        }
        self.feed(Event::Ended(Ended {
            gate: grant.gate,
            model,
            instance: grant.instance,
            session,
            purpose,
            end,
        }));
        self
    }

    /// The load under way succeeds.
    fn loaded(&mut self) -> &mut Self {
        self.loaded_with(None)
    }

    /// The load under way succeeds with another context than asked for.
    fn loaded_with(&mut self, context: Option<u32>) -> &mut Self {
        let (operation, model, mut settings) = self.loads.remove(0);
        settings.context_length = context.or(settings.context_length);
        let server = self.addresses[model.provider()].split('#').next().unwrap().to_owned();
        let is_there = |it: &ModelId| it.provider() == server;
        let taken = |id: &InstanceId| self.memory.iter().any(|(it, of, _)| it == id && is_there(of));
        let names =
            (1..).map(|n| if n == 1 { model.key().to_owned() } else { format!("{}:{n}", model.key()) });
        let instance = names.map(InstanceId::new).find(|id| !taken(id)).unwrap();
        let there = ModelId::of(&server, model.key());
        self.memory.push((instance.clone(), there, settings.context_length.unwrap_or(4096)));
        let loaded = Loaded { instance, settings, parallel: NonZeroU32::new(2), took: None };
        self.feed(Event::Loaded(operation, Ok(loaded)));
        self
    }

    fn load_fails(&mut self, error: Error) -> &mut Self {
        let (operation, ..) = self.loads.remove(0);
        self.feed(Event::Loaded(operation, Err(error)));
        self
    }

    /// Someone else loads.
    fn someone_loads(&mut self, id: &str, key: &str) -> &mut Self {
        self.memory.push((InstanceId::new(id), model(key), 4096));
        self
    }

    /// Someone else unloads from `q`.
    fn someone_unloads_at_q(&mut self, id: &str) -> &mut Self {
        self.memory.retain(|(it, of, _)| it.as_str() != id || of.provider() != "q");
        self
    }

    /// Someone else unloads.
    fn someone_unloads(&mut self, id: &str) -> &mut Self {
        self.memory.retain(|(it, ..)| it.as_str() != id);
        self
    }

    /// The hot path: in by the gate alone, or not.
    fn enters(&mut self, key: &str) -> Option<Arc<Gate>> {
        let door = self.planner.doors().remove(&model(key))?.into_iter().next()?;
        door.gate.try_enter().then_some(door.gate)
    }

    /// What was done since the last look.
    fn expect(&mut self, lines: &[&str]) -> &mut Self {
        let seconds = (self.now - self.start).as_secs_f64();
        let is_look = |line: &str| line.starts_with("abort stalled");
        if !lines.iter().any(|line| is_look(line)) {
            // Drains look for slow clients every second; scripts say so only where that is their matter.
            self.log.retain(|line| !is_look(line));
        }
        assert_eq!(std::mem::take(&mut self.log), lines, "at {seconds} s");
        self
    }

    fn expect_baseline(&mut self, keys: &[&str]) -> &mut Self {
        let report = self.planner.report(self.now);
        let due: Vec<&str> = report.baseline.iter().map(|due| name(&due.model)).collect();
        assert_eq!(due, keys);
        self
    }
}

fn claim_for(ticket: u64, key: &str, purpose: Purpose, session: &str, tokens: u32) -> Claim {
    Claim {
        model: model(key),
        purpose,
        session: SessionKey::new(session),
        request: RequestId::new(format!("r{ticket}")),
        prompt_tokens: tokens,
        output_tokens: 100,
        context_length: None,
        progress: Arc::new(Progress::default()),
    }
}

fn model(name: &str) -> ModelId {
    if name.contains('/') { ModelId::new(name) } else { ModelId::of("p", name) }
}

/// Providers at addresses of their own.
fn places<const N: usize>(names: [&str; N]) -> [Place; N] {
    names.map(|name| Place::new(name, name))
}

fn name(model: &ModelId) -> &str {
    if model.provider() == "p" { model.key() } else { model.as_str() }
}

fn in_memory(name: &str) -> (InstanceId, ModelId, u32) {
    let model = model(name);
    (InstanceId::new(model.key()), model, 8192)
}

fn listed(key: &str, memory: &[(InstanceId, ModelId, u32)]) -> Listed {
    let instances = memory.iter().filter(|(_, it, _)| it.key() == key).map(|(id, _, context)| Resident {
        id: id.clone(),
        readiness: Readiness::Ready,
        settings: Settings { context_length: Some(*context), ..Settings::default() },
        parallel: NonZeroU32::new(2),
        remaining_ttl: None,
    });
    Listed {
        key: key.to_owned(),
        display_name: key.to_owned(),
        kind: if key.starts_with("text-embedding") { Kind::Embedding } else { Kind::Language },
        vision: false,
        tool_use: false,
        reasoning: false,
        local: true,
        max_context: Some(32_768),
        size_bytes: None,
        instances: instances.collect(),
    }
}

fn two() -> Config {
    Config { max_loaded: NonZeroU32::new(2).unwrap(), ..Config::default() }
}

//! The rules of residency, one by one, as scripts: what happens at which second, and what the planner does about it.
//!
//! The desk answers lists and unloads by itself and at once, from a memory that the script may touch; loads end when
//! the script says so. Effects are written down as short lines; what is said to waiting clients is left out.

mod failures;
mod rules;
mod wishes;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Asked, Effect, Event, Grant, Operation, Planner, Ticket};
use crate::id::{InstanceId, ModelId, RequestId, SessionKey};
use crate::model::Kind;
use crate::provider::{Error, Listed, Loaded, Readiness, Resident, Settings};
use crate::residency::claim::{Claim, Progress, Purpose, Reason};
use crate::residency::config::Config;
use crate::residency::gate::Gate;
use crate::residency::lease::{End, Ended, TurnAfter};
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
    /// What lists answer instead.
    outage: Option<Error>,
    /// What models weigh, where a script says so.
    sizes: Vec<(&'static str, u64)>,
    /// Instances that are still loading by someone else's doing.
    loading: Vec<&'static str>,
    /// What the next unload answers instead.
    unload_error: Option<Error>,
    /// Lists wait until the script answers them.
    holds_lists: bool,
    lists: Vec<(Asked, Result<Vec<Listed>, Error>)>,
    loads: Vec<(Operation, ModelId, Settings)>,
    granted: Vec<(Ticket, Grant, ModelId, SessionKey, Purpose)>,
    claims: Vec<(Ticket, Claim)>,
    log: Vec<String>,
    /// A directory was published.
    published: bool,
}

impl Desk {
    /// A device with these models in memory, listed once.
    fn new(config: Config, memory: &[&str]) -> Self {
        let start = tokio::time::Instant::now().into_std();
        let mut desk = Self {
            planner: Planner::new(config, "p", Vec::new(), start),
            start,
            now: start,
            memory: memory.iter().map(|key| (InstanceId::new(*key), model(key), 8192)).collect(),
            outage: None,
            sizes: Vec::new(),
            loading: Vec::new(),
            unload_error: None,
            holds_lists: false,
            lists: Vec::new(),
            loads: Vec::new(),
            granted: Vec::new(),
            claims: Vec::new(),
            log: Vec::new(),
            published: false,
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
            let (asked, result) = self.lists.remove(0);
            self.feed(Event::Listed(asked, result));
        }
    }

    fn play(&mut self, effect: Effect) {
        match effect {
            Effect::Grant(ticket, grant) => {
                let place = self.claims.iter().position(|(it, _)| *it == ticket).unwrap();
                let (_, claim) = self.claims.remove(place);
                self.log.push(format!("grant {} on {}", ticket.0, grant.instance));
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
            Effect::List(asked) => {
                let result = self.outage.clone().map_or_else(|| Ok(self.list()), Err);
                self.lists.push((asked, result));
            }
            Effect::Load(operation, request) => {
                let context = request.settings.context_length.unwrap_or(0);
                self.log.push(format!("load {} {context}", request.model.key()));
                self.loads.push((operation, request.model, request.settings));
            }
            Effect::Unload(instance) => {
                self.log.push(format!("unload {instance}"));
                let result = self.unload_error.take().map_or(Ok(()), Err);
                if result.is_ok() {
                    self.memory.retain(|(id, ..)| *id != instance);
                }
                self.feed(Event::Unloaded(instance, result));
            }
            Effect::AbortStalled(instance) => self.log.push(format!("abort stalled {instance}")),
            Effect::AbortAll => self.log.push("abort all".to_owned()),
            Effect::Stopped => self.log.push("stopped".to_owned()),
            Effect::Publish => self.published = true,
            Effect::Tell(..) | Effect::Notice(_) => {}
        }
    }

    fn list(&self) -> Vec<Listed> {
        let keys = ["a", "b", "c", "d", "text-embedding-e", "text-embedding-f", "text-embedding-g"];
        let mut list: Vec<Listed> = keys.into_iter().map(|key| listed(key, &self.memory)).collect();
        for listed in &mut list {
            listed.size_bytes = self.sizes.iter().find(|(key, _)| listed.key == *key).map(|(_, size)| *size);
            for resident in &mut listed.instances {
                if self.loading.contains(&resident.id.as_str()) {
                    resident.readiness = Readiness::Loading;
                }
            }
        }
        list
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
        let taken = |id: &InstanceId| self.memory.iter().any(|(it, ..)| it == id);
        let names =
            (1..).map(|n| if n == 1 { model.key().to_owned() } else { format!("{}:{n}", model.key()) });
        let instance = names.map(InstanceId::new).find(|id| !taken(id)).unwrap();
        self.memory.push((instance.clone(), model, settings.context_length.unwrap_or(4096)));
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
        let due: Vec<&str> = report.baseline.iter().map(|due| due.model.key()).collect();
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

fn model(key: &str) -> ModelId {
    ModelId::of("p", key)
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

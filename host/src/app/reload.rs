//! The configuration while the gateway runs: its file is watched, read again when it changes or when somebody asks, and what is
//! new in it is given to each room by that room's own door. No room is started anew.
//!
//! One task owns what is in force. Whatever is wrong with a file changes nothing, is logged once, and is shown until it is
//! mended. What can fail is done before anything is changed, so that either all rooms get the new configuration or none;
//! a skill that does not take its new settings keeps the old ones, alone.
//!
//! A file that is removed changes nothing either, whatever else is found then: an accident would otherwise take models and keys
//! away. One that appears where one is looked for is used.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::Tasks;
use super::servers::{self, Servers};
use crate::admin::{self, view};
use crate::config::{Change, Config, Errors, Origin, Problem, Sight};
use crate::exchange::Gateway;
use crate::ingress::entrance::Entrance;
use crate::provider::ServerKind;
use crate::residency::Actor;
use crate::skill::{Fate, Unfit};
use crate::store::Store;

/// How often the file is looked at. It counts when two looks have found it the same: one that is still being written waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who asks for a reload waits for those before.
const ASKING_MAX: usize = 16;

/// The rooms that take another configuration.
pub(super) struct Rooms {
    pub(super) gateway: Arc<Gateway>,
    pub(super) entrance: Arc<Entrance>,
    pub(super) store: Store,
    pub(super) tasks: Tasks,
}

/// Keeps the configuration in force; to be run.
#[must_use = "changes of the configuration are noticed only while it runs"]
pub(super) struct Watch {
    /// What is in force.
    config: Config,
    servers: Servers,
    rooms: Rooms,
    /// The file as it was when it was last taken or refused.
    taken: Option<Sight>,
    asked: mpsc::Receiver<oneshot::Sender<view::Reloaded>>,
    standing: Arc<ArcSwap<Standing>>,
}

/// Asks for a reload, and knows how things stand.
#[derive(Clone)]
pub(super) struct Bell {
    asking: mpsc::Sender<oneshot::Sender<view::Reloaded>>,
    standing: Arc<ArcSwap<Standing>>,
}

/// What is shown of the configuration.
struct Standing {
    told: view::Configuration,
    servers: Vec<admin::ModelServer>,
    shutdown_timeout: Duration,
}

/// What is new, made and not yet given to any room.
struct Prepared {
    config: Config,
    change: Change,
    servers: Servers,
    targets: std::collections::BTreeMap<String, crate::upstream::Target>,
}

// === impl Bell ===

impl Bell {
    /// Has the configuration read again, and does not wait for it. Where many have asked already, it is read anyway.
    pub(super) fn nudge(&self) {
        let (answer, _) = oneshot::channel();
        let _ = self.asking.try_send(answer);
    }

    /// Reads the configuration again, now; none where the gateway is stopping.
    pub(super) async fn ring(&self) -> Option<view::Reloaded> {
        let (answer, reloaded) = oneshot::channel();
        self.asking.send(answer).await.ok()?;
        reloaded.await.ok()
    }

    /// How long a shutdown may take: devices stop side by side, so the slowest says it.
    pub(super) fn shutdown_timeout(&self) -> Duration {
        self.standing.load().shutdown_timeout
    }
}

impl admin::Configuration for Bell {
    fn servers(&self) -> Vec<admin::ModelServer> {
        self.standing.load().servers.clone()
    }

    fn standing(&self) -> view::Configuration {
        self.standing.load().told.clone()
    }

    fn reload(&self) -> BoxFuture<'static, Option<view::Reloaded>> {
        let bell = self.clone();
        async move { bell.ring().await }.boxed()
    }
}

// === impl Watch ===

impl Watch {
    /// A watch over this configuration, which the rooms were built with.
    pub(super) fn new(config: Config, servers: Servers, rooms: Rooms) -> (Self, Bell) {
        let (asking, asked) = mpsc::channel(ASKING_MAX);
        let standing = Arc::new(ArcSwap::from_pointee(Standing::of(&config, Vec::new(), Vec::new())));
        let taken = config.source.as_ref().map(|source| source.sight.clone());
        let bell = Bell { asking, standing: standing.clone() };
        (Self { config, servers, rooms, taken, asked, standing }, bell)
    }

    /// Looks and listens until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let origin = self.config.source.as_ref().map(|source| source.origin.clone());
        let mut clock = tokio::time::interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.taken.clone();
        loop {
            tokio::select! {
                asked = self.asked.recv() => {
                    let Some(answer) = asked else { return };
                    let reloaded = match &origin {
                        Some(origin) => self.take(origin, look(origin).await).await,
                        None => self.nothing_to_read(),
                    };
                    // Whoever asked may have gone.
                    let _ = answer.send(reloaded);
                }
                _ = clock.tick() => {
                    let Some(origin) = &origin else { continue };
                    let now = Some(look(origin).await);
                    let is_settled = now == before;
                    before = now.clone();
                    if let Some(sight) = now.filter(|_| is_settled && before != self.taken) {
                        self.take(origin, sight).await;
                    }
                }
            }
        }
    }

    /// Takes the file as it was seen, or says why not.
    async fn take(&mut self, origin: &Origin, sight: Sight) -> view::Reloaded {
        let is_news = self.taken.as_ref() != Some(&sight);
        self.taken = Some(sight.clone());
        match self.prepare(origin, &sight) {
            Ok(prepared) => self.give(prepared).await,
            Err(errors) => {
                if is_news {
                    tracing::error!(
                        "the configuration is not taken, and what was in force stays so: {errors}"
                    );
                }
                self.refused(&errors)
            }
        }
    }

    /// Everything that can fail.
    fn prepare(&self, origin: &Origin, sight: &Sight) -> Result<Prepared, Errors> {
        if let Some(file) = &self.config.file
            && let Some(message) = gone(file, sight)
        {
            return Err(Errors { file: Some(file.clone()), problems: vec![whole(message)] });
        }
        let (config, change) = self.config.followed_by(origin.read(sight)?)?;
        let impossible = |error: anyhow::Error| {
            let problems = vec![whole(format!("{error:#}"))];
            Errors { file: config.file.clone(), problems }
        };
        let servers = self.servers.following(&config).map_err(impossible)?;
        let targets = servers::targets(&config).map_err(impossible)?;
        Ok(Prepared { config, change, servers, targets })
    }

    /// Gives each room what is its own. Who guards is asked before what is to be guarded is there, and where requests go
    /// changes once it is known whose models are where.
    async fn give(&mut self, prepared: Prepared) -> view::Reloaded {
        let Prepared { config, change, servers, targets } = prepared;
        let Rooms { gateway, entrance, store, tasks } = &self.rooms;
        // What takes long comes before anything is changed.
        let skills = gateway.skills.prepare(config.skills.limits.clone(), config.skills.skills.clone()).await;
        gateway.skills.record_within(config.skills.recording);
        let unfit = gateway.skills.put_in_force(skills);
        // Whoever is granted a model must find its server: who is new is known there first.
        gateway.upstream.introduce(&targets);
        gateway.settings.store(Arc::new(super::settings(&config)));
        super::picks::locked(&gateway.sessions).reconfigure(config.sessions);
        entrance.reconfigure(config.ingress.clone());
        let devices = servers.devices(&config, store);
        let owners = gateway.residency.reconfigure(devices, config.aliases.clone()).await;
        look_after(tasks, owners);
        gateway.upstream.reconfigure(targets);
        let problems: Vec<Problem> = unfit.into_iter().map(unusable).collect();
        for problem in &problems {
            tracing::error!("the configuration is taken, but for this: {}", told(problem));
        }
        if !change.keys.is_empty() {
            tracing::info!("the configuration is taken: {} changed", change.keys.join(", "));
        }
        for key in &change.at_start {
            tracing::warn!("`{key}` takes effect at the next start");
        }
        self.standing.store(Arc::new(Standing::of(&config, problems, change.at_start)));
        (self.config, self.servers) = (config, servers);
        view::Reloaded { ok: true, changed: change.keys, configuration: self.told() }
    }

    fn refused(&self, errors: &Errors) -> view::Reloaded {
        let before = self.standing.load();
        let told = view::Configuration {
            problems: errors.problems.iter().map(told).collect(),
            file: errors.file.as_ref().map(|file| file.display().to_string()),
            ..before.told.clone()
        };
        let (servers, shutdown_timeout) = (before.servers.clone(), before.shutdown_timeout);
        self.standing.store(Arc::new(Standing { told, servers, shutdown_timeout }));
        view::Reloaded { ok: false, changed: Vec::new(), configuration: self.told() }
    }

    fn nothing_to_read(&self) -> view::Reloaded {
        let problems = vec![told(&whole("this gateway was started without a place to read one from"))];
        let configuration = view::Configuration { problems, ..self.told() };
        view::Reloaded { ok: false, changed: Vec::new(), configuration }
    }

    fn told(&self) -> view::Configuration {
        self.standing.load().told.clone()
    }
}

/// Owners of new devices run with everything else; of those that have ended nothing is kept.
fn look_after(tasks: &Tasks, owners: Vec<Actor>) {
    let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    while tasks.try_join_next().is_some() {}
    for owner in owners {
        tasks.spawn(owner.run());
    }
}

/// What is there now, off the runtime's threads.
async fn look(origin: &Origin) -> Sight {
    let origin = origin.clone();
    let looked = tokio::task::spawn_blocking(move || origin.look()).await;
    looked.unwrap_or(Sight::Nothing)
}

/// What is wrong where the file in force is gone: another one that is found in its place is not what anybody chose.
fn gone(file: &Path, sight: &Sight) -> Option<String> {
    let stays = "what it said stays in force until it is there again or the next start";
    match sight {
        Sight::Nothing => Some(format!("is not there any more; {stays}")),
        Sight::Written { path, .. } | Sight::Unreadable { path, .. } if path != file && !file.exists() => {
            Some(format!("is not there any more; {stays}, which takes {}", path.display()))
        }
        Sight::Written { .. } | Sight::Unreadable { .. } => None,
    }
}

/// Something wrong with the file as a whole.
fn whole(message: impl Into<String>) -> Problem {
    Problem { key: None, message: message.into() }
}

/// A skill that cannot be used as the user says now.
fn unusable(unfit: Unfit) -> Problem {
    let Unfit { skill, reason, fate } = unfit;
    let fate = match fate {
        Fate::GoesOn => "goes on as before",
        Fate::Rests => "is not asked any more",
    };
    match skill {
        Some(skill) => Problem {
            key: Some(format!("skills.{skill}")),
            message: format!("the skill {fate}, since with this it {reason}"),
        },
        None => Problem { key: None, message: format!("skills go on as before: {reason}") },
    }
}

fn told(problem: &Problem) -> view::ConfigProblem {
    view::ConfigProblem { key: problem.key.clone(), message: problem.message.clone() }
}

// === impl Standing ===

impl Standing {
    fn of(config: &Config, problems: Vec<Problem>, at_next_start: Vec<String>) -> Self {
        let server = |(name, provider): (&String, &crate::config::Provider)| admin::ModelServer {
            name: name.clone(),
            kind: provider.kind.map_or("unknown", ServerKind::as_str).to_owned(),
            url: provider.url.clone(),
        };
        let timeouts = config.devices.iter().map(|device| device.residency.shutdown_timeout);
        Self {
            told: view::Configuration {
                file: config.file.as_ref().map(|file| file.display().to_string()),
                problems: problems.iter().map(told).collect(),
                at_next_start,
            },
            servers: config.providers.iter().map(server).collect(),
            shutdown_timeout: timeouts.max().unwrap_or_default(),
        }
    }
}

//! The only place that builds rooms and wires them together, and the order in which they stop: no new connections,
//! running answers to their end, models back to the baseline, then the tasks, and last what is to be remembered.

mod archive;
mod delegates;
mod events;
mod journal;
mod picks;
mod reload;
mod servers;
mod token;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::exchange::{self, Gateway};
use crate::ingress::entrance::Entrance;
use crate::ingress::{listener, routes::Front};
use crate::residency::Residency;
use crate::session::table::Table;
use crate::skill::{self, Bundled, Housekeeping, Skills};
use crate::store::{OpenError, Store};
use crate::telemetry::Ring;
use crate::upstream::Upstream;
use delegates::Behind;
use reload::{Bell, Rooms, Watch};
use servers::Servers;

/// How long the disk may take after everything else has stopped.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// A gateway that serves.
pub struct Running {
    address: SocketAddr,
    token: String,
    gateway: Arc<Gateway>,
    stop: oneshot::Sender<()>,
    listener: JoinSet<()>,
    watch: JoinSet<()>,
    tasks: Tasks,
    store: Store,
    bell: Bell,
}

/// The tasks that end with the gateway. A new configuration may bring more.
type Tasks = Arc<Mutex<JoinSet<()>>>;

/// Starts everything. It serves as soon as this returns; whether a provider answers yet is `readyz`'s business.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    let store = open_store(&config.data_dir)?;
    let token = token::read_or_make(&config.data_dir.join(admin::TOKEN_FILE))?;
    let socket = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "cannot listen on {}: is a gateway running already? `--listen` takes another address",
            config.listen
        )
    })?;
    let address = socket.local_addr().context("the listening address")?;
    let mut tasks = JoinSet::new();

    let servers = Servers::default().following(&config)?;
    let (residency, owners) = Residency::new(servers.devices(&config, &store), config.aliases.clone());
    for owner in owners {
        tasks.spawn(owner.run());
    }
    let upstream = Arc::new(upstream(&config, address)?);
    let sessions = picks::restored(&store, Table::new(config.sessions));
    let ring = Arc::new(Ring::default());
    let behind = Behind {
        residency: residency.clone(),
        upstream: upstream.clone(),
        sessions: sessions.clone(),
        ring: ring.clone(),
        store: store.clone(),
        skills: Arc::default(),
    };
    let (skills, housekeeping) = skills(&config, &behind).await?;
    tasks.spawn(housekeeping.run());
    tasks.spawn(events::tell(residency.clone(), skills.events()));

    let gateway = Arc::new(Gateway {
        settings: ArcSwap::from_pointee(settings(&config)),
        skills,
        residency,
        upstream,
        sessions,
        ring,
        counter: AtomicU64::new(rand::random::<u32>().into()),
    });
    let entrance = Arc::new(Entrance::new(config.ingress.clone()));
    let tasks = Arc::new(Mutex::new(tasks));
    let rooms = Rooms {
        gateway: gateway.clone(),
        entrance: entrance.clone(),
        store: store.clone(),
        tasks: tasks.clone(),
    };
    let data_dir = config.data_dir.clone();
    let (watching, bell) = Watch::new(config, servers, rooms);
    let admin = admin_router(&gateway, &bell, &store, &token, data_dir);
    let front = Front::new(entrance, gateway.clone(), admin);
    let (stop, stopped) = oneshot::channel();
    let (mut listening, mut watch) = (JoinSet::new(), JoinSet::new());
    listening.spawn(listener::run(socket, front, async {
        // A sender that is gone means the same as one that was used.
        let _ = stopped.await;
    }));
    watch.spawn(watching.run());
    tracing::info!("listening on http://{address}");
    Ok(Running { address, token, gateway, stop, listener: listening, watch, tasks, store, bell })
}

/// What exchanges are told by the configuration.
fn settings(config: &Config) -> exchange::Settings {
    exchange::Settings {
        routes: config.routes.clone(),
        limits: config.exchange,
        command_prefix: config.command_prefix.clone(),
    }
}

/// What survives a restart. A folder that another gateway uses is refused; any other trouble with it costs what would
/// have been remembered, not the service.
fn open_store(data_dir: &Path) -> anyhow::Result<Store> {
    match Store::open(data_dir) {
        Ok(store) => Ok(store),
        Err(error @ (OpenError::InUse { .. } | OpenError::Folder { .. })) => Err(error.into()),
        Err(error) => {
            tracing::error!("nothing will be remembered after this run: {error}");
            Store::in_memory().context("a store in memory")
        }
    }
}

async fn skills(config: &Config, behind: &Behind) -> anyhow::Result<(Arc<Skills>, Housekeeping)> {
    let delegates = behind.delegates().context("the client of skills' `http`")?;
    let (skills, housekeeping) =
        Skills::start(config.skills.clone(), delegates, &bundled()).await.context("skills")?;
    // Set once, here: what is shown of skills to skills is looked up when they ask.
    let _ = behind.skills.set(Arc::downgrade(&skills));
    skills.record_to(Arc::new(archive::Turns::new(behind.store.clone(), config.skills.recording)));
    Ok((skills, housekeeping))
}

/// The skills of a data folder that no gateway uses: for looking at them and changing them. They are asked nothing but
/// what they would say to turns that were recorded; the housekeeping need not be run.
///
/// # Errors
/// There can be no skills at all.
pub async fn skills_at_rest(
    config: Config,
    store: &Store,
) -> Result<(Arc<Skills>, Housekeeping), skill::StartError> {
    let recording = config.skills.recording;
    let (skills, housekeeping) = Skills::start(config.skills, delegates::at_rest(store), &bundled()).await?;
    skills.record_to(Arc::new(archive::Turns::new(store.clone(), recording)));
    Ok((skills, housekeeping))
}

/// The skills that ship with the gateway.
pub fn bundled() -> Vec<Bundled> {
    pointsman_skills::SKILLS
        .iter()
        .map(|skill| Bundled { name: skill.name, wasm: Bytes::from_static(skill.wasm) })
        .collect()
}

/// The data path's client; the hop header names this gateway by its address and a random number.
fn upstream(config: &Config, address: SocketAddr) -> anyhow::Result<Upstream> {
    let hop = HeaderValue::try_from(format!("{address}-{:08x}", rand::random::<u32>()))
        .context("the hop header")?;
    Ok(Upstream::new(servers::targets(config)?, hop))
}

fn admin_router(
    gateway: &Arc<Gateway>,
    bell: &Bell,
    store: &Store,
    token: &str,
    data_dir: PathBuf,
) -> axum::Router {
    admin::router(Arc::new(Admin {
        gateway: gateway.clone(),
        picks: Arc::new(picks::Kept { store: store.clone(), sessions: gateway.sessions.clone() }),
        configuration: Arc::new(bell.clone()),
        token: token.to_owned(),
        started: Instant::now(),
        data_dir,
    }))
}

/// What is still to be written is. Closing the store waits for the disk, so no thread that serves others does it.
async fn close(store: Store) {
    let deadline = Instant::now() + STORE_TIMEOUT;
    let written = tokio::time::timeout_at(deadline, store.flush()).await;
    if !matches!(written, Ok(Ok(()))) {
        tracing::warn!("what is in memory now may not be known after a restart: the disk did not take it");
    }
    let closed = tokio::task::spawn_blocking(move || drop(store));
    // A disk that hangs must not keep the process.
    let _ = tokio::time::timeout_at(deadline, closed).await;
}

// === impl Running ===

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The admin API's token.
    pub fn admin_token(&self) -> &str {
        &self.token
    }

    /// What every exchange shares.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Has the configuration read again, soon; what comes of it is logged.
    pub fn reload(&self) {
        self.bell.nudge();
    }

    /// Stops: no new connections, running answers end, the baseline is put back; all within `shutdown_timeout`.
    pub async fn stop(mut self) {
        // Nothing is added to what stops.
        self.watch.shutdown().await;
        // A listener that is gone already needs no word.
        let _ = self.stop.send(());
        let residency = self.gateway.residency.clone();
        let shutdown_timeout = self.bell.shutdown_timeout();
        let deadline = Instant::now() + shutdown_timeout;
        let drained = async {
            tokio::join!(residency.shutdown(), async { while self.listener.join_next().await.is_some() {} });
        };
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            tracing::warn!("not everything ended within {} s", shutdown_timeout.as_secs());
        }
        self.listener.abort_all();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        close(self.store).await;
    }
}

//! The only place that builds rooms and wires them together, and the order in which they stop: no new connections,
//! running answers to their end, models back to the baseline, then the tasks, and last what is to be remembered.

mod archive;
mod delegates;
mod events;
mod journal;
mod picks;
mod token;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderValue, Uri};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::{self, Admin};
use crate::config::{self, Config};
use crate::exchange::Gateway;
use crate::ingress::{listener, routes::Front};
use crate::provider::auto::{self, Auto};
use crate::provider::list_only::ListOnly;
use crate::provider::{Provider, ServerKind};
use crate::residency::{Device, Residency};
use crate::session::table::Table;
use crate::skill::{self, Bundled, Housekeeping, Skills};
use crate::store::{OpenError, Store};
use crate::telemetry::Ring;
use crate::upstream::{Substitutes, Target, Upstream};
use delegates::Behind;

/// How long the disk may take after everything else has stopped.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// A gateway that serves.
pub struct Running {
    address: SocketAddr,
    token: String,
    gateway: Arc<Gateway>,
    stop: oneshot::Sender<()>,
    listener: JoinSet<()>,
    tasks: JoinSet<()>,
    store: Store,
    shutdown_timeout: Duration,
}

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
    // Devices stop side by side, so the slowest says how long it takes.
    let timeouts = config.devices.iter().map(|device| device.residency.shutdown_timeout);
    let shutdown_timeout = timeouts.max().unwrap_or_default();
    let mut tasks = JoinSet::new();

    let (residency, owners) = Residency::new(devices(&config, &store)?, config.aliases.clone());
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
        routes: config.routes.clone(),
        limits: config.exchange,
        skills,
        command_prefix: config.command_prefix.clone(),
        residency,
        upstream,
        sessions,
        ring,
        counter: AtomicU64::new(rand::random::<u32>().into()),
    });
    let admin = admin_router(&config, &gateway, &store, &token);
    let front = Front::new(config.ingress.clone(), gateway.clone(), admin);
    let (stop, stopped) = oneshot::channel();
    let mut listening = JoinSet::new();
    let connections_max = config.ingress.connections_max;
    listening.spawn(listener::run(socket, front, connections_max, async {
        // A sender that is gone means the same as one that was used.
        let _ = stopped.await;
    }));
    tracing::info!("listening on http://{address}");
    Ok(Running { address, token, gateway, stop, listener: listening, tasks, store, shutdown_timeout })
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

fn devices(config: &Config, store: &Store) -> anyhow::Result<Vec<Device>> {
    let device = |device: &config::Device| {
        let of_name = |name: &String| config.providers.get(name).map(|it| provider(name, it));
        let providers = device.providers.iter().filter_map(of_name).collect::<anyhow::Result<_>>()?;
        let journal = Arc::new(journal::Stored::new(store.clone()));
        Ok(Device { name: device.name.clone(), config: device.residency.clone(), providers, journal })
    };
    config.devices.iter().map(device).collect()
}

fn provider(name: &str, provider: &config::Provider) -> anyhow::Result<Arc<dyn Provider>> {
    let key = provider.key.as_ref().map(|key| key.reveal().to_owned());
    let server: Arc<dyn Provider> = match provider.kind {
        Some(kind) => auto::of_kind(kind, name, &provider.url, key, provider.locality)
            .with_context(|| format!("provider {name} at {}", provider.url))?,
        None => Arc::new(Auto::new(name, &provider.url, key, provider.locality)),
    };
    Ok(match provider.mode {
        config::Mode::Gateway => server,
        config::Mode::Provider => Arc::new(ListOnly(server)),
    })
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
    let mut targets = BTreeMap::new();
    for (name, provider) in &config.providers {
        let at = |path: &str| {
            let uri: Result<Uri, _> = format!("{}/v1/{path}", provider.url).parse();
            uri.with_context(|| format!("provider {name}: url {:?}", provider.url))
        };
        let (chat, embeddings) = (at("chat/completions")?, at("embeddings")?);
        let substitutes = match provider.kind {
            None | Some(ServerKind::LmStudio) => Substitutes::Perhaps,
            Some(_) => Substitutes::Never,
        };
        let authorization = authorization(provider)?;
        targets.insert(name.clone(), Target { chat, embeddings, authorization, substitutes });
    }
    let hop = HeaderValue::try_from(format!("{address}-{:08x}", rand::random::<u32>()))
        .context("the hop header")?;
    Ok(Upstream::new(targets, hop))
}

fn authorization(provider: &config::Provider) -> anyhow::Result<Option<HeaderValue>> {
    let Some(key) = &provider.key else { return Ok(None) };
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.reveal())).context("a provider's key")?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn admin_router(config: &Config, gateway: &Arc<Gateway>, store: &Store, token: &str) -> axum::Router {
    let providers = config.providers.iter().map(|(name, provider)| admin::ModelServer {
        name: name.clone(),
        kind: provider.kind.map_or("unknown", ServerKind::as_str).to_owned(),
        url: provider.url.clone(),
    });
    admin::router(Arc::new(Admin {
        gateway: gateway.clone(),
        picks: Arc::new(picks::Kept { store: store.clone(), sessions: gateway.sessions.clone() }),
        token: token.to_owned(),
        started: Instant::now(),
        providers: providers.collect(),
        config_file: config.file.clone(),
        data_dir: config.data_dir.clone(),
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

    /// Stops: no new connections, running answers end, the baseline is put back; all within `shutdown_timeout`.
    pub async fn stop(mut self) {
        // A listener that is gone already needs no word.
        let _ = self.stop.send(());
        let residency = self.gateway.residency.clone();
        let deadline = Instant::now() + self.shutdown_timeout;
        let drained = async {
            tokio::join!(residency.shutdown(), async { while self.listener.join_next().await.is_some() {} });
        };
        if tokio::time::timeout_at(deadline, drained).await.is_err() {
            tracing::warn!("not everything ended within {} s", self.shutdown_timeout.as_secs());
        }
        self.tasks.abort_all();
        self.listener.abort_all();
        while self.tasks.join_next().await.is_some() {}
        close(self.store).await;
    }
}

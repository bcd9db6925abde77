//! One run: an LM Studio and a gateway on loopback with nothing in memory, clients that come as the arrivals say, and
//! what they saw.
//!
//! Each run has a gateway of its own, so that no run finds in memory what another left there. Skills are switched off:
//! what is measured is who gets the slot. A client sends its next request when its former answer has been read, and
//! gives up at once where an answer is none: a run in which something failed has no figures.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use lmstudio_emulator::config::Model as Emulated;
use lmstudio_emulator::{Config as LmStudio, Emulator};
use pointsman::app::{self, Running};
use pointsman::config::{Config, Overrides};
use pointsman_bench::paper::{Arrivals, Client, ClientNumber, Model, Served, Slot, fifo, rules};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::seen::Seen;

/// How often a gateway that has just started is asked whether it knows its models.
const READY_EVERY: Duration = Duration::from_millis(20);

/// How long it may take until it does.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How often this process looks whether it comes to run.
const BEAT: Duration = Duration::from_millis(10);

/// How long an answer may take beyond the whole run in strict order. A client that waits longer will not be answered:
/// the run fails and says what the gateway was doing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The clients' side of a run.
#[derive(Clone)]
struct Line {
    http: reqwest::Client,
    url: String,
    scale: f64,
    answer: Duration,
    /// The moment from which the arrivals count.
    zero: Instant,
}

/// Plays these arrivals, each second of them in `scale` real ones.
pub(crate) async fn run(arrivals: &Arrivals, slot: Slot, scale: f64) -> anyhow::Result<Seen> {
    let lmstudio =
        Emulator::start(lmstudio(arrivals, slot, scale)).await.context("the emulated LM Studio")?;
    let folder = tempfile::tempdir().context("a folder for the gateway")?;
    let gateway = gateway(folder.path(), &lmstudio.url(), slot, scale).await?;
    ready(&gateway).await?;
    let answer_within = fifo::play(arrivals, slot).makespan.mul_f64(scale) + PATIENCE;
    let http = reqwest::Client::builder().no_proxy().timeout(answer_within).build()?;
    let url = format!("{}/v1/chat/completions", gateway.url());
    let line = Line { http, url, scale, answer: slot.answer, zero: Instant::now() };
    let mut standstill = Duration::ZERO;
    let served = tokio::select! {
        served = line.serve(&arrivals.clients) => served,
        never = watch(&mut standstill) => match never {},
    };
    let served = match served {
        Ok(served) => served,
        Err(error) => {
            let report = gateway.gateway().residency.report().await;
            return Err(error.context(format!("residency at that moment: {report:#?}")));
        }
    };
    let log = lmstudio.log();
    gateway.stop().await;
    lmstudio.stop().await;
    let requests = arrivals.requests();
    ensure!(served.len() == requests, "{} of {requests} were answered", served.len());
    Ok(Seen::new(served, slot, &log, standstill))
}

/// Notes the longest that this process came late, until it is dropped.
async fn watch(standstill: &mut Duration) -> Infallible {
    loop {
        let due = Instant::now() + BEAT;
        tokio::time::sleep_until(due).await;
        *standstill = due.elapsed().max(*standstill);
    }
}

/// An LM Studio with the arrivals' models, none of them in memory.
fn lmstudio(arrivals: &Arrivals, slot: Slot, scale: f64) -> LmStudio {
    let parallel = u32::try_from(slot.parallel.get()).ok().and_then(std::num::NonZeroU32::new);
    let empty = LmStudio { models: Vec::new(), ..LmStudio::default() };
    let models = arrivals.models().into_iter().map(|model| Emulated {
        load_time: slot.load.mul_f64(scale),
        first_token_time: slot.answer.mul_f64(scale),
        ..Emulated::new(&key(model))
    });
    let with_models = models.fold(empty, LmStudio::model);
    with_models.server(|server| server.parallel = parallel.unwrap_or(server.parallel))
}

fn key(model: Model) -> String {
    format!("bench/{model}").to_lowercase()
}

/// A gateway with the limits that follow from the slot, scaled: by itself it would not go below five real seconds.
async fn gateway(folder: &Path, lmstudio: &str, slot: Slot, scale: f64) -> anyhow::Result<Running> {
    let max_wait = rules::max_wait(slot).mul_f64(scale).as_millis();
    let toml = format!(
        "[providers.lmstudio]\nurl = {lmstudio:?}\n[residency.local]\nmax_wait = \"{max_wait}ms\"\n\
         [skills.model-swapper]\nenabled = false\n"
    );
    let file = folder.join("pointsman.toml");
    std::fs::write(&file, toml).context("the gateway's configuration")?;
    let overrides = Overrides {
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        data_dir: Some(folder.join("data")),
        ..Overrides::default()
    };
    let config = Config::load(Some(&file), &overrides).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    app::start(config).await.context("the gateway")
}

/// Waits until the gateway knows its models.
async fn ready(gateway: &Running) -> anyhow::Result<()> {
    let residency = &gateway.gateway().residency;
    let known = async {
        while residency.directory().models().is_empty() {
            tokio::time::sleep(READY_EVERY).await;
        }
    };
    tokio::time::timeout(READY_WITHIN, known).await.context("the gateway does not see its models")
}

// === impl Line ===

impl Line {
    /// All clients to their last answers, all at once.
    async fn serve(&self, clients: &[Client]) -> anyhow::Result<Vec<Served>> {
        let mut tasks = JoinSet::new();
        for (client, number) in clients.iter().zip((0..).map(ClientNumber)) {
            let (line, client) = (self.clone(), client.clone());
            tasks.spawn(async move { line.serve_one(number, &client).await });
        }
        let mut served = Vec::new();
        while let Some(one) = tasks.join_next().await {
            served.extend(one.context("a client")??);
        }
        Ok(served)
    }

    /// One client's requests, one after the other.
    async fn serve_one(&self, number: ClientNumber, client: &Client) -> anyhow::Result<Vec<Served>> {
        tokio::time::sleep_until(self.zero + client.starts.mul_f64(self.scale)).await;
        let mut served = Vec::with_capacity(client.requests.len());
        for model in client.requests.iter().copied() {
            let arrived = self.now();
            self.ask(number, model).await.with_context(|| format!("client {}, model {model}", number.0))?;
            // Whatever else it took counts as waiting.
            let began = self.now().saturating_sub(self.answer).max(arrived);
            served.push(Served { client: number, model, arrived, began });
        }
        Ok(served)
    }

    async fn ask(&self, number: ClientNumber, model: Model) -> anyhow::Result<()> {
        let body = json!({"model": key(model), "messages": [{"role": "user", "content": "Count to three."}]});
        let request = self.http.post(&self.url).header("x-session-id", format!("client-{}", number.0));
        let response = request.json(&body).send().await.context("no answer")?;
        let status = response.status();
        let text = response.text().await.context("an answer that broke off")?;
        ensure!(status.is_success(), "{status}: {text}");
        Ok(())
    }

    /// The time since the start, in the seconds of the paper.
    fn now(&self) -> Duration {
        self.zero.elapsed().div_f64(self.scale)
    }
}

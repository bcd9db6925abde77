//! Where the demonstration is played: on the emulated LM Studio, or on a llama-server with three models written for it. Both
//! tell the same act, and here is all that differs: the words, and where it is seen what happens in memory.
//!
//! What is shown of models is from the server's own log or events, never from the gateway that did it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use super::engine::{EDITOR, EVERYDAY, Engine, TRANSLATED, TRANSLATOR};
use super::picture::{self, Picture};
use super::stage::{self, Loaded, Pace, RESIDENT, Stage};
use super::swap::{Cast, Swap};
use super::told::{self, Moment, What};
use crate::app::Running;
use crate::config::Provider;
use crate::wire::llama_server::{News, State};
use crate::wire::sse::{Decoder, Frame};

/// Where it is played.
pub(super) enum Scene {
    /// On the emulated LM Studio.
    Emulated(Stage),
    /// On a real engine.
    Real(Router),
}

/// A llama-server, a gateway in front of it, and what was heard of both.
pub(super) struct Router {
    engine: Engine,
    gateway: Running,
    http: reqwest::Client,
    heard: watch::Sender<Vec<Moment>>,
    /// Goes with this.
    folder: TempDir,
}

/// What is said, and of whom.
#[derive(Debug)]
pub(super) struct Words {
    /// The first line.
    pub(super) title: &'static str,
    /// Before the steps.
    pub(super) seen: &'static str,
    /// What the demonstration cannot show.
    pub(super) note: &'static str,
    /// The model that is there at the start.
    pub(super) resident: &'static str,
    /// The task for the specialist.
    pub(super) task: &'static str,
    /// The model that writes edits.
    pub(super) editor: &'static str,
    /// What is wrong with the edit that the first model writes itself.
    pub(super) fault: &'static str,
}

const EMULATED: Words = Words {
    title: "Pointsman: a specialist swap, played on an emulated LM Studio with memory for one model",
    seen: "What LM Studio and its clients saw",
    note: "The emulator cannot see: it translates the picture's description by its phrase book, and names the hash of the \
           picture that arrived.",
    resident: RESIDENT,
    task: "Translate the text in this image into English",
    editor: stage::EDITOR,
    fault: "breaks off in the middle",
};

pub(super) const REAL: Words = Words {
    title: "Pointsman: a specialist swap, played on llama-server with models that take turns in one slot",
    seen: "What llama-server and its clients saw",
    note: "The engine is real and the models are not: they are a few megabytes, and say what was written into them.",
    resident: EVERYDAY,
    task: "Translate this sentence into English: Das Parken ist hier leider verboten.",
    editor: EDITOR,
    fault: "looks for a line that is not there",
};

// === impl Scene ===

impl Scene {
    /// On the emulated LM Studio.
    pub(super) async fn emulated() -> anyhow::Result<Self> {
        Ok(Self::Emulated(Stage::open(Pace::ToBeSeen).await?))
    }

    /// On the llama-server of this path, or the one that the system finds.
    pub(super) async fn real(program: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self::Real(Router::open(program).await?))
    }

    pub(super) fn words(&self) -> &'static Words {
        match self {
            Self::Emulated(_) => &EMULATED,
            Self::Real(_) => &REAL,
        }
    }

    pub(super) fn gateway(&self) -> &Running {
        match self {
            Self::Emulated(stage) => &stage.gateway,
            Self::Real(router) => &router.gateway,
        }
    }

    pub(super) fn http(&self) -> reqwest::Client {
        match self {
            Self::Emulated(stage) => stage.http.clone(),
            Self::Real(router) => router.http.clone(),
        }
    }

    /// What goes with the task; scripted models cannot see.
    pub(super) fn picture(&self) -> anyhow::Result<Option<Picture>> {
        match self {
            Self::Emulated(_) => picture::draw().map(Some),
            Self::Real(_) => Ok(None),
        }
    }

    /// What the server says is in memory now.
    pub(super) async fn loaded(&self) -> anyhow::Result<Vec<Loaded>> {
        match self {
            Self::Emulated(stage) => stage.loaded().await,
            Self::Real(router) => router.engine.loaded().await,
        }
    }

    /// Who plays in the swap that begins now.
    pub(super) fn cast(&self) -> Cast {
        let (specialists, since) = match self {
            Self::Emulated(stage) => {
                (Stage::specialists(), stage.lmstudio.log().last().map_or(0, |entry| entry.sequence))
            }
            Self::Real(_) => (BTreeSet::from([TRANSLATOR.to_owned()]), 0),
        };
        Cast { resident: self.words().resident.to_owned(), specialists, since }
    }

    /// The swap as far as it has come.
    pub(super) fn swap(&self, cast: &Cast) -> Swap {
        match self {
            Self::Emulated(stage) => Swap::read(&stage.lmstudio.log(), cast),
            Self::Real(router) => told::swap(&router.heard.borrow(), cast),
        }
    }

    /// Waits until the swap has come so far.
    pub(super) async fn until(&self, cast: &Cast, is_over: fn(&Swap) -> bool) {
        match self {
            Self::Emulated(stage) => {
                stage.lmstudio.wait_for(|entries| is_over(&Swap::read(entries, cast))).await;
            }
            Self::Real(router) => {
                // The sender is there as long as this is.
                let _ =
                    router.heard.subscribe().wait_for(|moments| is_over(&told::swap(moments, cast))).await;
            }
        }
    }

    /// A client heard this; the emulator's log knows by itself.
    pub(super) fn heard(&self, at_ms: u64, what: What) {
        if let Self::Real(router) = self {
            router.heard.send_modify(|moments| moments.push(Moment { at_ms, what }));
        }
    }

    /// What happens in memory from now on, to be listened to; the emulator's log knows by itself.
    pub(super) async fn events(&self) -> anyhow::Result<Option<reqwest::Response>> {
        match self {
            Self::Emulated(_) => Ok(None),
            Self::Real(router) => router.engine.events().await.map(Some),
        }
    }

    /// Listens until the first model is back.
    pub(super) async fn listen(
        &self,
        events: Option<reqwest::Response>,
        cast: &Cast,
        started: Instant,
    ) -> anyhow::Result<()> {
        let Some(mut events) = events else { return Ok(()) };
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        while self.swap(cast).restore.is_none() {
            let Some(chunk) = events.chunk().await.context("llama-server's events")? else {
                bail!("llama-server's events ended before the swap was over");
            };
            decoder.feed(chunk, &mut frames)?;
            let at = crate::telemetry::millis(started.elapsed());
            for (model, state) in frames.iter().filter_map(change) {
                self.heard(at, What::Memory { model, state });
            }
            frames.clear();
        }
        Ok(())
    }

    /// What the specialist should have said and did not.
    pub(super) fn is_misheard(&self, said: &str, picture: Option<&Picture>) -> Option<&'static str> {
        let (expected, complaint) = match picture {
            Some(picture) => {
                (picture.digest.as_str(), "the specialist did not get the picture that was sent")
            }
            None => (TRANSLATED, "the specialist did not translate what was sent"),
        };
        (!said.contains(expected)).then_some(complaint)
    }

    /// Ends all of it, the gateway first and gently, and removes its folder.
    pub(super) async fn close(self) {
        match self {
            Self::Emulated(stage) => stage.close().await,
            Self::Real(router) => router.close().await,
        }
    }
}

// === impl Router ===

impl Router {
    async fn open(program: Option<&Path>) -> anyhow::Result<Self> {
        let folder = stage::temporary_folder()?;
        let http = crate::cli::client::http_client()?;
        let engine = Engine::start(program, folder.path(), http.clone()).await?;
        // What answers there decides that it is a llama-server, as for anybody who names only its address.
        let provider = Provider { kind: None, ..Provider::lmstudio(engine.url()) };
        match stage::gateway("llama-server", provider, folder.path(), [EVERYDAY, EDITOR]).await {
            Ok(gateway) => Ok(Self { engine, gateway, http, heard: watch::Sender::default(), folder }),
            Err(error) => {
                engine.stop().await;
                Err(error)
            }
        }
    }

    async fn close(self) {
        self.gateway.stop().await;
        self.engine.stop().await;
        // A temporary folder that cannot be removed is the system's to clear.
        let _ = self.folder.close();
    }
}

/// A model, and the state that it came into.
fn change(frame: &Frame) -> Option<(String, State)> {
    let news: News = serde_json::from_slice(frame.data()?).ok()?;
    let state = news.status()?;
    Some((news.model?, state))
}

//! `kill -9` at every step of a swap: the real gateway dies, LM Studio goes on, and the next gateway puts the models back.
//!
//! The moments are read off the model server's own log, so the kill follows the step and not a clock.

#![cfg(all(test, unix))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of it is a test: what is not there must fail it"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use lmstudio_emulator::log::Entry;
use lmstudio_emulator::{Emulator, Event};
use pointsman_tests::world::{CONTEXT, GENERAL, SPECIALIST, lmstudio};
use serde_json::{Value, json};

use crate::binary::{Place, Serving, in_time};

/// Long enough that a kill during a load is one.
const LOAD_TIME: Duration = Duration::from_millis(700);

/// Long enough that a kill during an unload is one.
const UNLOAD_TIME: Duration = Duration::from_millis(250);

/// Moments that are tried at the same time, each with processes of its own.
const AT_ONCE: usize = 6;

/// After which event the gateway is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The unload was sent.
    UnloadSent,
    /// The first model is being unloaded.
    Unloading,
    /// The first model has gone.
    Unloaded,
    /// The specialist's load was sent.
    LoadSent,
    /// The specialist is being loaded.
    Loading,
    /// The specialist is there; whether the gateway knows is another matter.
    Loaded,
    /// The specialist was asked.
    Serving,
    /// The way back: the specialist is being unloaded.
    ComingBack,
    /// The first model's load was sent again.
    RestoreSent,
    /// It is being loaded again.
    Restoring,
    /// It is back; whether the gateway knows is another matter.
    Restored,
}

const MOMENTS: [Moment; 11] = [
    Moment::UnloadSent,
    Moment::Unloading,
    Moment::Unloaded,
    Moment::LoadSent,
    Moment::Loading,
    Moment::Loaded,
    Moment::Serving,
    Moment::ComingBack,
    Moment::RestoreSent,
    Moment::Restoring,
    Moment::Restored,
];

impl Moment {
    /// It has come.
    fn has_come(self, log: &[Entry]) -> bool {
        let any = |is_it: &dyn Fn(&Event) -> bool| log.iter().any(|entry| is_it(&entry.event));
        let sent = |end: &str, nth: usize| {
            let is_it = |entry: &&Entry| matches!(&entry.event, Event::Request(it) if it.path.ends_with(end));
            log.iter().filter(is_it).count() >= nth
        };
        match self {
            Self::UnloadSent => sent("/models/unload", 1),
            Self::Unloading => any(&|it| matches!(it, Event::Unload { instance } if **instance == *GENERAL)),
            Self::Unloaded => any(&|it| matches!(it, Event::Unloaded { instance } if **instance == *GENERAL)),
            Self::LoadSent => sent("/models/load", 1),
            Self::Loading => {
                any(&|it| matches!(it, Event::LoadStarted { instance } if **instance == *SPECIALIST))
            }
            Self::Loaded => {
                any(&|it| matches!(it, Event::Loaded { instance, .. } if **instance == *SPECIALIST))
            }
            Self::Serving => sent("/chat/completions", 1),
            Self::ComingBack => {
                any(&|it| matches!(it, Event::Unload { instance } if **instance == *SPECIALIST))
            }
            Self::RestoreSent => sent("/models/load", 2),
            Self::Restoring => {
                any(&|it| matches!(it, Event::LoadStarted { instance } if **instance == *GENERAL))
            }
            Self::Restored => {
                any(&|it| matches!(it, Event::Loaded { instance, .. } if **instance == *GENERAL))
            }
        }
    }
}

async fn serve(place: &Place, lmstudio: &Emulator) -> (Serving, String) {
    let url = lmstudio.url();
    let mut serving = place.serve(&[("OPENAI_API_BASE", &url), ("POINTSMAN_LISTEN", "127.0.0.1:0")]);
    let at = serving.url().await;
    (serving, at)
}

/// A translation; none where the gateway dies under it.
async fn translate(gateway: &str) -> Option<Value> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = "Translate into German: the early bird catches the worm";
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
    loop {
        let answer = http.post(format!("{gateway}/v1/chat/completions")).json(&body).send().await.ok()?;
        // Before the first list nothing is known yet; the answer says when to come again.
        if answer.status() == 200 {
            return answer.json().await.ok();
        }
    }
}

/// What is in memory, with its context, when nothing is on its way any more.
async fn resting(lmstudio: &Emulator) {
    let at_rest = || {
        let resident: Vec<_> =
            lmstudio.resident().iter().map(|it| (it.id.to_string(), it.context_length)).collect();
        resident == [(GENERAL.to_owned(), CONTEXT)]
    };
    while !at_rest() {
        let seen = lmstudio.log().len();
        lmstudio.wait_for(|log| log.len() > seen).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_of_a_swap_the_next_gateway_puts_the_models_back() {
    // Each waits most of its time: for loads, and for what may still be on its way after a crash.
    stream::iter(MOMENTS).for_each_concurrent(AT_ONCE, killed_at).await;
}

async fn killed_at(moment: Moment) {
    let place = Place::new();
    let config = lmstudio().load_time(LOAD_TIME).unload_time(UNLOAD_TIME);
    let lmstudio = Emulator::start(config).await.unwrap();
    let (serving, gateway) = serve(&place, &lmstudio).await;
    // The client goes on asking until then, and is dropped with the gateway.
    let reached = async {
        tokio::select! {
            () = lmstudio.wait_for(|log| moment.has_come(log)) => {}
            () = async { translate(&gateway).await; std::future::pending().await } => {}
        }
    };
    in_time("the moment does not come", moment, reached).await;
    serving.kill().await;

    let (serving, gateway) = serve(&place, &lmstudio).await;
    // The gateway is at work again when it has served: until then it may not have looked yet.
    let answer = in_time("no answer", moment, translate(&gateway)).await.unwrap();
    assert_eq!(answer["model"], SPECIALIST, "{moment:?}");
    in_time("the first model does not come back", moment, resting(&lmstudio)).await;
    let listed = place.run("pointsman", &["models", "list", "--json", "--url", &gateway], &[]).await;
    assert_eq!(listed.code, Some(0), "{moment:?}: {listed:?}");
    assert_eq!(in_memory(&listed.json()), BTreeSet::from([GENERAL.to_owned()]), "{moment:?}");
    let twice =
        |entry: &&Entry| matches!(&entry.event, Event::LoadStarted { instance } if instance.ends_with(":2"));
    let log = lmstudio.log();
    assert!(log.iter().find(twice).is_none(), "{moment:?}: loaded twice");
    assert_eq!(serving.terminate().await, Some(0), "{moment:?}");
    resting(&lmstudio).await;
}

/// Keys of the models that a listing shows in memory.
fn in_memory(listing: &Value) -> BTreeSet<String> {
    let models = listing["models"].as_array().unwrap();
    let is_there = |model: &&Value| !model["instances"].as_array().unwrap().is_empty();
    let key = |model: &Value| model["id"].as_str().unwrap().trim_start_matches("lmstudio/").to_owned();
    models.iter().filter(is_there).map(key).collect()
}

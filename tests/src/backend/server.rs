//! The two model servers, each with the same three models, and how each of them is made to do what a scenario wants.
//!
//! The emulator is told to hold, to break and to go on; a real engine speaks and loads slowly instead, and its processes
//! are ended.

use lmstudio_emulator::config::Model as Emulated;
use lmstudio_emulator::{Config as LmStudio, Emulator, Entry, Event, Fault, fault};

use super::memory::Memory;
use super::{Conditions, GENERAL, Kind, MODELS};
use crate::engine::{Model, Router, Setup};
use crate::gguf::Script;

/// What asks either for a long answer: each knows words of its own.
pub(super) const LONG: &str = "write 100 words LONG";

/// Tokens of a long answer at most; the emulator's has fewer.
pub(super) const LONG_TOKENS: usize = 200;

/// Words of the emulator's long answer: its name, and what was asked for.
const EMULATED_WORDS: usize = 101;

/// Chunks after which the emulator holds a long answer, or breaks it off.
const CHUNKS: u32 = 5;

/// Columns at which a model speaks for seconds where it is asked for a long answer.
const SPEAKS_SLOWLY: u32 = 60_000;

/// Columns at which a model that is read, not mapped, loads for some tenths of a second at least.
const LOADS_SLOWLY: u32 = 200_000;

/// Memory of the emulator, in GiB: more than all models take.
const MEMORY_GB: f64 = 64.0;

/// Names of what is held.
pub(super) const ANSWER: &str = "answer";
pub(super) const LOAD: &str = "load";

/// A model server.
pub(super) enum Server {
    LmStudio(Emulator),
    LlamaServer(Router, Memory),
}

/// What is in a model's answers and in no other's.
pub(super) fn signature(model: &str) -> String {
    format!("[{model}]")
}

// === impl Server ===

impl Server {
    /// A server with the general model in memory.
    pub(super) async fn start(kind: Kind, conditions: &Conditions) -> Self {
        match kind {
            Kind::LmStudio => Self::LmStudio(Emulator::start(emulated(conditions)).await.unwrap()),
            Kind::LlamaServer => {
                let models = MODELS.map(|name| scripted(name, conditions));
                let count = u32::try_from(MODELS.len()).unwrap();
                let router = Setup::of(models).loaded_max(count).start().await;
                let memory = Memory::of(&router).await;
                router.load_and_wait(GENERAL).await;
                Self::LlamaServer(router, memory)
            }
        }
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::LmStudio(emulator) => emulator.url(),
            Self::LlamaServer(router, _) => router.url().to_owned(),
        }
    }

    /// What a long answer has said once it has begun.
    pub(super) fn first_words(&self) -> &'static str {
        match self {
            Self::LmStudio(_) => "river",
            Self::LlamaServer(..) => "tock",
        }
    }

    pub(super) fn long_words(&self) -> usize {
        match self {
            Self::LmStudio(_) => EMULATED_WORDS,
            Self::LlamaServer(..) => LONG_TOKENS,
        }
    }

    pub(super) fn release(&self, what: &str) {
        if let Self::LmStudio(emulator) = self {
            emulator.release(Some(what));
        }
    }

    /// The emulator's model dies by itself, where the conditions say so.
    pub(super) fn crash(&self, model: &str) {
        if let Self::LlamaServer(router, _) = self {
            router.kill(model);
        }
    }

    pub(super) async fn loading(&self, model: &str) {
        match self {
            Self::LmStudio(emulator) => {
                emulator.wait_for_event(|event| matches!(event, Event::FaultHolds { .. })).await;
            }
            Self::LlamaServer(_, memory) => {
                memory.until(|changes| changes.loads(model) > 0).await;
            }
        }
    }

    pub(super) async fn loads(&self, model: &str, at_least: usize) -> usize {
        match self {
            Self::LmStudio(emulator) => {
                let began = |entry: &&Entry| matches!(&entry.event, Event::LoadStarted { instance } if **instance == *model);
                let count = |entries: &[Entry]| entries.iter().filter(began).count();
                emulator.wait_for(|entries| count(entries) >= at_least).await;
                count(&emulator.log())
            }
            Self::LlamaServer(_, memory) => {
                memory.until(|changes| changes.loads(model) >= at_least).await;
                memory.look(|changes| changes.loads(model))
            }
        }
    }

    pub(super) fn most_at_once(&self) -> usize {
        match self {
            Self::LmStudio(emulator) => {
                emulator.log().iter().map(|entry| entry.resident.len()).max().unwrap_or_default()
            }
            Self::LlamaServer(_, memory) => memory.look(|changes| changes.most_at_once()),
        }
    }

    pub(super) async fn resident(&self) -> Vec<String> {
        match self {
            Self::LmStudio(emulator) => emulator.resident().iter().map(|it| it.key.to_string()).collect(),
            Self::LlamaServer(router, _) => router.loaded().await,
        }
    }

    /// For a test that fails.
    pub(super) fn told(&self) -> String {
        match self {
            Self::LmStudio(emulator) => {
                emulator.log().iter().map(|entry| format!("{} {:?}\n", entry.at_ms, entry.event)).collect()
            }
            Self::LlamaServer(router, _) => router.log(),
        }
    }
}

fn emulated(conditions: &Conditions) -> LmStudio {
    let models = MODELS.into_iter().map(Emulated::new).collect();
    let config = LmStudio { models, ..LmStudio::default() }.loaded(GENERAL).memory_gb(MEMORY_GB);
    let hold = conditions.holds.map(|model| {
        let stall = fault::Kind::Stall { after_chunks: CHUNKS };
        Fault::once(stall).model(model).named(ANSWER)
    });
    let load =
        conditions.loads_slowly.map(|model| Fault::once(fault::Kind::HangLoad).model(model).named(LOAD));
    let broken = conditions.is_broken.map(|model| Fault::always(fault::Kind::LoadCrash).model(model));
    let dies = conditions.dies.map(|model| {
        let crash = fault::Kind::Crash { after_chunks: CHUNKS };
        Fault::once(crash).model(model)
    });
    [hold, load, broken, dies].into_iter().flatten().fold(config, LmStudio::fault)
}

fn scripted(name: &'static str, conditions: &Conditions) -> Model {
    let is = |condition: Option<&str>| condition == Some(name);
    if is(conditions.is_broken) {
        return Model::broken(name);
    }
    // What a model says without end does not name it: there is nobody else then.
    let script = Script::new(name).say(&format!("{} is at your service.", signature(name)));
    if is(conditions.loads_slowly) {
        return Model::from(script.feed_forward(LOADS_SLOWLY)).with("load-mode", "none");
    }
    let speaks_slowly = is(conditions.holds) || is(conditions.dies);
    if speaks_slowly { script.feed_forward(SPEAKS_SLOWLY).into() } else { script.into() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_long_answer_is_asked_for_in_the_words_of_both() {
        assert!(super::LONG.contains(crate::gguf::WORD_LONG));
        assert!(super::LONG.contains(&format!("write {} words", super::EMULATED_WORDS - 1)));
    }
}

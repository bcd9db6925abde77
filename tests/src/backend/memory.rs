//! What happened in a router's memory, as its own event stream tells it: every change of a model's state, in order.
//!
//! Read beside the test from before the first load on, to the router's end. Changes are kept without a limit: a test is
//! over before there are many.

use serde_json::Value;
use tokio::sync::watch;

use crate::engine::Router;
use crate::world::beside;

/// What happens in memory.
pub(super) struct Memory(watch::Receiver<Changes>);

/// Models and the states that they came into, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Vec<(String, State)>);

/// Whether a model takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Loading,
    Loaded,
    Gone,
}

// === impl Memory ===

impl Memory {
    /// All that happens from now on.
    pub(super) async fn of(router: &Router) -> Self {
        let (changes, memory) = watch::channel(Changes::default());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut events = http.get(format!("{}/models/sse", router.url())).send().await.unwrap();
        beside(async move {
            let mut rest = String::new();
            // A router that ends in the middle of a line ends this as well.
            while let Ok(Some(chunk)) = events.chunk().await {
                rest.push_str(&String::from_utf8_lossy(&chunk));
                let whole = rest.rfind('\n').map_or(0, |end| end + 1);
                let lines: String = rest.drain(..whole).collect();
                let new: Vec<_> = lines.lines().filter_map(change).collect();
                if !new.is_empty() {
                    changes.send_modify(|changes| changes.0.extend(new));
                }
            }
        });
        Self(memory)
    }

    /// Waits until it is so.
    pub(super) async fn until(&self, is_it: impl Fn(&Changes) -> bool) {
        // A router that is gone changes no more, and whoever waits is told by the deadline.
        if self.0.clone().wait_for(|changes| is_it(changes)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What is known by now.
    pub(super) fn look<T>(&self, look: impl Fn(&Changes) -> T) -> T {
        look(&self.0.borrow())
    }
}

// === impl Changes ===

impl Changes {
    /// How often a load of this model began. Progress says `loading` many times.
    pub(super) fn loads(&self, model: &str) -> usize {
        let mut last = State::Gone;
        let mut loads = 0;
        for (_, state) in self.0.iter().filter(|(name, _)| name == model) {
            loads += usize::from(last == State::Gone && *state != State::Gone);
            last = *state;
        }
        loads
    }

    /// The most models that took memory at one time.
    pub(super) fn most_at_once(&self) -> usize {
        let (mut there, mut most) = (std::collections::BTreeSet::new(), 0);
        for (model, state) in &self.0 {
            match state {
                State::Gone => there.remove(model),
                State::Loading | State::Loaded => there.insert(model),
            };
            most = most.max(there.len());
        }
        most
    }
}

/// The change that a line of the stream tells of.
fn change(line: &str) -> Option<(String, State)> {
    let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
    let state = match event["data"]["status"].as_str()? {
        "loading" => State::Loading,
        "loaded" | "sleeping" => State::Loaded,
        "unloaded" => State::Gone,
        _ => return None,
    };
    Some((event["model"].as_str()?.to_owned(), state))
}

#[cfg(test)]
mod tests {
    use super::{Changes, State, change};

    #[test]
    fn loads_are_counted_by_their_beginnings() {
        let line = |model: &str, status: &str| {
            let line = format!(
                "data: {{\"model\":\"{model}\",\"event\":\"x\",\"data\":{{\"status\":\"{status}\"}}}}"
            );
            change(&line).unwrap()
        };
        let told = [("a", "loading"), ("a", "loading"), ("a", "loaded"), ("a", "unloaded"), ("b", "loading")];
        let mut changes = Changes(told.map(|(model, status)| line(model, status)).into());
        assert_eq!((changes.loads("a"), changes.loads("b"), changes.most_at_once()), (1, 1, 1));
        changes.0.push(line("a", "loading"));
        assert_eq!((changes.loads("a"), changes.loads("b"), changes.most_at_once()), (2, 1, 2));
        assert_eq!(line("a", "sleeping").1, State::Loaded);
        assert_eq!(change("data: {\"model\":\"a\",\"data\":{\"status\":\"downloading\"}}"), None);
        assert_eq!(change(": ping"), None);
    }
}

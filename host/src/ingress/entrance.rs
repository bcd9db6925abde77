//! Who may come in, and how many at once: the configuration of the moment, and the places that connections take.
//!
//! A request reads the configuration once. Where there are fewer places than before, those who have one keep it, and nobody
//! new gets one until enough have gone.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Config;

/// The way in.
pub struct Entrance {
    config: ArcSwap<Config>,
    places: watch::Sender<Places>,
}

/// A connection's place; given back when dropped.
pub(super) struct Place(watch::Sender<Places>);

#[derive(Debug, Clone, Copy)]
struct Places {
    taken: usize,
    most: usize,
}

// === impl Entrance ===

impl Entrance {
    /// An entrance that nobody has come through yet.
    pub fn new(config: Config) -> Self {
        let (places, _) = watch::channel(Places { taken: 0, most: config.connections_max });
        Self { config: ArcSwap::from_pointee(config), places }
    }

    /// This holds for requests that come from now on.
    pub fn reconfigure(&self, config: Config) {
        let most = config.connections_max;
        self.config.store(Arc::new(config));
        self.places.send_modify(|places| places.most = most);
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// A place, as soon as there is one. Asked for by one task, so that nobody takes it in between.
    pub(super) async fn place(&self) -> Place {
        let mut places = self.places.subscribe();
        // It ends only with the entrance itself.
        let _ = places.wait_for(|places| places.taken < places.most).await;
        self.places.send_modify(|places| places.taken += 1);
        Place(self.places.clone())
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|places| places.taken = places.taken.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn places_become_more_and_fewer_while_they_are_taken() {
        let of = |connections_max| Config { connections_max, ..Config::default() };
        let entrance = Entrance::new(of(1));
        let first = entrance.place().now_or_never().unwrap();
        assert!(entrance.place().now_or_never().is_none());
        let waiting = entrance.place();
        entrance.reconfigure(of(3));
        let (second, third) = (waiting.await, entrance.place().await);
        entrance.reconfigure(of(2));
        drop(third);
        assert!(entrance.place().now_or_never().is_none(), "there are as many as may be");
        drop(first);
        assert!(entrance.place().now_or_never().is_some());
        drop(second);
    }
}

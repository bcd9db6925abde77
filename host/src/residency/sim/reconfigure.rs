//! The user changes the bounds of the device while everything runs.

use std::num::{NonZeroU32, NonZeroU64};

use super::*;
use crate::residency::plan::{Client, Place};

impl Sim {
    /// One bound becomes another.
    pub(super) fn reconfigure(&mut self) {
        if self.now >= self.ends {
            return;
        }
        let mut config = self.config.clone();
        let is_quiet = self.planner.report(self.now).under_way.is_empty();
        match self.rng.random_range(0..5) {
            0 => config.linger = self.millis(0..10_000),
            1 => config.turn_grace = self.millis(1000..8000),
            // Whoever never stops asking and is refused at once would ask ever more.
            2 if self.profile == Profile::Hog => {}
            2 => config.max_queue = self.rng.random_range(1..12),
            // How the first profile's baseline fares is checked against one place.
            _ if self.profile == Profile::Routes => {}
            3 => config.max_loaded = NonZeroU32::MIN.saturating_add(self.rng.random_range(0..3)),
            // What a swap under way relies on changes after it, which is not seen from here.
            _ if config.memory.is_none() && !is_quiet => {}
            _ => config.memory = NonZeroU64::new(World::some_memory(&mut self.rng)),
        }
        if config.memory.is_some() && is_quiet && self.profile != Profile::Routes && self.rng.random_bool(0.2)
        {
            config.memory = None;
        }
        self.reconfigured = true;
        self.world.set_room(config.memory.map(NonZeroU64::get));
        self.config = config.clone();
        let place = |name: &str| Place { name: name.to_owned(), client: Client::Kept, known: Vec::new() };
        let places = world::PROVIDERS.map(place).into();
        self.feed(Event::Configured(Box::new(config), places));
    }
}

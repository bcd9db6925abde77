//! The user changes the bounds of the device while everything runs, what its servers are called, and which of them are
//! configured.

use std::num::{NonZeroU32, NonZeroU64};

use super::*;
use crate::residency::plan::Place;

/// What the user calls servers.
const NAMES: [&str; 4] = ["p", "q", "r", "s"];

/// The providers as they are configured, each at its server's address.
pub(super) fn places(world: &World) -> Vec<Place> {
    let place = |(name, server): (String, usize)| Place::new(&name, &server.to_string());
    world.configured().into_iter().map(place).collect()
}

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
        self.config = config;
        self.configure();
    }

    fn configure(&mut self) {
        let event = Event::Configured(Box::new(self.config.clone()), places(&self.world));
        self.feed(event);
    }

    /// A server gets another name, two change places, or one is taken away or comes back.
    pub(super) fn move_about(&mut self) {
        if self.now >= self.ends {
            return;
        }
        match self.rng.random_range(0..6) {
            0 if self.names_wander => self.change_places(),
            1 => {
                let is_there = self.world.name_of(1).is_some();
                let name = if is_there { None } else { self.some_name(1) };
                self.world.call(1, name);
            }
            _ => {
                let server = self.rng.random_range(0..2);
                if self.world.name_of(server).is_some() {
                    let name = self.some_name(server);
                    self.world.call(server, name);
                }
            }
        }
        self.configure();
    }

    /// What was due by a name is due where that leads.
    fn change_places(&mut self) {
        let names = [0, 1].map(|server| self.world.name_of(server).map(str::to_owned));
        if let [Some(here), Some(there)] = &names {
            self.baseline_moved = true;
            self.world.call(0, Some(there));
            self.world.call(1, Some(here));
        }
    }

    /// A name that no server has, though one may have had it until now.
    fn some_name(&mut self, server: usize) -> Option<&'static str> {
        let taken: Vec<String> = self.world.configured().into_iter().map(|(name, _)| name).collect();
        let own = [["p", "r"], ["q", "s"]][server];
        let names: &[&str] = if self.names_wander { &NAMES } else { &own };
        let free: Vec<_> = names.iter().copied().filter(|name| !taken.iter().any(|it| it == name)).collect();
        let name = free[self.rng.random_range(0..free.len())];
        let leads = self.planner.index_of(name).map(|provider| self.server_at(provider));
        self.baseline_moved |= leads.is_some_and(|before| before != server);
        Some(name)
    }
}

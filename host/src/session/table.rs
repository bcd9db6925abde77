//! What is remembered of each conversation: the route in force and who its main caller is. Bounded by [`SESSIONS_MAX`] and
//! by [`IDLE_MAX`]; what is forgotten is asked of the skills again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::id::{SessionKey, SkillName};
use crate::turn::verdict::{Hold, Route};

/// Conversations remembered at once.
pub const SESSIONS_MAX: usize = 10_000;

/// A conversation idle for longer is forgotten.
pub const IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long turn holds live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A turn's route ends this long after it was decided, whatever happens.
    pub turn_timeout: Duration,
    /// A turn's route ends this long after an error or a cancel.
    pub error_grace: Duration,
}

/// All conversations.
#[derive(Debug)]
pub struct Table {
    config: Config,
    sessions: HashMap<SessionKey, Session>,
}

#[derive(Debug)]
struct Session {
    main: Caller,
    held: Option<Held>,
    used: Instant,
}

/// Who makes a conversation's ordinary requests, as opposed to its side calls.
#[derive(Debug, PartialEq, Eq)]
struct Caller {
    requested: String,
    tools: bool,
}

/// A route in force.
#[derive(Debug, Clone)]
pub struct Held {
    /// Who decided it.
    pub skill: SkillName,
    /// What was decided.
    pub route: Arc<Route>,
    ends: Option<Instant>,
}

/// What a request says of itself that decides how it relates to its conversation.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The span since the last answer carries tool results.
    pub continues_turn: bool,
    /// Tools are on offer.
    pub tools: bool,
    /// The model the client named.
    pub requested: &'a str,
}

/// How a request relates to its conversation.
#[derive(Debug, Clone)]
pub enum Standing {
    /// The user said something: skills are asked. A session hold applies where they pass.
    NewTurn(Option<Held>),
    /// Tool results of a turn that was decided before.
    Continues(Option<Held>),
    /// A title, a summary: neither asks skills nor moves the conversation's route.
    SideCall,
}

/// How an answer ended, as far as holds are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Whole, without tool calls: the task is done.
    Answered,
    /// Whole, with tool calls: the turn goes on.
    CalledTools,
    /// An error, or the client left.
    Broken,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self { turn_timeout: Duration::from_secs(300), error_grace: Duration::from_secs(30) }
    }
}

// === impl Table ===

impl Table {
    /// An empty table.
    pub fn new(config: Config) -> Self {
        Self { config, sessions: HashMap::new() }
    }

    /// Notes a request, and says how it relates to what came before.
    pub fn attach(&mut self, now: Instant, key: &SessionKey, facts: Facts<'_>) -> Standing {
        let caller = Caller { requested: facts.requested.to_owned(), tools: facts.tools };
        let Some(session) = self.sessions.get_mut(key).filter(|session| now - session.used < IDLE_MAX) else {
            self.make_room(now);
            self.sessions.insert(key.clone(), Session { main: caller, held: None, used: now });
            return if facts.continues_turn { Standing::Continues(None) } else { Standing::NewTurn(None) };
        };
        session.used = now;
        if session.main.tools && !caller.tools && session.main.requested != caller.requested {
            return Standing::SideCall;
        }
        session.main = caller;
        session.held.take_if(|held| held.ends.is_some_and(|ends| ends <= now));
        if facts.continues_turn {
            return Standing::Continues(session.held.clone());
        }
        session.held.take_if(|held| held.route.hold == Hold::Turn);
        Standing::NewTurn(session.held.clone())
    }

    /// A skill's route comes into force and replaces the one before.
    pub fn hold(&mut self, now: Instant, key: &SessionKey, skill: SkillName, route: Arc<Route>) {
        let ends = (route.hold == Hold::Turn).then(|| now + self.config.turn_timeout);
        if let Some(session) = self.sessions.get_mut(key) {
            session.held = Some(Held { skill, route, ends });
        }
    }

    /// An answer ended.
    pub fn ended(&mut self, now: Instant, key: &SessionKey, end: End) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.used = now;
        let Some(held) = session.held.as_mut().filter(|held| held.route.hold == Hold::Turn) else { return };
        match end {
            End::CalledTools => {}
            End::Answered => session.held = None,
            End::Broken => {
                let grace = now + self.config.error_grace;
                held.ends = held.ends.map(|ends| ends.min(grace));
            }
        }
    }

    /// Conversations remembered.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Forgets idle conversations when the table is full, and where that is not enough the tenth that is idle longest.
    fn make_room(&mut self, now: Instant) {
        if self.sessions.len() < SESSIONS_MAX {
            return;
        }
        self.sessions.retain(|_, session| now - session.used < IDLE_MAX);
        if self.sessions.len() < SESSIONS_MAX {
            return;
        }
        let mut used: Vec<_> = self.sessions.values().map(|session| session.used).collect();
        used.sort_unstable();
        if let Some(&oldest) = used.get(SESSIONS_MAX / 10) {
            self.sessions.retain(|_, session| session.used > oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::verdict::{Afterwards, Candidate, Swap};

    fn route(hold: Hold) -> Arc<Route> {
        let candidate = Candidate { model: "m".to_owned(), context_length: None, prompt: None, patch: None };
        Arc::new(Route {
            candidates: vec![candidate],
            swap: Swap::Wait,
            hold,
            afterwards: Afterwards::Restore,
            tag: None,
            reason: String::new(),
        })
    }

    struct World {
        table: Table,
        now: Instant,
        key: SessionKey,
    }

    impl World {
        #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
        fn new(hold: Hold) -> Self {
            let mut world =
                Self { table: Table::new(Config::default()), now: Instant::now(), key: SessionKey::new("s") };
            assert!(matches!(world.ask(false), Standing::NewTurn(None)));
            world.table.hold(world.now, &world.key, SkillName::new("k"), route(hold));
            world
        }

        fn ask(&mut self, continues_turn: bool) -> Standing {
            self.table.attach(self.now, &self.key, Facts { continues_turn, tools: true, requested: "auto" })
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn end(&mut self, end: End) {
            self.table.ended(self.now, &self.key, end);
        }
    }

    #[test]
    fn a_turns_route_lasts_until_an_answer_without_tool_calls() {
        let mut world = World::new(Hold::Turn);
        world.end(End::CalledTools);
        assert!(matches!(world.ask(true), Standing::Continues(Some(_))));
        world.end(End::Answered);
        assert!(matches!(world.ask(true), Standing::Continues(None)));
    }

    #[test]
    fn a_turns_route_ends_with_the_next_turn_with_time_and_after_errors() {
        let mut world = World::new(Hold::Turn);
        assert!(matches!(world.ask(false), Standing::NewTurn(None)));
        let mut world = World::new(Hold::Turn);
        world.pass(299);
        assert!(matches!(world.ask(true), Standing::Continues(Some(_))));
        world.pass(1);
        assert!(matches!(world.ask(true), Standing::Continues(None)));
        let mut world = World::new(Hold::Turn);
        world.end(End::Broken);
        world.pass(29);
        assert!(matches!(world.ask(true), Standing::Continues(Some(_))));
        world.pass(1);
        assert!(matches!(world.ask(true), Standing::Continues(None)));
    }

    #[test]
    fn a_sessions_route_survives_its_turns() {
        let mut world = World::new(Hold::Session);
        world.end(End::Answered);
        world.pass(3600);
        assert!(matches!(world.ask(false), Standing::NewTurn(Some(_))));
        world.pass(24 * 3600);
        assert!(matches!(world.ask(false), Standing::NewTurn(None)));
    }

    #[test]
    fn side_calls_move_nothing() {
        let mut world = World::new(Hold::Turn);
        let title = Facts { continues_turn: false, tools: false, requested: "small" };
        assert!(matches!(world.table.attach(world.now, &world.key, title), Standing::SideCall));
        assert!(matches!(world.ask(true), Standing::Continues(Some(_))));
    }

    #[test]
    fn a_title_call_that_comes_first_does_not_take_the_conversation() {
        let mut world = World::new(Hold::Turn);
        world.key = SessionKey::new("other");
        let title = Facts { continues_turn: false, tools: false, requested: "small" };
        assert!(matches!(world.table.attach(world.now, &world.key, title), Standing::NewTurn(None)));
        assert!(matches!(world.ask(false), Standing::NewTurn(None)));
        assert!(matches!(world.table.attach(world.now, &world.key, title), Standing::SideCall));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut world = World::new(Hold::Turn);
        for index in 0..SESSIONS_MAX + 10 {
            world.key = SessionKey::new(format!("s{index}"));
            world.now += Duration::from_millis(1);
            world.ask(false);
        }
        assert!(world.table.len() <= SESSIONS_MAX);
    }
}

//! What is remembered of each conversation: the route in force, who its main caller is, the model that a person picked.
//! Bounded by [`SESSIONS_MAX`] and by [`IDLE_MAX`]; what is forgotten is asked of the skills again. Picks are kept apart and
//! last until somebody ends them, or until [`PICKS_MAX`] newer ones were made.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::id::{ModelId, SessionKey, SkillName};
use crate::turn::verdict::{Hold, Route};

/// Conversations remembered at once.
pub const SESSIONS_MAX: usize = 10_000;

/// Conversations that have a model of their own.
pub const PICKS_MAX: usize = 1_000;

/// A conversation idle for longer is forgotten.
pub const IDLE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long turn holds live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A turn's route ends this long after its last answer.
    pub turn_timeout: Duration,
    /// A turn's route ends this long after an error or a cancel.
    pub error_grace: Duration,
}

/// All conversations.
#[derive(Debug)]
pub struct Table {
    config: Config,
    sessions: HashMap<SessionKey, Session>,
    /// By conversation, the oldest first.
    picks: Vec<(SessionKey, ModelId)>,
    /// For every conversation that has no pick of its own.
    everyones: Option<ModelId>,
}

/// A conversation, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its key.
    pub session: SessionKey,
    /// The model that its client names.
    pub requested: String,
    /// The model that was picked for it.
    pub picked: Option<ModelId>,
    /// Whose route holds, and that route's reason.
    pub held: Option<(SkillName, String)>,
    /// Since its last request.
    pub idle: Duration,
}

#[derive(Debug)]
struct Session {
    main: Caller,
    held: Option<Held>,
    /// What skills amended at the turn's first request; it holds for all of the turn.
    amended: Arc<[String]>,
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
    /// When a turn's route ends by itself; none while a request of the turn is running.
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
    /// Tool results of a turn that was decided before, with what skills amended then.
    Continues(Option<Held>, Arc<[String]>),
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

// === impl Standing ===

impl Standing {
    /// The route of an earlier request that holds for this one unless skills decide otherwise.
    pub fn held(&self) -> Option<&Held> {
        match self {
            Self::NewTurn(held) | Self::Continues(held, _) => held.as_ref(),
            Self::SideCall => None,
        }
    }
}

// === impl Table ===

impl Table {
    /// How long holds live from now on; those that end by themselves already end when they would have.
    pub fn reconfigure(&mut self, config: Config) {
        self.config = config;
    }

    /// An empty table.
    pub fn new(config: Config) -> Self {
        Self { config, sessions: HashMap::new(), picks: Vec::new(), everyones: None }
    }

    /// The model that a person picked for the conversation, or for all.
    pub fn picked(&self, key: &SessionKey) -> Option<&ModelId> {
        let own = self.picks.iter().find(|(session, _)| session == key).map(|(_, model)| model);
        own.or(self.everyones.as_ref())
    }

    /// A person picks a model for this conversation, or returns it to its default: routes that held there end.
    pub fn pick(&mut self, key: &SessionKey, model: Option<ModelId>) {
        self.picks.retain(|(session, _)| session != key);
        if let Some(session) = self.sessions.get_mut(key) {
            session.held = None;
        }
        if let Some(model) = model {
            let too_many = (self.picks.len() + 1).saturating_sub(PICKS_MAX);
            self.picks.drain(..too_many);
            self.picks.push((key.clone(), model));
        }
    }

    /// A person picks a model for every conversation, those with a pick of their own among them, or returns all to their
    /// default.
    pub fn pick_for_all(&mut self, model: Option<ModelId>) {
        self.picks.clear();
        self.sessions.values_mut().for_each(|session| session.held = None);
        self.everyones = model;
    }

    /// Every pick there is, to be kept; that for all has no key.
    pub fn picks(&self) -> impl Iterator<Item = (Option<&SessionKey>, &ModelId)> {
        let own = self.picks.iter().map(|(session, model)| (Some(session), model));
        self.everyones.iter().map(|model| (None, model)).chain(own)
    }

    /// Forgets a conversation, with its pick. Says whether there was one.
    pub fn reset(&mut self, key: &SessionKey) -> bool {
        let picks = self.picks.len();
        self.picks.retain(|(session, _)| session != key);
        self.sessions.remove(key).is_some() || self.picks.len() != picks
    }

    /// The conversations, the one used last first.
    pub fn shown(&self, now: Instant) -> Vec<Shown> {
        let mut shown: Vec<Shown> = self.sessions.iter().map(|(key, it)| self.show(now, key, it)).collect();
        shown.sort_by(|a, b| (a.idle, &a.session).cmp(&(b.idle, &b.session)));
        shown
    }

    fn show(&self, now: Instant, key: &SessionKey, session: &Session) -> Shown {
        let held = session.held.as_ref().filter(|held| held.ends.is_none_or(|ends| ends > now));
        Shown {
            session: key.clone(),
            requested: session.main.requested.clone(),
            picked: self.picked(key).cloned(),
            held: held.map(|held| (held.skill.clone(), held.route.reason.clone())),
            idle: now.saturating_duration_since(session.used),
        }
    }

    /// Notes a request, and says how it relates to what came before.
    pub fn attach(&mut self, now: Instant, key: &SessionKey, facts: Facts<'_>) -> Standing {
        let caller = Caller { requested: facts.requested.to_owned(), tools: facts.tools };
        let Some(session) = self.sessions.get_mut(key).filter(|session| now - session.used < IDLE_MAX) else {
            self.make_room(now);
            let session = Session { main: caller, held: None, amended: Arc::default(), used: now };
            self.sessions.insert(key.clone(), session);
            return if facts.continues_turn {
                Standing::Continues(None, Arc::default())
            } else {
                Standing::NewTurn(None)
            };
        };
        session.used = now;
        if session.main.tools && !caller.tools && session.main.requested != caller.requested {
            return Standing::SideCall;
        }
        session.main = caller;
        session.held.take_if(|held| held.ends.is_some_and(|ends| ends <= now));
        if facts.continues_turn {
            if let Some(held) = &mut session.held {
                held.ends = None;
            }
            return Standing::Continues(session.held.clone(), session.amended.clone());
        }
        session.held.take_if(|held| held.route.hold == Hold::Turn);
        session.amended = Arc::default();
        Standing::NewTurn(session.held.clone())
    }

    /// What skills decided for a turn: a route, which replaces the one before, and amendments.
    pub fn decided(&mut self, key: &SessionKey, route: Option<(SkillName, Arc<Route>)>, amended: &[String]) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.amended = amended.into();
        if let Some((skill, route)) = route {
            session.held = Some(Held { skill, route, ends: None });
        }
    }

    /// An answer that was served under `route` ended. A hold that is not that route's is none of its business: another
    /// turn may have begun meanwhile.
    pub fn ended(&mut self, now: Instant, key: &SessionKey, route: Option<&Arc<Route>>, end: End) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.used = now;
        let is_its_own = |held: &&mut Held| route.is_some_and(|route| Arc::ptr_eq(route, &held.route));
        let Some(held) = session.held.as_mut().filter(is_its_own) else { return };
        if held.route.hold == Hold::Session {
            return;
        }
        match end {
            End::Answered => session.held = None,
            End::CalledTools => held.ends = Some(now + self.config.turn_timeout),
            End::Broken => held.ends = Some(now + self.config.error_grace),
        }
    }

    /// This route is not to hold any more.
    pub fn release(&mut self, key: &SessionKey, route: &Arc<Route>) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.held.take_if(|held| Arc::ptr_eq(&held.route, route));
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
        route: Arc<Route>,
    }

    impl World {
        #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
        fn new(hold: Hold) -> Self {
            let (table, key) = (Table::new(Config::default()), SessionKey::new("s"));
            let mut world = Self { table, now: Instant::now(), key, route: route(hold) };
            assert!(matches!(world.ask(false), Standing::NewTurn(None)));
            world.table.decided(
                &world.key,
                Some((SkillName::new("k"), world.route.clone())),
                &["{}".to_owned()],
            );
            world
        }

        fn ask(&mut self, continues_turn: bool) -> Standing {
            self.table.attach(self.now, &self.key, Facts { continues_turn, tools: true, requested: "auto" })
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn end(&mut self, end: End) {
            self.table.ended(self.now, &self.key, Some(&self.route), end);
        }

        fn holds(&mut self) -> bool {
            matches!(self.ask(true), Standing::Continues(Some(_), _))
        }
    }

    #[test]
    fn a_turns_route_lasts_until_an_answer_without_tool_calls() {
        let mut world = World::new(Hold::Turn);
        world.end(End::CalledTools);
        assert!(world.holds());
        world.end(End::Answered);
        assert!(!world.holds());
    }

    #[test]
    fn a_turns_route_ends_with_the_next_turn_with_time_and_after_errors() {
        let mut world = World::new(Hold::Turn);
        assert!(matches!(world.ask(false), Standing::NewTurn(None)));
        for (end, seconds) in [(End::CalledTools, 300), (End::Broken, 30)] {
            let mut world = World::new(Hold::Turn);
            world.pass(3600);
            world.end(end);
            world.pass(seconds - 1);
            assert!(world.holds(), "{end:?}");
            world.end(end);
            world.pass(seconds);
            assert!(!world.holds(), "{end:?}");
        }
    }

    #[test]
    fn a_slow_tool_loop_keeps_its_route() {
        let mut world = World::new(Hold::Turn);
        for _ in 0..5 {
            world.pass(1000);
            world.end(End::CalledTools);
            world.pass(200);
            assert!(world.holds());
        }
    }

    #[test]
    fn an_answer_ends_only_its_own_hold() {
        let mut world = World::new(Hold::Turn);
        world.table.ended(world.now, &world.key, None, End::Answered);
        world.table.ended(world.now, &world.key, Some(&route(Hold::Turn)), End::Answered);
        assert!(world.holds());
        world.table.release(&world.key, &world.route.clone());
        assert!(!world.holds());
    }

    #[test]
    fn amendments_last_as_long_as_their_turn() {
        let mut world = World::new(Hold::Turn);
        world.end(End::Answered);
        assert!(matches!(world.ask(true), Standing::Continues(None, amended) if amended.len() == 1));
        world.ask(false);
        assert!(matches!(world.ask(true), Standing::Continues(None, amended) if amended.is_empty()));
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
        assert!(world.holds());
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

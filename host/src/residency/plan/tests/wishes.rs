//! Wishes of people and skills.

use super::*;
use crate::id::SkillName;
use crate::residency::claim::{Action, Pin, WhenAnswered, Whose, Wish, Wisher};

pub(super) fn person(key: &str, action: Action) -> Wish {
    Wish { model: model(key), action, by: Wisher::Person, answer: WhenAnswered::AtOnce }
}

fn skill(key: &str, action: Action) -> Wish {
    let by = Wisher::Skill { skill: SkillName::new("skill"), session: None };
    Wish { model: model(key), action, by, answer: WhenAnswered::WhenDone }
}

pub(super) const LOAD: Action = Action::Load { context_length: None, pin: Pin::Loose };
const PIN: Action = Action::Load { context_length: None, pin: Pin::Pinned };
pub(super) const UNLOAD: Action = Action::Unload { whose: Whose::Everyones };

impl Desk {
    pub(super) fn wish(&mut self, ticket: u64, wish: Wish) -> &mut Self {
        self.feed(Event::Wished(Ticket(ticket), wish));
        self
    }
}

#[test]
fn a_persons_load_changes_the_baseline() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.wish(1, person("a", LOAD)).expect(&["answer 1: Done"]);
    desk.wish(2, person("b", LOAD)).expect(&["unload a", "load b 0", "answer 2: Started"]);
    desk.loaded().at(100.0).expect(&[]).expect_baseline(&["b"]);
}

#[test]
fn a_persons_unload_waits_for_running_requests() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).wish(2, person("a", UNLOAD));
    desk.expect(&["grant 1 on a", "answer 2: Queued"]).at(3.0).end(1, DONE).expect(&["unload a"]);
    desk.at(100.0).expect(&[]).expect_baseline(&[]);
}

#[test]
fn a_skills_load_is_a_want_for_a_while_and_never_changes_the_baseline() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.wish(1, skill("b", LOAD))
        .expect(&["unload a", "load b 0"])
        .at(4.0)
        .loaded()
        .expect(&["answer 1: Done"]);
    desk.expect_baseline(&["a"]).at(59.0).expect(&[]).at(60.0).expect(&["unload b", "load a 8192"]);
}

#[test]
fn a_skills_unload_is_a_veto_for_a_while() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.wish(1, skill("a", UNLOAD)).expect(&["unload a", "answer 1: Done"]).at(59.0).expect(&[]);
    desk.at(60.0).expect(&["load a 8192"]).expect_baseline(&["a"]);
}

#[test]
fn a_pin_is_never_evicted_and_ends_with_its_skill() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.wish(1, skill("b", PIN)).loaded().expect(&["unload a", "load b 0", "answer 1: Done"]);
    desk.at(100.0).claim(2, "c", ROUTED).expect(&["refuse 2: WantsPinned"]);
    desk.claim(3, "a", Purpose::Plain).expect(&["refuse 3: WantsPinned"]);
    desk.feed(Event::SkillGone(SkillName::new("skill")));
    desk.expect(&["unload b", "load a 8192"]);
}

#[test]
fn a_wish_for_a_model_that_nobody_lists_is_refused() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.wish(1, person("nonsense", LOAD)).expect(&["answer 1: UnknownModel"]);
}

#[test]
fn a_pin_holds_from_when_its_model_is_there() {
    // A wish that was refused leaves no pin behind.
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.wish(1, person("b", PIN)).load_fails(Error::OutOfMemory("little".to_owned())).loaded().log.clear();
    desk.at(20.0).claim(2, "b", ROUTED).loaded().end(2, DONE).loaded();
    desk.expect(&["unload a", "load b 4096", "grant 2 on b", "unload b", "load a 8192"]);
    // What is there with less context than a person wishes for is loaded anew, pinned or not.
    let wide = Action::Load { context_length: Some(16_384), pin: Pin::Pinned };
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.wish(1, person("a", PIN)).wish(2, person("a", wide)).expect(&[
        "answer 1: Done",
        "unload a",
        "load a 16384",
        "answer 2: Started",
    ]);
    desk.loaded().claim(3, "b", ROUTED).expect(&["refuse 3: WantsPinned"]);
}

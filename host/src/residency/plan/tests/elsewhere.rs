//! Providers that look after their memory themselves: here `q`.

use super::wishes::{UNLOAD, person};
use super::*;
use crate::residency::claim::{WhenAnswered, Wish};
use crate::residency::plan::InstanceKey;

fn own(memory: &[&str]) -> Desk {
    let mut desk = Desk::of(&["p", "q"], Config::default(), memory, &[]);
    desk.other_control = Control::ListOnly;
    desk.planner = Planner::new("local", Config::default(), &places(["p", "q"]), desk.now);
    desk.feed(Event::Tick);
    desk
}

#[test]
fn it_takes_no_room_and_is_never_due() {
    let mut desk = own(&["a", "q/b"]);
    desk.claim(1, "q/b", Purpose::Plain).claim(2, "q/c", KEEP).claim(3, "a", Purpose::Plain);
    desk.expect(&["grant 1 on q/b", "grant 2 on q/c", "grant 3 on a"]).expect_baseline(&["a"]);
    desk.end(3, DONE).claim(4, "b", ROUTED).expect(&["unload a", "load b 4096"]);
}

#[test]
fn what_is_its_own_is_not_unloaded_also_where_it_was_not_known_to_be() {
    let mut desk = own(&["a"]);
    desk.wish(1, person("q/b", UNLOAD)).expect(&["answer 1: NotOurs"]);
    desk.planner = Planner::new("local", Config::default(), &places(["p", "q"]), desk.now);
    desk.holds_lists = true;
    desk.wish(2, Wish { answer: WhenAnswered::WhenDone, ..person("q/b", UNLOAD) }).expect(&[]);
    desk.holds_lists = false;
    desk.feed(Event::Tick);
    desk.expect(&["answer 2: NotOurs"]);
}

#[test]
fn what_was_due_there_before_is_no_more() {
    let mut desk = Desk::of(&["p", "q"], Config::default(), &["q/a"], &[]);
    desk.expect_baseline(&["q/a"]).other_control = Control::ListOnly;
    desk.restart().expect_baseline(&[]).claim(1, "b", Purpose::Plain).expect(&["load b 4096"]);
}

#[test]
fn a_server_that_another_takes_the_place_of_leaves_nothing_behind() {
    let mut desk = Desk::of(&["p", "q"], Config::default(), &["q/a"], &[]);
    desk.hangs_unloads = true;
    desk.claim(1, "b", ROUTED).expect(&["unload q/a"]).other_control = Control::ListOnly;
    desk.someone_unloads_at_q("a").at(11.0).expect(&["load b 4096"]).loaded().expect(&["grant 1 on b"]);
    let late = InstanceKey { provider: ProviderIndex(1), id: InstanceId::new("a") };
    desk.feed(Event::Unloaded(late, Err(Error::Unsupported("not here".to_owned()))));
    desk.claim(2, "q/a", Purpose::Plain).expect(&["grant 2 on q/a"]).expect_baseline(&[]);
    // And back again.
    desk.other_control = Control::Full;
    desk.end(1, DONE).expect(&["unload b"]).someone_unloads("b").hangs_unloads = false;
    desk.feed(Event::Unloaded(InstanceKey { provider: ProviderIndex(0), id: InstanceId::new("b") }, Ok(())));
    desk.end(2, DONE).at(60.0).claim(3, "q/a", Purpose::Plain).expect(&["load q/a 4096"]);
}

#[test]
fn what_it_holds_is_shown_while_it_answers() {
    let mut desk = own(&["a", "q/b"]);
    assert_eq!(desk.planner.held_elsewhere(), [model("q/b")]);
    desk.other_outage = Some(Error::Unreachable("refused".to_owned()));
    desk.at(20.0);
    assert_eq!((desk.planner.held_elsewhere(), desk.planner.due()), (Vec::new(), vec![model("a")]));
}

#[test]
fn a_request_that_fails_there_says_nothing_about_the_next() {
    let mut desk = own(&["a"]);
    desk.holds_lists = true;
    desk.claim(1, "q/b", Purpose::Plain).end(1, End::Gone).claim(2, "q/b", Purpose::Plain);
    desk.expect(&["grant 1 on q/b", "grant 2 on q/b"]);
}

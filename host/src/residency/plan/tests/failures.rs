//! Rule 11, lists that lie, and providers that come and go.

use super::*;

fn out_of_memory() -> Error {
    Error::OutOfMemory("little".to_owned())
}

#[test]
fn rule_11_a_failed_load_sends_its_waiters_on_and_the_baseline_comes_back() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).claim(2, "b", ROUTED).expect(&["unload a", "load b 4096"]);
    desk.load_fails(Error::Crashed("engine".to_owned()));
    desk.expect(&["refuse 1: load failed", "refuse 2: load failed", "load a 8192"]);
}

#[test]
fn rule_11_memory_refusals_back_off_per_model_and_block_no_other() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).load_fails(out_of_memory()).loaded();
    desk.expect(&["unload a", "load b 4096", "refuse 1: load failed, retry 5", "load a 8192"]);
    desk.at(1.0).claim(2, "b", ROUTED).expect(&["refuse 2: load failed, retry 4"]);
    desk.claim(3, "c", ROUTED).loaded().end(3, DONE).loaded();
    desk.expect(&["unload a", "load c 4096", "grant 3 on c", "unload c", "load a 8192"]);
    desk.at(6.0).claim(4, "b", ROUTED).load_fails(out_of_memory());
    desk.expect(&["unload a", "load b 4096", "refuse 4: load failed, retry 10", "load a 8192"]);
}

#[test]
fn a_later_claim_of_the_same_request_keeps_its_age() {
    let mut desk = Desk::new(Config { max_wait: Some(Duration::from_secs(30)), ..Config::default() }, &["a"]);
    desk.claim(1, "b", ROUTED).at(20.0).load_fails(Error::Crashed("engine".to_owned())).loaded();
    let mut claim = desk.claims.remove(0).1;
    claim.model = model("c");
    desk.claim(9, "a", Purpose::Plain).claim_as(2, claim).log.clear();
    desk.at(29.9);
    assert!(desk.planner.report(desk.now).under_way.is_empty());
    desk.at(30.0);
    assert_eq!(desk.planner.report(desk.now).under_way.len(), 1, "it is overdue by its first claim");
}

#[test]
fn a_load_broken_off_from_outside_is_tried_again() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).load_fails(Error::Aborted("Operation canceled".to_owned()));
    desk.expect(&["unload a", "load b 4096", "load b 4096"]).loaded().expect(&["grant 1 on b"]);
}

#[test]
fn a_load_is_tried_again_once_and_never_after_a_crash() {
    let canceled = || Error::Aborted("Operation canceled".to_owned());
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).load_fails(canceled()).load_fails(canceled());
    desk.expect(&["unload a", "load b 4096", "load b 4096", "refuse 1: load failed", "load a 8192"]);
    desk.loaded().claim(2, "b", ROUTED).load_fails(Error::Crashed("engine".to_owned()));
    desk.expect(&["unload a", "load b 4096", "refuse 2: load failed", "load a 8192"]);
}

#[test]
fn a_load_that_timed_out_is_looked_for_and_not_sent_again() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).expect(&["unload a", "load b 4096"]);
    desk.someone_loads("b", "b").load_fails(Error::TimedOut(Duration::from_secs(600)));
    desk.expect(&["grant 1 on b"]).end(1, DONE).expect(&["unload b", "load a 8192"]);
}

#[test]
fn a_stale_list_does_not_undo_what_was_just_done() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.holds_lists = true;
    desk.at(10.0).expect(&[]);
    let (provider, asked, before_swap) = desk.lists.remove(0);
    desk.claim(1, "b", ROUTED).expect(&["unload a"]);
    // The list that was on its way still shows what is gone.
    desk.feed(Event::Listed(provider, asked, before_swap));
    desk.holds_lists = false;
    desk.feed(Event::Tick);
    desk.loaded().expect(&["load b 4096", "grant 1 on b"]);
    desk.expect_baseline(&["a"]).end(1, DONE).expect(&["unload b", "load a 8192"]);
}

#[test]
fn a_list_that_lags_behind_a_load_does_not_lose_it() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", Purpose::Plain).expect(&["unload a", "load b 4096"]);
    desk.holds_lists = true;
    desk.loaded().expect(&["grant 1 on b"]);
    let (provider, asked, _) = desk.lists.remove(0);
    desk.someone_unloads("b");
    let lagging = desk.list(provider);
    desk.feed(Event::Listed(provider, asked, Ok(lagging)));
    desk.claim(2, "b", Purpose::Plain).expect(&["grant 2 on b"]);
}

#[test]
fn an_instance_that_is_gone_is_listed_again_and_loaded_again() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).expect(&["grant 1 on a"]);
    desk.someone_unloads("a").end(1, End::Gone);
    desk.expect(&["load a 8192"]).claim(2, "a", Purpose::Plain).loaded().expect(&["grant 2 on a"]);
}

#[test]
fn of_surplus_duplicates_only_ours_go() {
    let mut desk = Desk::new(two(), &["a"]);
    desk.claim(1, "b", Purpose::Plain).loaded().end(1, DONE).expect(&["load b 4096", "grant 1 on b"]);
    desk.someone_loads("b:2", "b").at(20.0).expect(&["unload b"]).expect_baseline(&["a", "b"]);
}

#[test]
fn everyone_is_refused_at_once_when_nobody_listens_and_served_when_someone_does() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.holds_lists = true;
    desk.outage = Some(Error::Unreachable("connection refused".to_owned()));
    desk.claim(1, "b", ROUTED).expect(&["unload a"]);
    desk.holds_lists = false;
    desk.feed(Event::Tick);
    desk.expect(&["refuse 1: provider down, retry 5"]);
    desk.outage = None;
    desk.at(5.0).expect(&["load a 8192"]).loaded().claim(2, "a", Purpose::Plain).expect(&["grant 2 on a"]);
}

#[test]
fn before_the_first_list_claims_wait_for_it() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    let planner = Planner::new("local", Config::default(), &places(["p"]), desk.now);
    desk.planner = planner;
    desk.holds_lists = true;
    desk.claim(1, "a", Purpose::Plain).expect(&[]);
    desk.holds_lists = false;
    desk.feed(Event::Tick);
    desk.expect(&["grant 1 on a"]).claim(2, "nonsense", Purpose::Plain).expect(&["refuse 2: UnknownModel"]);
}

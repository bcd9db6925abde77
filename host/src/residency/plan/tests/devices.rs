//! Several providers on one device, and room by size.

use super::*;
use std::num::NonZeroU64;

const GIB: u64 = 1 << 30;

/// What models weigh: with the margin 5.3, 6.5, 10.1 and 1.1 GiB; of `d` nobody says.
const SIZES: [(&str, u64); 5] =
    [("a", 4 * GIB), ("b", 5 * GIB), ("c", 8 * GIB), ("q/a", 4 * GIB), ("text-embedding-e", GIB / 2)];

fn refused() -> Error {
    Error::Unreachable("refused".to_owned())
}

fn both(memory: &[&str]) -> Desk {
    Desk::of(&["p", "q"], Config::default(), memory, &SIZES)
}

/// Both providers in front of so many GiB.
fn weighed(gib: u64, memory: &[&str]) -> Desk {
    let config = Config { memory: NonZeroU64::new(gib * GIB), ..Config::default() };
    Desk::of(&["p", "q"], config, memory, &SIZES)
}

#[test]
fn a_swap_goes_from_one_provider_to_the_other_and_back() {
    let mut desk = both(&["a"]);
    desk.claim(1, "q/b", ROUTED).expect(&["unload a", "load q/b 4096"]);
    desk.loaded().expect(&["grant 1 on q/b"]).end(1, DONE).expect(&["unload q/b", "load a 8192"]);
}

#[test]
fn the_same_name_at_two_providers_is_two_instances() {
    let config = Config { max_loaded: NonZeroU32::new(2).unwrap(), ..Config::default() };
    let mut desk = Desk::of(&["p", "q"], config, &["a", "q/a"], &[]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "q/a", Purpose::Plain);
    desk.someone_unloads_at_q("a").end(2, End::Gone);
    desk.expect(&["grant 1 on a", "grant 2 on q/a", "load q/a 8192"]);
    desk.claim(3, "a", Purpose::Plain).expect(&["grant 3 on a"]).expect_baseline(&["a", "q/a"]);
}

#[test]
fn a_confirmation_waits_for_every_provider_that_let_go_of_something() {
    let mut desk = both(&["a"]);
    desk.holds_lists = true;
    desk.claim(1, "q/b", ROUTED).expect(&["unload a"]);
    assert_eq!(desk.lists.len(), 2, "the goal's and the victim's");
    let (provider, asked, list) = desk.lists.remove(1);
    desk.feed(Event::Listed(provider, asked, list));
    desk.expect(&[]);
    let (provider, asked, list) = desk.lists.remove(0);
    desk.feed(Event::Listed(provider, asked, list));
    desk.expect(&["load q/b 4096"]);
}

#[test]
fn an_outage_takes_its_own_along_and_nobody_elses() {
    let mut desk = both(&["a"]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "c", ROUTED).claim(3, "q/b", ROUTED).outage = Some(refused());
    desk.expect(&["grant 1 on a"]).at(62.0).claim(4, "b", ROUTED);
    // What it held is presumably gone with it: the other's model has room.
    desk.expect(&["refuse 2: provider down, retry 5", "load q/b 4096", "refuse 4: provider down, retry 5"]);
    desk.loaded().end(3, DONE).expect(&["grant 3 on q/b", "unload q/b"]).end(1, DONE);
    desk.expect_baseline(&["a"]).someone_unloads("a").outage = None;
    desk.at(90.0).expect(&["load a 8192"]);
}

#[test]
fn a_victims_provider_that_vanishes_lets_the_swap_go_on() {
    let mut desk = both(&["a"]);
    desk.unload_error = Some(refused());
    desk.outage = Some(refused());
    desk.claim(1, "q/b", ROUTED).expect(&["unload a", "load q/b 4096"]).loaded().expect(&["grant 1 on q/b"]);
    // It vanishes after it has let go, before it could show that.
    let mut desk = both(&["a"]);
    desk.holds_lists = true;
    desk.claim(1, "q/b", ROUTED).expect(&["unload a"]).outage = Some(refused());
    let lists = std::mem::take(&mut desk.lists);
    for (provider, asked, list) in lists {
        let list = if provider.0 == 0 { Err(refused()) } else { list };
        desk.feed(Event::Listed(provider, asked, list));
    }
    desk.expect(&["load q/b 4096"]);
}

#[test]
fn before_every_provider_was_heard_of_nothing_is_swapped() {
    let mut desk = both(&["a"]);
    desk.planner = Planner::new("local", Config::default(), &places(["p", "q"]), desk.now);
    desk.holds_lists = true;
    desk.claim(1, "a", Purpose::Plain).claim(2, "b", SIDE);
    let (provider, asked, list) = desk.lists.remove(0);
    desk.feed(Event::Listed(provider, asked, list));
    desk.expect(&["grant 1 on a"]).end(1, DONE).expect(&[]);
    let (provider, asked, _) = desk.lists.remove(0);
    desk.holds_lists = false;
    desk.feed(Event::Listed(provider, asked, Err(refused())));
    desk.expect(&["unload a", "load b 4096"]);
}

#[test]
fn what_is_chosen_during_an_outage_displaces_nothing_of_it() {
    let mut desk = both(&["a"]);
    desk.outage = Some(refused());
    desk.at(11.0).claim(1, "q/b", Purpose::Plain).loaded().end(1, DONE);
    desk.expect(&["load q/b 4096", "grant 1 on q/b"]).expect_baseline(&["a", "q/b"]);
    // It was there all the time: both are in memory, and stay.
    desk.outage = None;
    desk.at(60.0).expect(&[]).expect_baseline(&["a", "q/b"]);
    // Where it is not, the one chosen last stays.
    let mut desk = both(&["a"]);
    desk.outage = Some(refused());
    desk.at(11.0).claim(1, "q/b", Purpose::Plain).loaded().end(1, DONE).someone_unloads("a").outage = None;
    desk.at(60.0).expect(&["load q/b 4096", "grant 1 on q/b"]).expect_baseline(&["q/b"]);
}

#[test]
fn by_size_whatever_fits_is_loaded_beside() {
    let mut desk = weighed(12, &["a"]);
    desk.claim(1, "b", ROUTED).loaded().expect(&["load b 4096", "grant 1 on b"]);
    desk.end(1, DONE).expect(&["unload b"]);
    let mut desk = weighed(11, &["a"]);
    desk.claim(1, "b", ROUTED).loaded().expect(&["unload a", "load b 4096", "grant 1 on b"]);
}

#[test]
fn by_size_no_more_goes_than_is_needed() {
    let mut desk = weighed(17, &["a"]);
    desk.claim(1, "q/a", KEEP).loaded().claim(2, "text-embedding-e", Purpose::Plain).loaded();
    desk.end(1, DONE).end(2, DONE).log.clear();
    // 11.7 are in use; `b` needs 6.5: one of the two has to go, the embedding model never.
    desk.claim(3, "b", ROUTED).expect(&["unload q/a", "load b 4096"]).loaded().end(3, DONE);
    desk.expect(&["grant 3 on b", "unload b", "load q/a 4096"]);
}

#[test]
fn by_size_what_nobody_knows_or_is_too_big_is_tried_alone() {
    for (model, size) in [("d", None), ("c", Some(100 * GIB))] {
        let mut desk = weighed(20, &["a", "text-embedding-e"]);
        if let Some(size) = size {
            desk.sizes.retain(|(name, _)| *name != model);
            desk.sizes.push((model, size));
        }
        desk.at(10.0).claim(1, model, ROUTED).expect(&["unload a", &format!("load {model} 4096")]);
        desk.loaded().end(1, DONE).loaded().log.clear();
        desk.at(20.0).claim(2, "b", ROUTED).expect(&["load b 4096"]);
    }
}

#[test]
fn by_size_what_a_model_weighs_is_remembered() {
    let mut desk = weighed(12, &["a"]);
    desk.sizes.clear();
    desk.at(30.0).claim(1, "b", ROUTED).expect(&["load b 4096"]);
}

#[test]
fn by_size_embedding_models_displace_language_models_last_and_for_a_while() {
    // 10.1 and 1.1 do not fit into 11 GiB.
    let mut desk = weighed(11, &["c"]);
    desk.claim(1, "text-embedding-e", Purpose::Plain).expect(&["unload c", "load text-embedding-e 4096"]);
    desk.loaded().end(1, DONE).expect(&[
        "grant 1 on text-embedding-e",
        "unload text-embedding-e",
        "load c 8192",
    ]);
    desk.expect_baseline(&["c"]);
    // One that is due is in nobody's way that fits without it, and in everybody else's for good.
    let mut desk = weighed(11, &["text-embedding-e"]);
    desk.claim(1, "b", ROUTED).loaded().end(1, DONE).expect(&["load b 4096", "grant 1 on b", "unload b"]);
    desk.claim(2, "c", ROUTED).expect(&["refuse 2: WantsPinned"]);
}

#[test]
fn by_size_one_swap_runs_at_a_time() {
    let mut desk = weighed(12, &[]);
    desk.claim(1, "b", ROUTED).claim(2, "text-embedding-e", SIDE).expect(&["load b 4096"]);
    desk.loaded().expect(&["grant 1 on b", "load text-embedding-e 4096"]);
}

#[test]
fn what_fails_to_come_back_does_not_keep_what_would() {
    let mut desk = weighed(17, &["a", "b"]);
    desk.claim(1, "d", ROUTED).loaded().log.clear();
    desk.end(1, DONE).expect(&["unload d", "load b 8192"]).load_fails(Error::Crashed("engine".to_owned()));
    desk.at(4.9).expect(&[]).at(5.0).expect(&["load a 8192"]).loaded().expect(&["load b 8192"]);
}

//! Servers that change their name or their place while requests run on them.

use super::*;
use crate::residency::plan::InstanceKey;

impl Desk {
    fn expect_freed(&mut self, addresses: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.freed), addresses);
        self
    }

    /// What would be put back after a crash.
    fn expect_recorded(&mut self, due: &[&str]) -> &mut Self {
        let recorded = self.record.iter().flat_map(|record| &record.baseline);
        assert_eq!(recorded.map(|due| name(&due.model)).collect::<Vec<_>>(), due);
        self
    }
}

#[test]
fn a_server_is_asked_by_its_new_name_when_nobody_is_inside_by_the_old_one() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).expect(&["grant 1 on a"]).arrange(&["r@p"]);
    let shown: Vec<String> = desk.planner.describe_models().iter().map(|it| it.id.to_string()).collect();
    assert!(shown.contains(&"r/a".to_owned()) && !shown.contains(&"p/a".to_owned()), "{shown:?}");
    desk.claim(2, "r/b", ROUTED).claim(3, "r/a", Purpose::Plain).at(60.0).expect(&[]);
    desk.end(1, DONE).expect(&["grant 3 on r/a"]).expect_baseline(&["r/a"]);
    desk.end(3, DONE).expect(&["unload r/a", "load r/b 4096"]).loaded();
    desk.end(2, DONE).expect(&["grant 2 on r/b", "unload r/b", "load r/a 8192"]);
    desk.expect_freed(&[]).expect_recorded(&["r/a"]);
}

#[test]
fn what_a_swap_displaced_comes_back_under_the_new_name() {
    let mut desk = Desk::of(&["p", "q"], two(), &["a", "q/b"], &[]);
    desk.expect_baseline(&["a", "q/b"]).claim(1, "b", ROUTED).loaded().arrange(&["r@p", "q@q"]);
    desk.expect(&["unload a", "load b 4096", "grant 1 on b"]);
    desk.end(1, DONE).expect(&["unload b", "load r/a 8192"]).loaded();
    // Where it was among what is due: the one chosen last is who answers by default.
    desk.expect_baseline(&["r/a", "q/b"]).expect_recorded(&["r/a", "q/b"]).at(3600.0).expect(&[]);
}

#[test]
fn what_was_due_on_a_server_that_is_gone_is_dropped_as_a_whole() {
    let mut desk = Desk::of(&["p", "q"], Config::default(), &[], &[]);
    desk.someone_loads("mine", "q/a").at(11.0).expect_baseline(&["q/a"]);
    desk.claim(1, "b", ROUTED).loaded().arrange(&["p@p"]);
    desk.expect(&["unload q/mine", "load b 4096", "grant 1 on b"]).expect_freed(&["q, due q/a"]);
    assert_eq!(desk.planner.lost_names(), []);
    desk.expect_recorded(&[]).end(1, DONE).expect(&["unload b"]).expect_baseline(&[]);
}

#[test]
fn whoever_waited_for_a_server_that_leaves_chooses_nothing_there() {
    let mut desk = Desk::of(&["p", "q"], Config::default(), &["a"], &[]);
    desk.claim(1, "q/b", Purpose::Plain).arrange(&["p@p"]).loaded().expect_baseline(&["a"]);
    desk.end(1, DONE).expect(&["unload a", "load q/b 4096", "grant 1 on q/b", "unload q/b", "load a 8192"]);
    desk.expect_freed(&[]).loaded().expect_freed(&["q"]);
    // Whoever waited for one that has only another name now has chosen for good.
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", Purpose::Plain).arrange(&["r@p"]).loaded().end(1, DONE).expect_baseline(&["r/b"]);
    desk.at(3600.0).expect(&["unload a", "load b 4096", "grant 1 on b"]);
}

#[test]
fn servers_that_change_places_wait_for_each_others_requests() {
    let mut desk = Desk::of(&["p", "q"], two(), &["a", "q/a"], &[]);
    desk.claim(1, "a", Purpose::Plain).arrange(&["p@q", "q@p"]).expect(&["grant 1 on a"]);
    desk.claim(2, "q/a", Purpose::Plain).claim(3, "q/c", ROUTED).claim(4, "a", Purpose::Plain);
    desk.at(60.0).expect(&["grant 4 on a"]).expect_freed(&[]);
    desk.end(1, DONE).expect(&["grant 2 on q/a"]);
    desk.end(4, DONE).expect(&["unload a", "load q/c 4096"]);
}

#[test]
fn an_unload_on_its_way_is_waited_for_where_it_was_sent() {
    let mut desk = Desk::of(&["p", "q"], Config::default(), &["a"], &[]);
    desk.hangs_unloads = true;
    desk.claim(1, "b", ROUTED).expect(&["unload a"]).hangs_unloads = false;
    desk.arrange(&["p@q", "q@p"]).claim(2, "q/a", SIDE).expect(&["load b 4096"]);
    desk.someone_unloads("a");
    let sent = InstanceKey { provider: ProviderIndex(0), id: InstanceId::new("a") };
    desk.feed(Event::Unloaded(sent, Ok(())));
    desk.loaded().end(1, DONE).expect(&["grant 1 on b", "unload b", "load q/a 4096"]);
    // The same of a load.
    let mut desk = Desk::of(&["p", "q"], two(), &["a"], &[]);
    desk.claim(1, "b", ROUTED).expect(&["load b 4096"]).arrange(&["p@q", "q@p"]).leave(1);
    desk.claim(2, "q/a", SIDE).expect(&["load b 4096"]);
    let (operation, ..) = desk.loads.remove(0);
    desk.feed(Event::Loaded(operation, Err(Error::Crashed("gone".to_owned()))));
    desk.expect(&["grant 2 on q/a"]);
}

#[test]
fn a_provider_that_comes_back_to_its_address_knows_who_is_inside() {
    let mut desk = Desk::of(&["p"], Config::default(), &["a"], &[]);
    desk.claim(1, "a", Purpose::Plain).expect(&["grant 1 on a"]);
    desk.arrange(&["p@nowhere"]).at(1.0).expect(&["load a 8192"]).arrange(&["p@p"]).at(2.0);
    desk.claim(2, "a", Purpose::Plain).expect(&["grant 2 on a"]).end(2, DONE);
    desk.claim(3, "b", ROUTED).at(120.0).expect(&[]);
    desk.end(1, DONE).expect(&["unload a", "load b 4096"]);
    // And where its address is only written in another way.
    let mut desk = Desk::of(&["p"], Config::default(), &["a"], &[]);
    desk.claim(1, "a", Purpose::Plain).arrange(&["p@p#"]).at(1.0).claim(3, "b", ROUTED).at(120.0);
    desk.expect(&["grant 1 on a"]).end(1, DONE).expect(&["unload a", "load b 4096"]);
}

#[test]
fn who_waits_too_long_for_a_server_is_told_to_come_again() {
    let config = Config { drain_timeout: Duration::from_secs(30), ..Config::default() };
    let mut desk = Desk::new(config, &["a"]);
    desk.claim(1, "a", Purpose::Plain).arrange(&["r@p"]).expect(&["grant 1 on a"]);
    desk.at(5.0).claim(2, "r/a", Purpose::Plain).at(34.0).expect(&[]);
    desk.at(35.0).expect(&["refuse 2: DrainTimeout, retry 30"]);
    desk.claim(3, "r/a", Purpose::Plain).end(1, DONE).expect(&["grant 3 on r/a"]);
}

#[test]
fn names_that_were_never_in_use_hold_nobody_up() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).loaded().arrange(&["r@p"]).claim(2, "r/a", Purpose::Plain);
    desk.expect(&["unload a", "load b 4096", "grant 1 on b"]);
    desk.arrange(&["s@p"]).expect(&["refuse 2: UnknownModel"]).claim(3, "s/a", Purpose::Plain);
    desk.end(1, DONE).expect(&["unload b", "load s/a 8192"]).loaded().expect(&["grant 3 on s/a"]);
    desk.expect_baseline(&["s/a"]).expect_freed(&[]);
    // Back to the name that it is still in use by.
    desk.arrange(&["t@p"]).arrange(&["s@p"]).claim(4, "s/a", Purpose::Plain).expect(&["grant 4 on s/a"]);
}

#[test]
fn who_looks_after_its_memory_itself_is_asked_at_once() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).expect(&["grant 1 on a"]);
    desk.other_control = Control::ListOnly;
    let place = Place { control: Control::ListOnly, ..Place::new("q", "q#") };
    desk.addresses.insert("q".to_owned(), "q#".to_owned());
    let is_held = Place { is_held: true, ..place };
    desk.place(Config::default(), vec![is_held]);
    desk.claim(2, "q/a", Purpose::Plain).expect(&["grant 2 on q/a"]);
}

#[test]
fn another_owner_goes_on_from_what_was_due() {
    let mut here = Desk::new(Config::default(), &["a"]);
    here.claim(1, "b", ROUTED).loaded().arrange(&[]).end(1, DONE).at(1.0);
    here.expect(&["unload a", "load b 4096", "grant 1 on b", "unload b"]).expect_freed(&["p, due a"]);
    assert!(here.planner.is_over());

    let mut there = Desk::of(&["q"], two(), &["q/b"], &[]);
    let held = Place { is_held: true, ..Place::new("p", "p") };
    there.place(two(), vec![Place::new("q", "q"), held]);
    there.claim(2, "b", ROUTED).claim(3, "q/b", Purpose::Plain).at(20.0).expect(&["grant 3 on q/b"]);
    there.feed(Event::Freed("p".to_owned(), here.legacies.pop()));
    there.expect(&["load b 4096"]).loaded().expect(&["grant 2 on b"]).expect_baseline(&["a", "q/b"]);
    there.end(2, DONE).expect(&["unload b", "load a 8192"]);
    // One that does not want it any more passes it on.
    there.feed(Event::Freed("elsewhere".to_owned(), None));
    there.expect_freed(&["elsewhere"]);
}

#[test]
fn who_was_on_its_way_when_it_was_taken_out_arrives_when_it_is_configured_anew() {
    let mut desk = Desk::of(&["q"], Config::default(), &["q/b"], &[]);
    // Somebody is inside where it was, so that it is not forgotten.
    desk.claim(1, "q/b", Purpose::Plain).expect(&["grant 1 on q/b"]);
    let held = Place { is_held: true, ..Place::new("q", "z") };
    desk.place(Config::default(), vec![held]).place(Config::default(), vec![]).at(1.0).expect(&[]);
    // Whoever had that address has let go of it meanwhile, and nobody said so here.
    desk.place(Config::default(), vec![Place::new("q", "z")]).at(2.0).expect(&["load q/b 8192"]);
}

//! What outlives the process: before memory is touched it is written down, and the next planner goes on from there.

use super::*;

fn desk(config: Config, memory: &[&str]) -> Desk {
    Desk::of(&["p", "q"], config, memory, &[])
}

#[test]
fn memory_is_not_touched_before_that_is_durable() {
    let mut desk = desk(Config::default(), &["a"]);
    desk.holds_records = true;
    desk.claim(1, "b", ROUTED).expect(&[]);
    let record = desk.record.clone().unwrap();
    let due: Vec<&str> = record.baseline.iter().map(|due| due.model.key()).collect();
    let going: Vec<&str> = record.going.iter().map(|it| it.id.as_str()).collect();
    assert_eq!((due, going, record.loading), (vec!["a"], vec!["a"], vec![model("b")]));
    let mark = desk.marks.remove(0);
    // Durability may be lost, serving is not.
    desk.feed(Event::Remembered(mark, Durability::Unknown));
    desk.expect(&["unload a", "load b 4096"]).loaded().expect(&["grant 1 on b"]);
}

#[test]
fn a_swap_that_nobody_needs_any_more_is_dropped_while_it_is_written_down() {
    let mut desk = desk(Config::default(), &["a"]);
    desk.holds_records = true;
    desk.claim(1, "b", ROUTED).leave(1);
    let mark = desk.marks.remove(0);
    desk.feed(Event::Remembered(mark, Durability::Durable));
    desk.expect(&[]).claim(2, "a", Purpose::Plain).expect(&["grant 2 on a"]);
}

#[test]
fn what_did_not_change_is_not_written_again() {
    let mut desk = desk(Config::default(), &["a"]);
    assert!(desk.record.take().unwrap().is_at_rest);
    desk.claim(1, "a", Purpose::Plain).end(1, DONE).at(100.0);
    assert!(desk.record.is_none());
    desk.claim(2, "b", Purpose::Plain).loaded().end(2, DONE);
    let record = desk.record.take().unwrap();
    assert!(record.is_at_rest && record.baseline[0].model == model("b"));
}

#[test]
fn a_crash_in_the_middle_of_a_swap_brings_the_baseline_back() {
    // Before the load arrived; while it runs; when it was there.
    for (is_there, is_loading, lines) in [
        (false, false, &["load a 8192"][..]),
        (true, true, &["unload b", "load a 8192"]),
        (true, false, &["unload b", "load a 8192"]),
    ] {
        let mut desk = desk(Config::default(), &["a"]);
        desk.claim(1, "b", ROUTED).expect(&["unload a", "load b 4096"]);
        if is_there {
            desk.someone_loads("b", "b");
        }
        if is_loading {
            desk.loading = vec!["b"];
            desk.restart().at(8.0).expect(&[]).loading.clear();
        } else {
            desk.restart();
        }
        desk.at(20.0).expect(lines).expect_baseline(&["a"]);
    }
}

#[test]
fn a_load_that_goes_on_after_a_crash_is_not_sent_again() {
    let mut desk = desk(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).expect(&["unload a", "load b 4096"]).restart();
    // The list does not show it yet, and somebody asks for it.
    desk.claim(2, "b", ROUTED).at(3.0).expect(&[]).someone_loads("b", "b");
    desk.at(4.0).expect(&["grant 2 on b"]).end(2, DONE).expect(&["unload b", "load a 8192"]);
}

#[test]
fn what_nobody_knows_after_a_crash_is_someone_elses_choice() {
    let mut desk = desk(two(), &["a"]);
    desk.claim(1, "b", ROUTED).loaded().claim(2, "c", ROUTED);
    desk.someone_loads("d", "d").restart().expect_baseline(&["a", "d"]);
}

#[test]
fn after_a_rest_what_is_in_memory_is_due_unless_nothing_is() {
    let mut idle = desk(two(), &["a", "b"]);
    idle.someone_unloads("a").restart().expect_baseline(&["b"]).expect(&[]);
    let mut idle = desk(two(), &["a"]);
    idle.someone_unloads("a").someone_loads("c", "c").restart().expect_baseline(&["c"]).expect(&[]);
    // The machine was rebooted.
    let mut idle = desk(Config::default(), &["a"]);
    idle.someone_unloads("a").restart().expect(&["load a 8192"]).expect_baseline(&["a"]);
    // A provider that is still away says nothing about what is due on it.
    let mut idle = desk(Config::default(), &["q/a"]);
    idle.someone_unloads_at_q("a").other_outage = Some(Error::Unreachable("refused".to_owned()));
    idle.restart().expect_baseline(&["q/a"]).expect(&[]).other_outage = None;
    idle.at(60.0).expect(&["load q/a 8192"]);
}

#[test]
fn an_unload_that_takes_its_effect_after_a_crash_is_nobodys_choice() {
    let mut desk = desk(Config::default(), &["a"]);
    desk.hangs_unloads = true;
    desk.claim(1, "b", ROUTED).expect(&["unload a"]).restart().at(3.0).someone_unloads("a").at(40.0);
    desk.expect_baseline(&["a"]).expect(&["load a 8192"]);
}

#[test]
fn what_models_were_like_is_known_before_a_provider_answers() {
    let mut desk = desk(Config::default(), &["a"]);
    let facts = desk.list(ProviderIndex(0));
    let models = facts.1.into_iter().map(|facts| crate::residency::KnownModel {
        facts: Listed { instances: Vec::new(), ..facts },
        load_time: Some(Duration::from_secs(4)),
    });
    let kept = Kept { models: [("p".to_owned(), models.collect())].into(), ..Kept::default() };
    desk.outage = Some(Error::Unreachable("refused".to_owned()));
    desk.planner = Planner::new("local", Config::default(), &places(["p", "q"]), desk.now).resume(kept);
    let described = desk.planner.describe_models();
    assert_eq!((described.len(), described[1].load_seconds), (7, Some(4.0)));
    assert!(described.iter().all(|model| model.instances.is_empty()));
    // Who asks is told what is the matter, and not that there is no such model.
    desk.feed(Event::Tick);
    desk.claim(1, "b", ROUTED).expect(&["refuse 1: provider down, retry 5"]);
}

#[test]
fn a_name_that_a_load_cannot_give_again_stays_valid() {
    let mut desk = desk(Config::default(), &[]);
    desk.someone_loads("my-a", "a").at(20.0).claim(1, "b", ROUTED).loaded().end(1, DONE).loaded();
    assert_eq!(desk.losses, ["my-a of a: NameAndSettings"]);
    let names = |desk: &Desk| -> Vec<(String, ModelId)> {
        desk.planner.lost_names().iter().map(|it| (it.name.to_string(), it.model.clone())).collect()
    };
    assert_eq!(names(&desk), [("my-a".to_owned(), model("a"))]);
    desk.restart();
    assert_eq!(names(&desk), [("my-a".to_owned(), model("a"))]);
    desk.someone_unloads("a").someone_loads("my-a", "a").at(60.0);
    assert_eq!(names(&desk), []);
}

#[test]
fn what_had_a_time_to_live_comes_back_with_the_rest_of_it() {
    let mut desk = desk(Config::default(), &["a"]);
    desk.ttls = vec![("a", Duration::from_secs(100))];
    desk.at(20.0).ttls.clear();
    desk.claim(1, "b", ROUTED).loaded().end(1, DONE).loaded().log.clear();
    desk.at(60.0).expect(&[]).claim(2, "a", ROUTED).end(2, DONE).expect(&["grant 2 on a"]);
    // It was idle for as long as was left: the gateway does what the provider would have done.
    desk.at(158.0).expect(&[]).at(161.0).expect(&["unload a"]).expect_baseline(&[]);
}

#[test]
fn a_time_to_live_begins_anew_with_use() {
    let mut desk = desk(Config::default(), &["a"]);
    desk.ttls = vec![("a", Duration::from_secs(100))];
    desk.at(11.0).claim(1, "a", SIDE).at(18.0).end(1, End::Failed).claim(2, "b", ROUTED);
    let record = desk.record.clone().unwrap();
    assert_eq!(record.baseline[0].ttl, Some(Duration::from_secs(100)), "it was used just now");
}

#[test]
fn the_last_provider_that_is_away_does_not_keep_what_is_in_memory_from_being_due() {
    let mut desk = desk(two(), &["a", "b"]);
    desk.other_outage = Some(Error::Unreachable("refused".to_owned()));
    desk.holds_lists = true;
    desk.someone_unloads("a").restart();
    let (provider, asked, list) = desk.lists.remove(0);
    desk.feed(Event::Listed(provider, asked, list));
    desk.expect_baseline(&["a", "b"]);
    let (provider, asked, list) = desk.lists.remove(0);
    desk.feed(Event::Listed(provider, asked, list));
    desk.expect_baseline(&["b"]).expect(&[]);
}

#[test]
fn a_load_that_was_lost_is_ours_for_its_time_and_no_longer() {
    let mut desk = desk(Config { load_timeout: Duration::from_secs(100), ..Config::default() }, &["a"]);
    desk.claim(1, "b", ROUTED).load_fails(Error::Malformed("nonsense".to_owned())).loaded();
    let left =
        |desk: &Desk| desk.record.as_ref().unwrap().orphans.iter().map(|it| it.left.as_secs()).sum::<u64>();
    assert_eq!(left(&desk), 120, "in whole minutes");
    desk.at(50.0).restart().at(51.0).restart().at(52.0);
    assert_eq!(left(&desk), 60, "it goes on where it was, but for the minute");
    desk.at(125.0);
    assert_eq!(left(&desk), 0, "its end is written down though nothing else happens");
    desk.someone_loads("b", "b").at(140.0).expect_baseline(&["a", "b"]);
}

#[test]
fn what_was_being_loaded_long_ago_is_somebody_elses_by_now() {
    let config = Config { load_timeout: Duration::from_secs(100), ..Config::default() };
    let mut desk = desk(config, &["a"]);
    desk.claim(1, "b", ROUTED).expect(&["unload a", "load b 4096"]).at(500.0).log.clear();
    desk.restart().at(520.0).loaded().expect(&["load a 8192"]);
    desk.someone_loads("b", "b").at(540.0).expect_baseline(&["a", "b"]);
}

#[test]
fn what_a_person_asks_for_is_due_for_good() {
    let mut desk = desk(Config::default(), &["a"]);
    desk.ttls = vec![("a", Duration::from_secs(100))];
    desk.at(20.0).ttls.clear();
    desk.claim(1, "b", ROUTED)
        .loaded()
        .end(1, DONE)
        .loaded()
        .at(30.0)
        .wish(2, wishes::person("a", wishes::LOAD));
    desk.log.clear();
    desk.at(300.0).expect(&[]).expect_baseline(&["a"]);
}

#[test]
fn a_provider_that_was_started_anew_says_nothing_of_what_is_due_on_it() {
    let mut idle = desk(two(), &["a", "q/text-embedding-e"]);
    idle.someone_unloads("a")
        .restart()
        .expect_baseline(&["a", "q/text-embedding-e"])
        .expect(&["load a 8192"]);
}

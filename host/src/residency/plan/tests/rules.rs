//! Rules 1 and 3 to 10 on their ordinary ways.

use super::*;

#[test]
fn rule_1_a_leased_instance_is_not_evicted_and_leaves_after_its_last_lease() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).expect(&["grant 1 on a"]);
    desk.claim(2, "b", ROUTED).at(3.0).expect(&[]);
    desk.end(1, DONE).expect(&["unload a", "load b 4096"]);
    desk.at(9.0).loaded().expect(&["grant 2 on b"]);
}

#[test]
fn rule_1_a_lane_that_is_still_loading_gets_no_effect() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.loading = vec!["b"];
    desk.someone_loads("b", "b").at(30.0).claim(1, "c", ROUTED).claim(2, "b", ROUTED).at(90.0).expect(&[]);
    desk.loading.clear();
    // It answers now: who wants it has it, and room is made for the other.
    desk.at(100.0).expect(&["grant 2 on b"]).end(2, DONE).at(101.0);
    desk.expect(&["unload a", "unload b", "load c 4096"]);
}

#[test]
fn rule_2_a_want_delays_a_swap_for_the_grace_of_a_tool_loop() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim_of(1, "a", Purpose::Plain, "s", 100).end(1, TOOLS).expect(&["grant 1 on a"]);
    desk.at(1.0).claim(2, "b", ROUTED).at(4.9).expect(&[]);
    desk.at(5.0).expect(&["unload a", "load b 4096"]);
}

#[test]
fn rule_2_a_sessions_own_want_is_not_in_its_way() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim_of(1, "a", Purpose::Plain, "s", 100).end(1, TOOLS).claim_of(2, "b", SIDE, "s", 100);
    desk.expect(&["grant 1 on a", "unload a", "load b 4096"]).loaded().end(2, DONE);
    desk.expect(&["grant 2 on b", "unload b", "load a 8192"]);
}

#[test]
fn rule_2_a_hold_ends_with_its_turn() {
    let ends: [(End, f64); 3] = [(DONE, 0.0), (TOOLS, 300.0), (End::Failed, 30.0)];
    for (end, after) in ends {
        let mut desk = Desk::new(Config::default(), &["a"]);
        desk.claim(1, "b", ROUTED).loaded().expect(&["unload a", "load b 4096", "grant 1 on b"]);
        desk.end(1, end);
        if after > 0.0 {
            desk.at(after - 0.1).expect(&[]).at(after);
        }
        desk.expect(&["unload b", "load a 8192"]);
    }
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim_of(1, "b", ROUTED, "s", 100).loaded().end(1, TOOLS).at(2.0);
    desk.expect(&["unload a", "load b 4096", "grant 1 on b"]);
    desk.feed(Event::TurnOver(SessionKey::new("s")));
    desk.expect(&["unload b", "load a 8192"]);
}

#[test]
fn rule_3_what_moves_the_baseline_and_what_does_not() {
    for (purpose, baseline) in [(Purpose::Plain, "b"), (KEEP, "b"), (ROUTED, "a"), (SIDE, "a")] {
        let mut desk = Desk::new(Config::default(), &["a"]);
        desk.claim(1, "b", purpose).loaded().end(1, DONE).expect_baseline(&[baseline]);
    }
}

#[test]
fn rule_3_people_move_the_baseline() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.someone_loads("x", "b").at(30.0).expect_baseline(&["a", "b"]);
    desk.someone_unloads("a").at(60.0).expect_baseline(&["b"]).expect(&[]);
}

#[test]
fn rule_3_where_both_no_longer_fit_the_one_chosen_last_stays() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    // In one list somebody put `b` in the place of `a`, which a request then asks for.
    desk.claim(1, "a", Purpose::Plain).someone_unloads("a").someone_loads("b", "b").end(1, End::Gone);
    desk.expect_baseline(&["b"]).claim(2, "a", Purpose::Plain).loaded().end(2, DONE).expect_baseline(&["a"]);
    desk.expect(&["grant 1 on a", "unload b", "load a 4096", "grant 2 on a"]).at(60.0).expect(&[]);
}

#[test]
fn rule_3_what_is_due_is_published() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    let due = |desk: &Desk| desk.planner.due();
    assert_eq!(due(&desk), [model("a")]);
    desk.claim(1, "b", ROUTED).loaded();
    assert_eq!(due(&desk), [model("a")], "also while a specialist is resident");
    desk.end(1, DONE).loaded().published = false;
    desk.claim(2, "c", Purpose::Plain).loaded();
    assert_eq!((due(&desk), desk.published), (vec![model("c")], true));
}

#[test]
fn rule_3_a_model_loaded_by_hand_in_mid_turn_stays() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).loaded().expect(&["unload a", "load b 4096", "grant 1 on b"]);
    desk.someone_loads("c", "c").at(70.0).expect_baseline(&["c"]);
    desk.end(1, DONE).expect(&["unload b"]).at(200.0).expect(&[]);
}

#[test]
fn rule_3_a_provider_that_vanished_keeps_its_baseline() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.outage = Some(Error::Unreachable("refused".to_owned()));
    desk.at(11.0).claim(1, "a", Purpose::Plain).expect(&["refuse 1: provider down, retry 5"]);
    desk.someone_unloads("a").outage = None;
    desk.at(40.0).expect(&["load a 8192"]).loaded().expect_baseline(&["a"]);
}

#[test]
fn rule_4_a_resident_model_of_the_baseline_is_entered_by_the_gate_alone() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    let gates: Vec<_> = (0..2).map(|_| desk.enters("a").unwrap()).collect();
    assert!(desk.enters("a").is_none(), "two at once, as the provider says");
    assert!(gates[0].leave_quietly(), "nobody has to be told");
    desk.claim(1, "b", ROUTED);
    assert!(!gates[1].leave_quietly(), "now somebody waits for it");
}

#[test]
fn rule_4_the_rest_wait_in_order() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    for ticket in 1..=4 {
        desk.claim(ticket, "a", Purpose::Plain);
    }
    desk.expect(&["grant 1 on a", "grant 2 on a"]);
    desk.end(2, DONE).end(1, DONE).expect(&["grant 3 on a", "grant 4 on a"]);
}

#[test]
fn rule_4_waiters_join_a_load() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).claim(2, "b", Purpose::Plain).expect(&["unload a", "load b 4096"]);
    desk.loaded().expect(&["grant 1 on b", "grant 2 on b"]);
}

#[test]
fn rule_4_what_someone_else_loaded_meanwhile_is_reused() {
    let mut desk = Desk::new(two(), &["a"]);
    desk.someone_loads("b", "b").claim(1, "b", ROUTED).expect(&["grant 1 on b"]);
}

#[test]
fn rule_4_too_small_a_context_is_reloaded_once() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim_of(1, "a", Purpose::Plain, "s", 9000).expect(&["unload a", "load a 16384"]);
    // The engine takes less than was asked for, as MLX may.
    desk.loaded_with(Some(8192)).expect(&["grant 1 on a"]).end(1, DONE);
    desk.claim_of(2, "a", Purpose::Plain, "s", 9000).expect(&["grant 2 on a"]);
}

#[test]
fn rule_4_a_load_asks_for_the_context_that_is_configured_or_needed() {
    // Configured, the candidate's own, the prompt; at most the model's 32 768.
    let cases = [
        (None, None, 100, 4096),
        (Some(16_384), None, 100, 16_384),
        (None, Some(16_384), 100, 16_384),
        (Some(8192), Some(12_000), 100, 12_000),
        (Some(12_000), Some(8192), 100, 12_000),
        (Some(8192), Some(8192), 9000, 16_384),
        (Some(100_000), None, 100, 32_768),
        (None, Some(100_000), 100, 32_768),
        (None, None, 40_000, 32_768),
    ];
    for (configured, asked, tokens, expected) in cases {
        let models = [(
            model("b"),
            crate::residency::ModelConfig { context_length: configured, ..Default::default() },
        )];
        let config = Config { models: models.into(), ..Config::default() };
        let mut desk = Desk::new(config, &["a"]);
        let claim = claim_for(1, "b", ROUTED, "s", tokens);
        desk.claim_as(1, Claim { context_length: asked, ..claim });
        desk.expect(&["unload a", &format!("load b {expected}")]).loaded().expect(&["grant 1 on b"]);
    }
}

#[test]
fn rule_4_a_plain_request_raises_the_baselines_context() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim_of(1, "a", Purpose::Plain, "s", 9000).loaded().end(1, DONE);
    desk.claim(2, "b", ROUTED).loaded().end(2, DONE);
    let expected = ["unload a", "load a 16384", "grant 1 on a", "unload a", "load b 4096", "grant 2 on b"];
    desk.expect(&[&expected[..], &["unload b", "load a 16384"]].concat());
}

#[test]
fn rule_5_victims_are_what_is_outside_the_baseline_then_the_cheapest() {
    let mut desk = Desk::new(two(), &["a"]);
    desk.claim(1, "b", ROUTED).expect(&["load b 4096"]).loaded().end(1, TOOLS).at(6.0);
    desk.expect(&["grant 1 on b"]);
    desk.claim(2, "c", ROUTED).expect(&["unload b", "load c 4096"]);
}

#[test]
fn rule_5_of_several_victims_the_one_that_loads_fastest_goes_then_the_smallest() {
    // Seconds that the loads of `b` and `c` took, what they weigh, and which of them goes.
    let cases = [
        ((3.0, 9.0), (9, 3), "b"),
        ((9.0, 3.0), (3, 9), "c"),
        ((5.0, 5.0), (3, 9), "b"),
        ((5.0, 5.0), (9, 3), "c"),
    ];
    for ((b, c), (b_weighs, c_weighs), victim) in cases {
        let mut desk = Desk::new(two(), &[]);
        desk.sizes = vec![("b", b_weighs), ("c", c_weighs)];
        desk.claim(1, "b", KEEP).at(b).loaded().claim(2, "c", KEEP).at(b + c).loaded();
        desk.end(1, DONE).end(2, DONE).at(40.0).log.clear();
        desk.claim(3, "d", ROUTED).expect(&[&format!("unload {victim}"), "load d 4096"]);
    }
}

#[test]
fn rule_6_an_overdue_waiter_overrides_wants_and_closes_gates() {
    let mut desk = Desk::new(Config { max_wait: Some(Duration::from_secs(20)), ..Config::default() }, &["a"]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "b", ROUTED).expect(&["grant 1 on a"]);
    desk.at(10.0).claim(3, "a", Purpose::Plain).expect(&["grant 3 on a"]).end(1, TOOLS);
    desk.at(20.0).claim(4, "a", Purpose::Plain).expect(&[]);
    desk.at(21.0).end(3, TOOLS).expect(&["unload a", "load b 4096"]);
    desk.at(22.0).loaded().expect(&["grant 2 on b"]);
}

#[test]
fn rule_6_by_default_the_wait_follows_the_measured_cost() {
    for (load, wait) in [(1.0, 5.0), (4.0, 12.0), (50.0, 60.0)] {
        let mut desk = Desk::new(Config::default(), &["a"]);
        desk.claim(1, "b", ROUTED).at(load).loaded().end(1, DONE).loaded();
        let start = load + 100.0;
        desk.at(start).claim(2, "a", Purpose::Plain).claim(3, "b", ROUTED).log.clear();
        let closes = |desk: &mut Desk| {
            desk.enters("a").is_none() && desk.planner.report(desk.now).under_way.len() == 1
        };
        desk.at(start + wait - 0.1);
        assert!(!closes(&mut desk), "{wait}");
        desk.at(start + wait);
        assert!(closes(&mut desk), "{wait}");
    }
}

#[test]
fn rule_7_the_batch_is_served_before_the_gate_closes_again() {
    let config = Config { max_wait: Some(Duration::from_secs(2)), ..Config::default() };
    let mut desk = Desk::new(config, &["a"]);
    desk.claim(1, "b", ROUTED).expect(&["unload a", "load b 4096"]);
    for ticket in 2..=4 {
        desk.claim(ticket, "b", ROUTED);
    }
    desk.at(1.0).claim(5, "a", Purpose::Plain).at(9.0).expect(&[]);
    // Two at once; the third and fourth of the batch still come before the overdue waiter for the other model.
    desk.loaded().expect(&["grant 1 on b", "grant 2 on b"]);
    desk.claim(6, "b", ROUTED).end(1, DONE).end(2, DONE).expect(&["grant 3 on b", "grant 4 on b"]);
    desk.end(3, DONE).end(4, DONE).expect(&["unload b", "load a 8192"]);
}

#[test]
fn rule_8_a_drain_that_takes_too_long_gives_way() {
    let config = Config {
        max_wait: Some(Duration::from_secs(5)),
        drain_timeout: Duration::from_secs(30),
        ..Config::default()
    };
    let mut desk = Desk::new(config, &["a"]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "b", ROUTED).at(10.0).claim(3, "a", Purpose::Plain);
    desk.expect(&["grant 1 on a"]).at(34.9).expect(&[]).at(35.0);
    desk.expect(&["refuse 2: DrainTimeout, retry 30", "grant 3 on a"]);
    desk.at(40.0).claim(4, "b", ROUTED).at(45.0).expect(&["refuse 4: DrainTimeout, retry 20"]);
}

#[test]
fn rule_9_clients_that_read_nothing_are_looked_for_behind_a_closed_gate() {
    let config = Config { max_wait: Some(Duration::from_secs(5)), ..Config::default() };
    let mut desk = Desk::new(config, &["a"]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "b", ROUTED).at(5.0).expect(&["grant 1 on a"]);
    desk.at(7.0).expect(&["abort stalled a", "abort stalled a"]);
    desk.end(1, End::Cancelled).expect(&["unload a", "load b 4096"]);
}

#[test]
fn rule_10_linger_and_cancel() {
    let mut desk = Desk::new(Config { linger: Duration::from_secs(10), ..Config::default() }, &["a"]);
    desk.claim(1, "b", ROUTED).loaded().end(1, DONE).at(9.0);
    desk.expect(&["unload a", "load b 4096", "grant 1 on b"]);
    desk.claim(2, "b", ROUTED).end(2, DONE).at(18.9).expect(&["grant 2 on b"]);
    desk.at(19.0).expect(&["unload b", "load a 8192"]);
}

#[test]
fn rule_10_a_load_once_sent_is_awaited_though_nobody_waits_any_more() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).expect(&["unload a", "load b 4096"]).leave(1).at(5.0).expect(&[]);
    desk.loaded().expect(&["unload b", "load a 8192"]);
}

#[test]
fn rule_10_a_restore_makes_way_for_a_waiter_until_its_load_is_sent() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).loaded().expect(&["unload a", "load b 4096", "grant 1 on b"]);
    desk.holds_lists = true;
    desk.end(1, DONE).expect(&["unload b"]).claim(2, "c", ROUTED);
    desk.holds_lists = false;
    desk.feed(Event::Tick);
    desk.expect(&["load c 4096"]);
}

#[test]
fn rule_12_a_drain_is_dropped_when_nobody_needs_it_any_more() {
    let mut desk = Desk::new(Config { max_wait: Some(Duration::from_secs(1)), ..Config::default() }, &["a"]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "b", ROUTED).at(1.0).claim(3, "a", Purpose::Plain);
    desk.expect(&["grant 1 on a"]).leave(2).expect(&["grant 3 on a"]);
}

#[test]
fn rule_12_an_unload_that_fails_refuses_its_waiter_and_the_victim_stays() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.unload_error = Some(Error::Refused { status: 500, message: "busy".to_owned() });
    desk.claim(1, "b", ROUTED).expect(&["unload a", "refuse 1: load failed"]).expect_baseline(&["a"]);
    desk.claim(2, "a", Purpose::Plain).expect(&["grant 2 on a"]).end(2, DONE);
    desk.claim(3, "b", ROUTED).expect(&["unload a", "load b 4096"]).loaded().expect(&["grant 3 on b"]);
}

#[test]
fn displaced_and_displaced_again_the_baseline_is_still_the_first() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).loaded().end(1, DONE).claim(2, "c", ROUTED);
    desk.expect(&["unload a", "load b 4096", "grant 1 on b", "unload b", "load a 8192"]);
    desk.loaded().expect(&["unload a", "load c 4096"]).loaded().end(2, DONE);
    desk.expect(&["grant 2 on c", "unload c", "load a 8192"]).expect_baseline(&["a"]);
}

#[test]
fn embedding_models_have_a_count_of_their_own() {
    let mut desk = Desk::new(Config::default(), &["a", "text-embedding-e"]);
    desk.claim(1, "text-embedding-f", Purpose::Plain).expect(&["load text-embedding-f 4096"]).loaded();
    desk.claim(2, "b", ROUTED).expect(&["grant 1 on text-embedding-f", "unload a", "load b 4096"]);
}

#[test]
fn routes_that_may_not_swap_never_wait() {
    let may = |swap| Purpose::Routed { swap, afterwards: Afterwards::Restore };
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", may(Swap::Never)).expect(&["refuse 1: WouldSwap"]);
    desk.claim(2, "a", Purpose::Plain).claim(3, "b", may(Swap::IfIdle));
    desk.expect(&["grant 2 on a", "refuse 3: WouldSwap"]);
    desk.end(2, DONE).claim(4, "b", may(Swap::IfIdle)).expect(&["unload a", "load b 4096"]);
    let mut desk = Desk::new(two(), &["a"]);
    desk.claim(1, "b", may(Swap::Never)).expect(&["load b 4096"]);
}

#[test]
fn the_queue_is_bounded() {
    let config = Config { max_queue: 3, max_queue_per_session: 2, ..Config::default() };
    let mut desk = Desk::new(config, &["a"]);
    for (ticket, session) in [(1, "s"), (2, "s"), (3, "s"), (4, "t"), (5, "u")] {
        desk.claim_of(ticket, "b", ROUTED, session, 100);
    }
    let lines = ["unload a", "load b 4096", "refuse 3: QueueFull, retry 15", "refuse 5: QueueFull, retry 15"];
    desk.expect(&lines);
}

#[test]
fn a_shutdown_drains_and_goes_back_to_the_baseline() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).loaded().claim(2, "c", ROUTED);
    desk.expect(&["unload a", "load b 4096", "grant 1 on b"]).feed(Event::Shutdown);
    desk.claim(3, "b", ROUTED).expect(&["refuse 2: ShuttingDown", "refuse 3: ShuttingDown"]);
    desk.at(45.0).expect(&["abort all"]).end(1, End::Cancelled).expect(&["unload b", "load a 8192"]);
    desk.loaded().expect(&["stopped"]);
}

#[test]
fn the_way_back_makes_way_while_it_is_being_written_down() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).loaded().log.clear();
    desk.holds_records = true;
    desk.end(1, DONE).claim(2, "b", ROUTED).expect(&[]);
    let mark = desk.marks.remove(0);
    desk.feed(Event::Remembered(mark, Durability::Durable));
    desk.expect(&["grant 2 on b"]);
}

#[test]
fn a_shutdown_waits_for_nothing_that_cannot_come() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).someone_unloads("a").holds_lists = true;
    desk.end(1, End::Gone).claim(2, "a", Purpose::Plain).holds_lists = false;
    desk.feed(Event::Tick);
    desk.load_fails(Error::OutOfMemory("little".to_owned()));
    desk.expect(&["grant 1 on a", "load a 8192", "refuse 2: load failed, retry 5"]).expect_baseline(&["a"]);
    desk.feed(Event::Shutdown);
    desk.expect(&["stopped"]);
}

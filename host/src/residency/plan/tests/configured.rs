//! Another configuration while everything runs.

use super::*;
use std::num::NonZeroU64;

const GIB: u64 = 1 << 30;

impl Desk {
    /// From now on this holds, with these providers reached as before.
    fn configure(&mut self, config: Config, providers: &[&str]) -> &mut Self {
        self.reach(config, providers, Client::Kept)
    }

    fn reach(&mut self, config: Config, providers: &[&str], client: Client) -> &mut Self {
        let address = |name: &str| self.addresses.get(name).map_or(name.to_owned(), String::clone);
        let places =
            providers.iter().map(|name| Place { client, ..Place::new(name, &address(name)) }).collect();
        self.place(config, places)
    }

    /// The same, with all of them at other addresses.
    fn move_all(&mut self, config: Config, providers: &[&str]) -> &mut Self {
        let address = |name: &str| format!("{}#", self.addresses[name]);
        let places = providers.iter().map(|name| Place::new(name, &address(name))).collect();
        self.place(config, places)
    }

    /// The same, with providers at addresses, each as `name@address`.
    pub(super) fn arrange(&mut self, places: &[&str]) -> &mut Self {
        let config = self.planner.config.clone();
        let place = |it: &&str| {
            let (name, address) = it.split_once('@').unwrap();
            Place::new(name, address)
        };
        self.place(config, places.iter().map(place).collect())
    }

    pub(super) fn place(&mut self, config: Config, places: Vec<Place>) -> &mut Self {
        self.addresses.extend(places.iter().map(|it| (it.name.clone(), it.address.clone())));
        self.feed(Event::Configured(Box::new(config), places));
        self
    }

    fn answer_list(&mut self, place: usize) -> &mut Self {
        let (provider, asked, list) = self.lists.remove(place);
        self.feed(Event::Listed(provider, asked, list));
        self
    }

    /// Models that everybody is shown, of `q`.
    fn shown_of_q(&self) -> usize {
        self.planner.describe_models().iter().filter(|model| model.id.provider() == "q").count()
    }
}

#[test]
fn fewer_places_unload_nothing_until_somebody_needs_the_room() {
    let mut desk = Desk::new(two(), &["a", "b"]);
    desk.configure(Config::default(), &["p"]).at(3600.0).expect(&[]).expect_baseline(&["a", "b"]);
    desk.claim(1, "a", Purpose::Plain)
        .claim(2, "b", Purpose::Plain)
        .expect(&["grant 1 on a", "grant 2 on b"]);
    desk.end(1, DONE).end(2, DONE).claim(3, "c", ROUTED).expect(&["unload a", "unload b", "load c 4096"]);
    desk.loaded().end(3, DONE).expect(&["grant 3 on c", "unload c", "load b 8192"]);
}

#[test]
fn more_places_serve_who_waits() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "b", ROUTED).expect(&["grant 1 on a"]);
    desk.configure(two(), &["p"]).expect(&["load b 4096"]);
}

#[test]
fn those_who_wait_stay_in_a_queue_that_is_shorter_now() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "b", ROUTED).claim(3, "b", ROUTED).expect(&["grant 1 on a"]);
    let short = Config { max_queue: 1, ..Config::default() };
    desk.configure(short, &["p"]).claim(4, "b", ROUTED).expect(&["refuse 4: QueueFull, retry 15"]);
    desk.end(1, DONE).loaded();
    desk.expect(&["unload a", "load b 4096", "grant 2 on b", "grant 3 on b"]);
}

#[test]
fn models_are_weighed_once_no_swap_relies_on_their_number() {
    let sizes = [("a", 4 * GIB), ("b", 5 * GIB), ("text-embedding-e", GIB / 2)];
    let mut desk = Desk::of(&["p"], Config::default(), &["a"], &sizes);
    desk.claim(1, "b", ROUTED).expect(&["unload a", "load b 4096"]);
    let weighed = |gib| Config { memory: NonZeroU64::new(gib * GIB), ..Config::default() };
    // Counted, it would be loaded beside; of the memory nobody knows yet what is left.
    desk.configure(weighed(12), &["p"]).claim(2, "text-embedding-e", Purpose::Plain).expect(&[]);
    desk.loaded().expect(&["grant 1 on b", "load text-embedding-e 4096"]);
    desk.configure(Config::default(), &["p"]).loaded().expect(&["grant 2 on text-embedding-e"]);
    desk.end(1, DONE).expect(&["unload b", "load a 8192"]);
}

#[test]
fn whoever_waits_for_a_provider_that_leaves_is_the_last() {
    let mut desk = Desk::of(&["p", "q"], Config::default(), &["a"], &[]);
    desk.claim(1, "a", Purpose::Plain).claim(2, "q/b", ROUTED).expect(&["grant 1 on a"]);
    desk.configure(Config::default(), &["p"]);
    assert_eq!(desk.shown_of_q(), 0);
    desk.claim(3, "q/b", ROUTED).expect(&["refuse 3: UnknownModel"]);
    desk.end(1, DONE).loaded().expect(&["unload a", "load q/b 4096", "grant 2 on q/b"]);
    assert!(desk.planner.has_provider("q"));
    // What was lent goes back as ever; then nobody needs it any more.
    desk.end(2, DONE).expect(&["unload q/b", "load a 8192"]).loaded();
    assert!(!desk.planner.has_provider("q") && desk.planner.has_provider("p"));
}

#[test]
fn what_a_provider_has_in_memory_is_left_there_when_it_leaves() {
    let mut desk = Desk::of(&["p", "q"], two(), &["a", "q/b"], &[]);
    desk.claim(1, "q/b", Purpose::Plain).configure(two(), &["p"]).expect(&["grant 1 on q/b"]);
    assert!(desk.enters("q/b").is_none(), "nobody comes in by the gate");
    desk.expect_baseline(&["a"]).end(1, DONE).at(3600.0).expect(&[]);
    assert!(!desk.planner.has_provider("q"));
    desk.configure(two(), &["p", "q"]).expect(&[]).expect_baseline(&["a", "q/b"]);
    desk.claim(2, "q/b", Purpose::Plain).expect(&["grant 2 on q/b"]);
    // One that comes back before it was forgotten has never left.
    desk.configure(two(), &["p"]).configure(two(), &["q", "p"]).claim(3, "q/b", Purpose::Plain);
    desk.expect(&["grant 3 on q/b"]).end(2, DONE).end(3, DONE).at(7200.0).expect(&[]);
    assert_eq!(desk.planner.describe_models()[0].id.provider(), "q", "in the configured order");
}

#[test]
fn a_device_without_providers_is_over_when_the_last_has_gone() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).configure(Config::default(), &[]);
    assert!(!desk.planner.is_over());
    desk.end(1, DONE).expect(&["grant 1 on a"]);
    assert!(desk.planner.is_over());
}

#[test]
fn a_provider_that_has_moved_shows_first_what_it_has() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "a", Purpose::Plain).expect(&["grant 1 on a"]).holds_lists = true;
    desk.at(61.0).end(1, TOOLS);
    assert_eq!(desk.lists.len(), 1, "asked at the address before");
    desk.someone_unloads("a").move_all(Config::default(), &["p"]);
    desk.claim(2, "a", Purpose::Plain).answer_list(0).expect(&[]);
    // That list and the one that confirms it show another memory.
    desk.answer_list(0).answer_list(0).expect(&["load a 8192"]);
}

#[test]
fn leases_of_a_server_that_looks_after_itself_from_now_on_are_counted_on() {
    let mut desk = Desk::of(&["p", "q"], Config::default(), &["q/b"], &[]);
    desk.claim(1, "q/b", Purpose::Plain).expect(&["grant 1 on q/b"]);
    for control in [Control::ListOnly, Control::Full] {
        desk.other_control = control;
        desk.reach(Config::default(), &["p", "q"], Client::Replaced).at(1.0);
    }
    // It is in memory and in use: nobody may push it out.
    desk.claim(2, "a", ROUTED).at(2.0).expect(&[]);
    desk.end(1, DONE).expect(&["unload q/b", "load a 4096"]);
}

#[test]
fn what_another_server_has_in_memory_is_not_ours() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).loaded().expect(&["unload a", "load b 4096", "grant 1 on b"]);
    // There, too, is a model `b`, which somebody has loaded.
    desk.move_all(Config::default(), &["p"]).end(1, DONE).at(3600.0).expect(&[]);
    desk.claim(2, "b", ROUTED).expect(&["grant 2 on b"]).end(2, DONE).at(7200.0).expect(&[]);
}

#[test]
fn a_load_that_was_sent_to_the_server_before_is_none_of_the_next_ones() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).expect(&["unload a", "load b 4096"]);
    desk.someone_loads("b", "b").move_all(Config::default(), &["p"]).expect(&["grant 1 on b"]);
    let (operation, ..) = desk.loads.remove(0);
    let settings = Settings { context_length: Some(4096), ..Settings::default() };
    let loaded = Loaded { instance: InstanceId::new("b"), settings, parallel: None, took: None };
    desk.feed(Event::Loaded(operation, Ok(loaded)));
    desk.end(1, DONE).at(3600.0).expect(&[]);
    // Where it is not in memory either, whoever waits has it loaded there.
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.claim(1, "b", ROUTED).move_all(Config::default(), &["p"]);
    desk.expect(&["unload a", "load b 4096", "load b 4096"]);
    desk.loads.remove(0);
    desk.loaded().expect(&["grant 1 on b"]);
}

#[test]
fn an_unload_that_was_sent_to_the_server_before_makes_no_room_at_the_next() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.hangs_unloads = true;
    desk.claim(1, "b", ROUTED).expect(&["unload a"]).hangs_unloads = false;
    desk.move_all(Config::default(), &["p"]).expect(&["unload a", "load b 4096"]);
    desk.loaded().expect(&["grant 1 on b"]);
}

#[test]
fn a_newcomer_that_does_not_answer_holds_nobody_up() {
    let mut desk = Desk::new(Config::default(), &["a"]);
    desk.other_outage = Some(Error::TimedOut(Duration::from_secs(10)));
    desk.configure(Config::default(), &["p", "q"]).claim(1, "b", ROUTED);
    desk.expect(&["unload a", "load b 4096"]).loaded().expect(&["grant 1 on b"]);
    // Who waits for it is in nobody's way either.
    desk.claim(2, "q/b", ROUTED).end(1, DONE).expect(&["unload b", "load a 8192"]);
    // One that was there from the start is waited for: who knows what it has in memory.
    let mut desk = Desk::of(&["p", "q"], Config::default(), &["a"], &[]);
    desk.other_outage = Some(Error::TimedOut(Duration::from_secs(10)));
    desk.reach(Config::default(), &["p", "q"], Client::Kept);
    let other = desk.restart();
    other.claim(1, "b", ROUTED).expect(&[]);
}

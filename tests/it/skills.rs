//! The skill engine with real guests: how they are asked, configured, reused, granted what they import, told what happened.
//!
//! Those that behave badly are in `contained`, limits in `limits`.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use pointsman::capability::models::Models;
use pointsman::capability::residency::{Change, Residency, Standing, Wish};
use pointsman::capability::{Code, Error};
use pointsman::id::{ModelId, RequestId, SessionKey, SkillName};
use pointsman::model::{Directory, Kind, Model};
use pointsman::skill::{
    Activation, Bundled, Config, Delegates, Hook, Limits, OnFailure, Outcome, SkillConfig, Skills, Source,
    StepResult,
};
use pointsman::turn::event::{Event, Fault};
use pointsman::turn::verdict::Decision;
use pointsman::turn::{Protocol, Turn};
use pointsman_tests::guests;

/// One model, and a record of what was wished for.
#[derive(Default)]
pub(crate) struct House {
    wishes: Mutex<Vec<Wish>>,
    waits: bool,
}

impl Models for House {
    fn directory(&self) -> Arc<Directory> {
        Arc::new(Directory::new(vec![model()], Vec::new()))
    }
}

impl Residency for House {
    fn wish(&self, wish: Wish) -> BoxFuture<'static, Result<Standing, Error>> {
        self.wishes.lock().unwrap().push(wish.clone());
        let waits = self.waits;
        Box::pin(async move {
            if waits {
                std::future::pending::<()>().await;
            }
            match wish.change {
                Change::Load { .. } => Ok(Standing::Queued),
                Change::Unload => Err(Error::new(Code::NotFound, "no such model")),
            }
        })
    }
}

pub(crate) fn model() -> Model {
    Model {
        id: ModelId::of("lmstudio", "acme/otter-8b"),
        display_name: "Otter".to_owned(),
        kind: Kind::Language,
        vision: false,
        tool_use: true,
        reasoning: false,
        local: true,
        max_context: Some(8192),
        size_bytes: Some(1 << 30),
        instances: Vec::new(),
        load_seconds: None,
        costs: Default::default(),
    }
}

pub(crate) fn turn(text: &str) -> Turn {
    Turn {
        request_id: RequestId::new("r-1"),
        session: SessionKey::new("s-1"),
        agent: None,
        client: None,
        protocol: Protocol::ChatCompletions,
        streaming: true,
        requested_model: "auto".to_owned(),
        current_model: "lmstudio/acme/otter-8b".to_owned(),
        pinned: false,
        user_text: text.to_owned(),
        user_text_truncated: false,
        last_answer: String::new(),
        media: Vec::new(),
        history_media: Vec::new(),
        tools: Vec::new(),
        message_count: 1,
        estimated_tokens: 10,
        max_output_tokens: None,
    }
}

/// A gateway's skills: guests as if they shipped with it, in the order given.
pub(crate) struct Setup {
    pub(crate) config: Config,
    bundled: Vec<Bundled>,
    house: Arc<House>,
}

impl Setup {
    pub(crate) fn of(names: &[&'static str]) -> Self {
        let mut setup = Self { config: Config::default(), bundled: Vec::new(), house: Arc::default() };
        for name in names {
            setup = setup.component(name, guests::guest(name));
        }
        setup
    }

    /// Adds a component that is asked after those before it.
    pub(crate) fn component(mut self, name: &'static str, wasm: Vec<u8>) -> Self {
        let priority = Some(self.bundled.len() as i32);
        self.config.skills.insert(name.to_owned(), SkillConfig { priority, ..SkillConfig::default() });
        self.bundled.push(Bundled { name, wasm: wasm.into() });
        self
    }

    pub(crate) fn skill(mut self, name: &str, change: impl FnOnce(&mut SkillConfig)) -> Self {
        change(self.config.skills.entry(name.to_owned()).or_default());
        self
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    pub(crate) fn house(mut self, house: House) -> Self {
        self.house = Arc::new(house);
        self
    }

    pub(crate) async fn start(self) -> (Arc<Skills>, pointsman::skill::Housekeeping, Arc<House>) {
        let delegates =
            Delegates { models: self.house.clone(), residency: self.house.clone(), ..Delegates::nowhere() };
        let (skills, housekeeping) = Skills::start(self.config, delegates, &self.bundled).await.unwrap();
        (skills, housekeeping, self.house)
    }

    /// Starts and asks once.
    pub(crate) async fn ask(self, text: &str) -> Outcome {
        let (skills, _, _) = self.start().await;
        skills.generation().decide(turn(text)).await
    }
}

/// A failed step's message.
pub(crate) fn failure(outcome: &Outcome, place: usize) -> &str {
    match &outcome.steps[place].result {
        StepResult::Failed { message } | StepResult::Unasked { message } => message,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn reply(outcome: &Outcome) -> &str {
    match &outcome.decision {
        Some((_, Decision::Reply(text))) => text,
        other => panic!("{other:?} {:?}", outcome.steps),
    }
}

#[tokio::test]
async fn a_router_routes() {
    let outcome = Setup::of(&["router"]).ask("route otter").await;
    let Some((skill, Decision::Route(route))) = &outcome.decision else { panic!("{outcome:?}") };
    assert_eq!((skill.as_str(), route.candidates[0].model.as_str()), ("router", "otter"));
    assert_eq!(route.reason, "test: otter");
    assert_eq!(outcome.steps[0].result, StepResult::Decided);

    let outcome = Setup::of(&["router"]).ask("hello").await;
    assert_eq!((outcome.decision, outcome.steps[0].result.clone()), (None, StepResult::Passed));
}

#[tokio::test]
async fn a_component_of_contract_0_1_0_goes_on_working() {
    let outcome = Setup::of(&[]).component("old", guests::contract_0_1_0()).ask("route otter").await;
    assert!(matches!(outcome.decision, Some((_, Decision::Route(_)))), "{outcome:?}");
}

#[tokio::test]
async fn a_flood_of_output_is_bounded_and_hurts_nobody() {
    let log = Log::default();
    let outcome = log.during(Setup::of(&["floods", "router"]).ask("route otter")).await;
    assert_eq!(outcome.steps[0].result, StepResult::Passed);
    assert!(outcome.decision.is_some());
    let lines = log.lines("floods");
    assert_eq!(lines.len(), 64 + 1, "{lines:?}");
    assert!(lines[0].contains("line 0 of a flood") && lines[0].contains("request=\"r-1\""), "{}", lines[0]);
    assert!(lines[64].contains("further lines of this call are dropped"), "{}", lines[64]);
    assert!(!lines.concat().contains('\u{1b}'));
}

/// What is logged in a test that has one thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Listens while this is done.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(self.clone()).finish();
        let _logged = tracing::subscriber::set_default(subscriber);
        work.await
    }

    /// The lines of this skill.
    pub(crate) fn lines(&self, skill: &str) -> Vec<String> {
        let written = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let author = format!("skill=\"{skill}\"");
        written.lines().filter(|line| line.contains(&author)).map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_failure_refuses_where_the_user_says_so() {
    let setup = Setup::of(&["errs", "router"]).skill("errs", |it| it.on_failure = OnFailure::Refuse);
    let outcome = setup.ask("route otter").await;
    let Some((skill, Decision::Refuse(refusal))) = &outcome.decision else { panic!("{outcome:?}") };
    assert_eq!((skill.as_str(), refusal.status, outcome.steps.len()), ("errs", 503, 1));
    assert_eq!(refusal.message, "the skill `errs` answered with an error: unavailable: the oracle is out");
}

#[tokio::test]
async fn patches_collect_and_the_chain_goes_on() {
    let outcome = Setup::of(&["amends", "router"]).ask("route otter").await;
    assert_eq!(outcome.patches, [(SkillName::new("amends"), r#"{"temperature":0}"#.to_owned())]);
    assert_eq!(outcome.steps[0].result, StepResult::Amended);
    assert!(outcome.decision.is_some());
}

#[tokio::test]
async fn settings_and_priorities_are_the_users() {
    let settings: serde_json::Value = serde_json::from_str(r#"{"greeting":"moin"}"#).unwrap();
    let setup = Setup::of(&["router", "settings"]).skill("settings", |it| {
        it.settings = settings.clone();
        it.priority = None;
    });
    let (skills, _, _) = setup.start().await;
    let order: Vec<(String, i32)> =
        skills.statuses().iter().map(|it| (it.name.as_str().to_owned(), it.priority)).collect();
    assert_eq!(order, [("settings".to_owned(), -5), ("router".to_owned(), 0)]);
    let outcome = skills.generation().decide(turn("route otter")).await;
    assert_eq!(reply(&outcome), settings.to_string());
}

#[tokio::test]
async fn a_reusable_instance_is_reused_until_it_has_leaked_or_served_enough() {
    let limits = Limits { reuse_max: 3, ..Limits::default() };
    let (skills, _, _) = Setup::of(&["counts-warm"]).limits(limits).start().await;
    let mut counts = Vec::new();
    for _ in 0..5 {
        counts.push(reply(&skills.generation().decide(turn("")).await).to_owned());
    }
    assert_eq!(counts, ["1", "2", "3", "1", "2"]);

    let (skills, _, _) = Setup::of(&["grows"]).start().await;
    for _ in 0..3 {
        assert_eq!(reply(&skills.generation().decide(turn("")).await), "1");
    }
}

#[tokio::test]
async fn an_instance_that_is_not_reusable_serves_one_call() {
    let (skills, housekeeping, _) = Setup::of(&["counts-fresh"]).start().await;
    let asked = async {
        for _ in 0..20 {
            assert_eq!(reply(&skills.generation().decide(turn("")).await), "1");
        }
    };
    tokio::select! {
        () = housekeeping.run() => panic!("the housekeeping ends with the skills"),
        () = asked => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_few_instances() {
    let instances_max = std::num::NonZeroU32::new(2).unwrap();
    let limits = Limits { instances_max, instance_wait: Duration::from_secs(60), ..Limits::default() };
    let (skills, _, _) = Setup::of(&["counts-fresh", "router"]).limits(limits).start().await;
    let generation = skills.generation();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let generation = generation.clone();
        asked.spawn(async move { generation.decide(turn("")).await });
    }
    for outcome in asked.join_all().await {
        assert_eq!(reply(&outcome), "1");
    }
}

#[tokio::test]
async fn without_a_free_instance_the_request_is_refused_and_nobody_blamed() {
    let limits = Limits {
        instances_max: std::num::NonZeroU32::MIN,
        instance_wait: Duration::from_millis(20),
        ..Limits::default()
    };
    let house = House { waits: true, ..House::default() };
    let (skills, _, house) = Setup::of(&["asks"]).limits(limits).house(house).start().await;
    let generation = skills.generation();
    let (first, second) = (turn("first"), turn("second"));
    let mut running = Box::pin(generation.decide(first.clone()));
    // It waits for the host and holds the only instance.
    while house.wishes.lock().unwrap().is_empty() {
        tokio::select! {
            biased;
            outcome = &mut running => panic!("{outcome:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    let outcome = generation.decide(second).await;
    assert!(matches!(&outcome.decision, Some((_, Decision::Refuse(it))) if it.status == 503), "{outcome:?}");
    assert_eq!(failure(&outcome, 0), "has no free instance; waited 20ms");
    assert_eq!(skills.statuses()[0].last_error, None);
    // The client goes away: its instance goes with the call, and the place is free again.
    drop(running);
    let mut running = Box::pin(generation.decide(first.clone()));
    while house.wishes.lock().unwrap().len() < 2 {
        tokio::select! {
            biased;
            outcome = &mut running => panic!("{outcome:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

#[tokio::test]
async fn capabilities_answer_as_granted() {
    let all = [
        "models",
        "residency=all",
        "sessions",
        "conversation",
        "inference",
        "kv",
        "http=localhost",
        "activity",
    ];
    let always = "clock true\nrandom 16 true";
    let granted = format!(
        "models 1\nfind Some(\"lmstudio/acme/otter-8b\")\nload Ok(Standing::Queued)\nunload Err(\"not-found\")\n\
         session None\nmessages Err(\"not-found\")\ncomplete Err(\"not-found\")\nget Ok(None)\n\
         send Err(\"unavailable\")\nskills 0\n{always}"
    );
    let denied = format!(
        "models 0\nfind None\nload Err(\"denied\")\nunload Err(\"denied\")\nsession None\nmessages Err(\"denied\")\n\
         complete Err(\"denied\")\nget Err(\"denied\")\nsend Err(\"denied\")\nskills 0\n{always}"
    );
    for (grants, expected) in [(&all[..], granted), (&[][..], denied)] {
        let grants = grants.iter().map(|it| it.parse().unwrap()).collect();
        let setup = Setup::of(&["asks"]).skill("asks", |it| it.grants = Some(grants));
        let (skills, _, house) = setup.start().await;
        assert_eq!(reply(&skills.generation().decide(turn("")).await), expected);
        for wish in house.wishes.lock().unwrap().iter() {
            assert_eq!(
                (wish.skill.as_str(), wish.model.as_str(), wish.all),
                ("asks", "lmstudio/acme/otter-8b", true)
            );
            assert_eq!(wish.session, Some(SessionKey::new("s-1")));
        }
        let status = &skills.statuses()[0];
        assert_eq!(status.grants.len() + status.denied.len(), 8, "{status:?}");
    }
}

#[tokio::test]
async fn a_wish_while_being_configured_has_no_effect() {
    let (skills, _, house) = Setup::of(&["wishes-early"]).start().await;
    assert_eq!(reply(&skills.generation().decide(turn("")).await), "Err(\"unavailable\")");
    assert!(house.wishes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_toolchains_own_imports_are_satisfied_and_lead_nowhere() {
    let (skills, _, _) = Setup::of(&["phones"]).start().await;
    assert_eq!(reply(&skills.generation().decide(turn("")).await), "silence");
    let outcome = skills.generation().decide(turn("phone")).await;
    assert!(
        failure(&outcome, 0).contains("of `wasi:phone/types@0.2.10`, which skills do not have"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn events_reach_those_who_listen() {
    let (skills, housekeeping, house) = Setup::of(&["recorder", "router"]).start().await;
    let fault = Fault { code: "unavailable".to_owned(), message: "no memory".to_owned(), retryable: true };
    let wish_failed = |skill: &str| Event::WishFailed {
        skill: SkillName::new(skill),
        model: "otter".to_owned(),
        fault: fault.clone(),
    };
    let events = skills.events();
    events.send(Event::ModelDiscovered(Box::new(model())));
    events.send(wish_failed("router"));
    events.send(wish_failed("recorder"));
    events.send(Event::ModelUnloaded(ModelId::of("lmstudio", "acme/otter-8b")));
    // The housekeeping ends when nobody can tell it anything more: all has been told then.
    drop(events);
    drop(skills);
    housekeeping.run().await;
    let told: Vec<String> = house.wishes.lock().unwrap().iter().map(|it| it.model.clone()).collect();
    let expected = [
        "discovered lmstudio/acme/otter-8b",
        r#"wish-failed {"model":"otter","code":"unavailable","message":"no memory"}"#,
        "unloaded lmstudio/acme/otter-8b",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_skill_in_the_folder_gets_what_the_configuration_grants() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |name: &str, to: &str| std::fs::copy(guests::path(name), folder.path().join(to)).unwrap();
    copy("asks", "asks.wasm");
    copy("router", "router.wasm");
    std::fs::write(folder.path().join("broken.wasm"), b"\0asm").unwrap();
    copy("spins", "off.wasm");
    let mut setup = Setup::of(&["router"]);
    setup.config.folder = Some(folder.path().to_owned());
    let setup = setup
        .skill("asks", |it| it.grants = Some(vec!["models".parse().unwrap()]))
        .skill("off", |it| it.activation = Activation::Disabled);
    let (skills, _, _) = setup.start().await;
    let shown: BTreeMap<String, (&'static str, bool, usize)> = skills
        .statuses()
        .iter()
        .map(|it| {
            let own = matches!(&it.source, Source::File(path) if path.starts_with(folder.path() as &Path));
            (it.name.as_str().to_owned(), (it.state.as_str(), own, it.grants.len()))
        })
        .collect();
    let expected = [
        ("asks", ("active", true, 1)),
        ("broken", ("failed", true, 0)),
        ("off", ("disabled", true, 0)),
        // The user's own goes before the one that ships.
        ("router", ("active", true, 0)),
    ];
    assert_eq!(shown, expected.into_iter().map(|(name, it)| (name.to_owned(), it)).collect());
    assert!(skills.generation().has(Hook::Request) && !skills.generation().has(Hook::Event));
    let outcome = skills.generation().decide(turn("")).await;
    assert!(reply(&outcome).starts_with("models 1\n") && reply(&outcome).contains("load Err(\"denied\")"));
}

//! The owner with a made-up provider under paused time: what the planner's tests cannot see, because it happens between
//! tasks.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::id::{InstanceId, RequestId};
use crate::model::Kind;
use crate::provider::{Answer, Control, Listed, LoadRequest, Loaded, Readiness, Resident, Settings};
use crate::residency::{
    Action, End, InMemory, Kept, Phase, Reason, Residency, Synced, TurnAfter, WhenAnswered, Whose, Wisher,
};
use crate::turn::verdict::{Afterwards, Swap};

mod addresses;
mod after;

const DONE: End = End::Answered { turn: TurnAfter::Finished };
const ROUTED: Purpose = Purpose::Routed { swap: Swap::Wait, afterwards: Afterwards::Restore };

/// Models `a`, `b` and `c`; every call takes its time.
#[derive(Default)]
struct Fake {
    memory: Arc<Mutex<Vec<String>>>,
    calls: Arc<Mutex<Vec<String>>>,
    is_down: AtomicBool,
    name: Option<&'static str>,
    address: &'static str,
    control: Option<Control>,
}

const LOAD_TIME: Duration = Duration::from_secs(6);

impl Fake {
    fn holding(key: &str) -> Arc<Self> {
        let fake = Self::default();
        fake.memory.lock().unwrap().push(key.to_owned());
        Arc::new(fake)
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn resident(&self) -> Vec<String> {
        self.memory.lock().unwrap().clone()
    }
}

impl Provider for Fake {
    fn name(&self) -> &'static str {
        self.name.unwrap_or("p")
    }

    fn list(&self) -> Answer<'_, Vec<Listed>> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            if self.is_down.load(Ordering::Relaxed) {
                return Err(Error::Unreachable("refused".to_owned()));
            }
            Ok(["a", "b", "c"].map(|key| listed(key, &self.resident())).to_vec())
        })
    }

    fn address(&self) -> &str {
        self.address
    }

    fn control(&self) -> Control {
        self.control.unwrap_or(Control::Full)
    }

    fn load(&self, request: LoadRequest) -> Answer<'_, Loaded> {
        Box::pin(async move {
            let key = request.model.key().to_owned();
            self.calls.lock().unwrap().push(format!("load {key}"));
            tokio::time::sleep(LOAD_TIME).await;
            self.memory.lock().unwrap().push(key.clone());
            let instance = InstanceId::new(key);
            Ok(Loaded { instance, settings: request.settings, parallel: NonZeroU32::new(2), took: None })
        })
    }

    fn unload(&self, instance: InstanceId) -> Answer<'_, ()> {
        Box::pin(async move {
            self.calls.lock().unwrap().push(format!("unload {instance}"));
            tokio::time::sleep(Duration::from_millis(300)).await;
            self.memory.lock().unwrap().retain(|id| id != instance.as_str());
            Ok(())
        })
    }
}

fn listed(key: &str, memory: &[String]) -> Listed {
    let instances = memory.iter().filter(|id| *id == key).map(|id| Resident {
        id: InstanceId::new(id.as_str()),
        readiness: Readiness::Ready,
        settings: Settings { context_length: Some(8192), ..Settings::default() },
        parallel: NonZeroU32::new(2),
        remaining_ttl: None,
    });
    Listed {
        key: key.to_owned(),
        display_name: key.to_owned(),
        kind: Kind::Language,
        vision: false,
        tool_use: false,
        reasoning: false,
        local: true,
        max_context: Some(32_768),
        size_bytes: None,
        instances: instances.collect(),
    }
}

fn claim(key: &str, purpose: Purpose) -> Claim {
    Claim {
        model: ModelId::of("p", key),
        purpose,
        session: SessionKey::new("s"),
        request: RequestId::new("r"),
        prompt_tokens: 100,
        output_tokens: 100,
        context_length: None,
        progress: Arc::default(),
    }
}

fn start(config: Config, fake: &Arc<Fake>) -> (Residency, Actor) {
    let journal = Arc::new(InMemory::default());
    let device = Device { name: "local".to_owned(), config, providers: vec![fake.clone()], journal };
    let (residency, mut owners) = Residency::new(vec![device], Vec::new());
    (residency, owners.remove(0))
}

/// Runs a scenario beside the owner; afterwards the owner is shut down and must end.
async fn with<F: Future>(
    fake: &Arc<Fake>,
    config: Config,
    scenario: impl FnOnce(Residency) -> F,
) -> F::Output {
    let (residency, actor) = start(config, fake);
    let scenario = async {
        let output = scenario(residency.clone()).await;
        residency.shutdown().await;
        drop(residency);
        output
    };
    futures_util::future::join(actor.run(), scenario).await.1
}

#[tokio::test(start_paused = true)]
async fn a_swap_there_and_back() {
    let fake = Fake::holding("a");
    with(&fake, Config::default(), async |residency| {
        let claim = claim("b", ROUTED);
        let progress = claim.progress.clone();
        let mut acquire = residency.acquire(claim);
        let early = tokio::time::timeout(Duration::from_secs(3), &mut acquire).await;
        assert!(early.is_err());
        assert_eq!(progress.read().unwrap().phase, Phase::Loading);
        let lease = acquire.await.unwrap();
        assert_eq!((lease.model().key(), lease.instance().as_str()), ("b", "b"));
        let timings = lease.timings();
        assert!(
            timings.loaded.unwrap() >= LOAD_TIME && timings.unloaded.is_some() && timings.drained.is_none()
        );
        assert!(progress.read().is_none());
        assert!(residency.directory().get(&ModelId::of("p", "b")).unwrap().is_resident());
        lease.finish(DONE);
        tokio::time::sleep(LOAD_TIME * 2).await;
        assert_eq!(fake.calls(), ["unload a", "load b", "unload b", "load a"]);
    })
    .await;
    assert_eq!(fake.resident(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_hot_path_does_not_ask_the_owner() {
    let fake = Fake::holding("a");
    let (residency, actor) = start(Config::default(), &fake);
    let mut run = Box::pin(actor.run());
    let first = residency.acquire(claim("a", Purpose::Plain));
    let first = tokio::select! {
        _ = &mut run => panic!("the owner ended"),
        lease = first => lease.unwrap(),
    };
    first.finish(DONE);
    // The end of that one opens the gate; from now on nobody polls the owner.
    let _ = tokio::time::timeout(Duration::from_millis(1), &mut run).await;
    for _ in 0..3 {
        let lease = residency.acquire(claim("a", Purpose::Plain)).await.unwrap();
        lease.finish(DONE);
    }
    residency.turn_over(&SessionKey::new("s"));
    let shutdown = futures_util::future::join(run, residency.shutdown());
    shutdown.await;
}

#[tokio::test(start_paused = true)]
async fn what_ended_before_is_known_when_the_owner_has_settled() {
    let fake = Fake::holding("a");
    let (residency, actor) = start(Config::default(), &fake);
    let scenario = async {
        let lease = residency.acquire(claim("a", Purpose::Plain)).await.unwrap();
        assert_eq!(residency.directory().due(), [ModelId::of("p", "a")]);
        fake.memory.lock().unwrap().clear();
        lease.finish(End::Gone);
        residency.settled().await;
        // The instance is doubted: a claim is not let in by the gate any more, but waits for a list and a load.
        residency.acquire(claim("a", Purpose::Plain)).await.unwrap().finish(DONE);
        assert_eq!(fake.calls(), ["load a"]);
        residency.shutdown().await;
        residency.settled().await;
    };
    futures_util::future::join(actor.run(), scenario).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_claim_leaves_the_queue_and_a_dropped_lease_is_released() {
    let fake = Fake::holding("a");
    with(&fake, Config::default(), async |residency| {
        let lease = residency.acquire(claim("a", Purpose::Plain)).await.unwrap();
        let waiting = residency.acquire(claim("b", ROUTED));
        assert!(tokio::time::timeout(Duration::from_secs(1), waiting).await.is_err());
        assert!(residency.report().await.unwrap().waiters.is_empty());
        drop(lease);
        let report = residency.report().await.unwrap();
        assert_eq!(report.instances.iter().map(|it| it.leases).sum::<u32>(), 0);
        assert_eq!(fake.calls(), [""; 0]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_grant_to_a_client_that_left_in_that_moment_is_given_back() {
    let fake = Fake::holding("a");
    with(&fake, Config::default(), async |residency| {
        // The first poll sends the claim; the owner grants it before the future is polled again.
        let mut acquire = Box::pin(residency.acquire(claim("a", Purpose::Plain)));
        assert!(tokio::time::timeout(Duration::ZERO, &mut acquire).await.is_err());
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(acquire);
        let report = residency.report().await.unwrap();
        assert_eq!(report.instances.iter().map(|it| it.leases).sum::<u32>(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_behind_a_closed_gate_is_broken_off() {
    let fake = Fake::holding("a");
    with(&fake, Config::default(), async |residency| {
        let slow = residency.acquire(claim("a", Purpose::Plain)).await.unwrap();
        let busy = residency.acquire(claim("a", Purpose::Plain)).await.unwrap();
        let aborted = Arc::new(AtomicBool::new(false));
        let flag = aborted.clone();
        slow.on_abort(Box::new(move || flag.store(true, Ordering::Relaxed)));
        slow.meter().delivered();
        busy.on_abort(Box::new(|| panic!("it is the model that is slow")));
        busy.meter().delivered();
        busy.meter().waiting();
        let waiting = residency.acquire(claim("b", ROUTED));
        let begin = tokio::time::Instant::now();
        let release = async {
            tokio::time::sleep(Duration::from_secs(90)).await;
            busy.finish(DONE);
        };
        let (lease, ()) = futures_util::future::join(waiting, release).await;
        assert!(aborted.load(Ordering::Relaxed));
        assert!(begin.elapsed() >= Duration::from_secs(90));
        let lease = lease.unwrap();
        // The aborted lease was released by the abort; dropping it now changes nothing.
        drop(slow);
        assert_eq!(residency.report().await.unwrap().instances.iter().map(|it| it.leases).sum::<u32>(), 1);
        lease.finish(DONE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_refuses_at_once_and_serves_when_it_is_back() {
    let fake = Fake::holding("a");
    fake.is_down.store(true, Ordering::Relaxed);
    with(&fake, Config::default(), async |residency| {
        let refused = residency.acquire(claim("a", Purpose::Plain)).await.unwrap_err();
        assert!(matches!(refused.reason, Reason::ProviderDown { .. }));
        assert_eq!(refused.retry_after, Some(Duration::from_secs(5)));
        fake.is_down.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(10)).await;
        residency.acquire(claim("a", Purpose::Plain)).await.unwrap().finish(DONE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_in_mid_load_awaits_the_load_and_goes_back() {
    let fake = Fake::holding("a");
    with(&fake, Config::default(), async |residency| {
        let waiting = residency.acquire(claim("b", ROUTED));
        assert!(tokio::time::timeout(Duration::from_secs(2), waiting).await.is_err());
    })
    .await;
    assert_eq!(fake.calls(), ["unload a", "load b", "unload b", "load a"]);
    assert_eq!(fake.resident(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn an_owner_without_handles_ends() {
    let fake = Fake::holding("a");
    let (residency, actor) = start(Config::default(), &fake);
    drop(residency);
    actor.run().await;
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_claims_are_refused() {
    let fake = Fake::holding("a");
    let (residency, actor) = start(Config::default(), &fake);
    futures_util::future::join(actor.run(), residency.shutdown()).await;
    let refused = residency.acquire(claim("b", Purpose::Plain)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ShuttingDown);
}

#[tokio::test(start_paused = true)]
async fn in_mode_provider_everything_is_granted_and_nothing_is_loaded() {
    let fake = Arc::new(Fake { control: Some(Control::ListOnly), ..Fake::default() });
    with(&fake, Config::default(), async |residency| {
        let a = residency.acquire(claim("a", Purpose::Plain)).await.unwrap();
        let b = residency.acquire(claim("b", ROUTED)).await.unwrap();
        assert_eq!(b.instance().as_str(), "b");
        drop((a, b));
        assert!(
            residency.directory().due().is_empty(),
            "nothing of it is due: it is the server's own business"
        );
        let unload = Wish {
            model: ModelId::of("p", "a"),
            action: Action::Unload { whose: Whose::Everyones },
            by: Wisher::Person,
            answer: WhenAnswered::WhenDone,
        };
        assert_eq!(residency.wish(unload).await.unwrap_err().reason, Reason::NotOurs);
    })
    .await;
    assert_eq!(fake.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn every_device_has_its_own_memory_and_all_are_seen_at_once() {
    let (here, there) = (Fake::holding("a"), Fake { name: Some("q"), ..Fake::default() });
    let there = Arc::new(there);
    let device = |name: &str, provider: &Arc<Fake>| Device {
        name: name.to_owned(),
        config: Config::default(),
        providers: vec![provider.clone()],
        journal: Arc::new(InMemory::default()),
    };
    let devices = vec![device("local", &here), device("elsewhere", &there)];
    let (residency, owners) = Residency::new(devices, vec![("far".to_owned(), "q/b".to_owned())]);
    let scenario = async {
        let near = residency.acquire(claim("a", Purpose::Plain)).await.unwrap();
        let of_q = Claim { model: ModelId::of("q", "b"), ..claim("b", ROUTED) };
        let far = residency.acquire(of_q).await.unwrap();
        // Both are in memory, each in its own; nothing had to go.
        assert_eq!((here.calls(), there.calls()), (vec![], vec!["load b".to_owned()]));
        let directory = residency.directory();
        let ids: Vec<&str> = directory.models().iter().map(|model| model.id.as_str()).collect();
        assert_eq!(ids, ["p/a", "p/b", "p/c", "q/a", "q/b", "q/c"]);
        assert_eq!(directory.find("far").unwrap().id.as_str(), "q/b");
        // Where it is resident comes first, though it stands last.
        assert_eq!(directory.find("b").unwrap().id.as_str(), "q/b");
        let report = residency.report().await.unwrap();
        let providers: Vec<_> = report.providers.iter().map(|it| (&*it.name, &*it.device)).collect();
        assert_eq!(providers, [("p", "local"), ("q", "elsewhere")]);
        assert_eq!(report.instances.len(), 2);
        let unknown = Claim { model: ModelId::of("r", "b"), ..claim("b", ROUTED) };
        assert_eq!(residency.acquire(unknown).await.unwrap_err().reason, Reason::UnknownModel);
        far.finish(DONE);
        near.finish(DONE);
        residency.settled().await;
        residency.shutdown().await;
        assert_eq!(there.resident(), [""; 0]);
    };
    let owners = futures_util::future::join_all(owners.into_iter().map(Actor::run));
    futures_util::future::join(owners, scenario).await;
}

#[tokio::test(start_paused = true)]
async fn servers_change_their_device_and_an_owner_without_any_ends() {
    let (here, there) = (Fake::holding("a"), Arc::new(Fake { name: Some("q"), ..Fake::default() }));
    let device = |name: &str, providers: &[&Arc<Fake>]| Device {
        name: name.to_owned(),
        config: Config::default(),
        providers: providers.iter().map(|it| -> Arc<dyn Provider> { (*it).clone() }).collect(),
        journal: Arc::new(InMemory::default()),
    };
    let apart = || vec![device("local", &[&here]), device("elsewhere", &[&there])];
    let (residency, owners) = Residency::new(apart(), Vec::new());
    let mut running = tokio::task::JoinSet::new();
    let run = |owners: Vec<Actor>, running: &mut tokio::task::JoinSet<()>| {
        owners.into_iter().for_each(|owner| {
            running.spawn(owner.run());
        });
    };
    run(owners, &mut running);
    let of_q = || Claim { model: ModelId::of("q", "b"), ..claim("b", Purpose::Plain) };
    let lease = residency.acquire(of_q()).await.unwrap();

    let together = || vec![device("local", &[&here, &there])];
    let aliases = vec![("far".to_owned(), "q/b".to_owned())];
    assert!(residency.reconfigure(together(), aliases).await.is_empty(), "nobody new is needed");
    assert_eq!(running.len(), 2, "whoever is inside keeps the owner");
    lease.finish(DONE);
    running.join_next().await.unwrap().unwrap();
    let again = residency.acquire(of_q()).await.unwrap();
    let devices = |report: Report| report.providers.into_iter().map(|it| it.device).collect::<Vec<_>>();
    assert_eq!(devices(residency.report().await.unwrap()), ["local", "local"]);
    assert_eq!(residency.directory().find("far").unwrap().id.as_str(), "q/b");
    again.finish(DONE);

    let owners = residency.reconfigure(apart(), Vec::new()).await;
    assert_eq!(owners.len(), 1);
    run(owners, &mut running);
    residency.acquire(of_q()).await.unwrap().finish(DONE);
    assert_eq!(devices(residency.report().await.unwrap()), ["local", "elsewhere"]);
    assert_eq!(residency.directory().find("far"), None);
    let calls = [here.calls(), there.calls()].concat();
    assert_eq!(calls, ["load b"], "what is in memory stays there, whoever looks after it");
    // An owner that has just been told to leave and is needed again stays, or makes way for another one.
    residency.reconfigure(together(), Vec::new()).await;
    run(residency.reconfigure(apart(), Vec::new()).await, &mut running);
    residency.acquire(of_q()).await.unwrap().finish(DONE);
}

#[tokio::test(start_paused = true)]
async fn the_next_life_knows_what_was_due_and_what_models_there_are() {
    let fake = Fake::holding("a");
    let journal = Arc::new(InMemory::default());
    let begin = || {
        let (name, config) = ("local".to_owned(), Config::default());
        let device = Device { name, config, providers: vec![fake.clone()], journal: journal.clone() };
        let (residency, mut owners) = Residency::new(vec![device], Vec::new());
        (residency, owners.remove(0))
    };
    let (residency, owner) = begin();
    let swap = async {
        let lease = residency.acquire(claim("b", ROUTED)).await.unwrap();
        assert_eq!(fake.calls(), ["unload a", "load b"]);
        lease
    };
    // The process ends in the middle of the specialist's work.
    let _ = futures_util::future::select(Box::pin(swap), Box::pin(owner.run())).await;
    drop(residency);

    let (residency, owner) = begin();
    let directory = residency.directory();
    assert_eq!(directory.due(), [ModelId::of("p", "a")], "before anybody was asked");
    assert!(directory.get(&ModelId::of("p", "b")).unwrap().load_seconds.is_some());
    assert!(directory.models().iter().all(|model| !model.is_resident()));
    let scenario = async {
        tokio::time::sleep(LOAD_TIME * 2).await;
        residency.shutdown().await;
    };
    futures_util::future::join(owner.run(), scenario).await;
    assert_eq!(fake.calls(), ["unload b", "load a"]);
    assert_eq!(fake.resident(), ["a"]);
}

/// A disk that gives what is on it when it is let go.
struct Slow {
    disk: Arc<InMemory>,
    asked: mpsc::Sender<()>,
    go: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Journal for Slow {
    fn load(&self, device: &str, providers: &[&str]) -> Kept {
        self.asked.blocking_send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        self.disk.load(device, providers)
    }

    fn write(&self, device: &str, record: &Record) {
        self.disk.write(device, record);
    }

    fn write_synced(&self, device: &str, record: &Record) -> Synced {
        self.disk.write_synced(device, record)
    }

    fn write_models(&self, provider: &str, models: &[KnownModel]) {
        self.disk.write_models(provider, models);
    }
}

#[tokio::test]
async fn whoever_asks_is_served_while_a_disk_is_read_for_what_is_new() {
    let fake = Fake::holding("a");
    let (asked, mut was_asked) = mpsc::channel(1);
    let (go, is_to_go) = std::sync::mpsc::sync_channel(1);
    let disk = Arc::new(InMemory::default());
    let slow = Arc::new(Slow { disk: disk.clone(), asked, go: Mutex::new(is_to_go) });
    let device = |name: &str, journal: Arc<dyn Journal>| {
        let (name, config) = (name.to_owned(), Config::default());
        vec![Device { name, config, providers: vec![fake.clone()], journal }]
    };
    let before = device("local", disk);
    let (residency, mut owners) = Residency::new(before, Vec::new());
    let mut running = tokio::task::JoinSet::new();
    running.spawn(owners.remove(0).run());
    residency.acquire(claim("a", Purpose::Plain)).await.unwrap().finish(DONE);
    // What is on `local` is on a device of another name from now on.
    let after = device("far", slow);
    let asking = residency.clone();
    running.spawn(async move {
        for owner in asking.reconfigure(after, Vec::new()).await {
            owner.run().await;
        }
    });
    // Nothing is to be seen of it while the disk is read.
    was_asked.recv().await.unwrap();
    for _ in 0..3 {
        assert!(residency.directory().get(&ModelId::of("p", "a")).is_some());
        residency.acquire(claim("a", Purpose::Plain)).await.unwrap().finish(DONE);
    }
    go.send(()).unwrap();
    let is_there = || async {
        let report = residency.report().await.unwrap();
        report.providers.iter().any(|it| (&*it.name, &*it.device) == ("p", "far"))
    };
    while !is_there().await {
        assert!(residency.directory().get(&ModelId::of("p", "a")).is_some(), "it is never gone");
        tokio::task::yield_now().await;
    }
    residency.acquire(claim("a", Purpose::Plain)).await.unwrap().finish(DONE);
}

//! Servers that get another name or another owner while requests run on them.

use tokio::task::JoinSet;

use super::*;

impl Fake {
    /// A server at this address.
    fn at(address: &'static str, key: &str) -> Arc<Self> {
        let fake = Self { address, ..Self::default() };
        fake.memory.lock().unwrap().push(key.to_owned());
        Arc::new(fake)
    }

    /// The same server under another name.
    fn called(&self, name: &'static str) -> Arc<Self> {
        let (memory, calls, address) = (self.memory.clone(), self.calls.clone(), self.address);
        Arc::new(Self { memory, calls, address, name: Some(name), ..Self::default() })
    }
}

/// A residency whose owners run.
struct Owned {
    residency: Residency,
    running: JoinSet<()>,
}

impl Owned {
    fn new(devices: Vec<Device>) -> Self {
        let (residency, owners) = Residency::new(devices, Vec::new());
        let mut owned = Self { residency, running: JoinSet::new() };
        owned.run(owners);
        owned
    }

    fn run(&mut self, owners: Vec<Actor>) {
        owners.into_iter().for_each(|owner| drop(self.running.spawn(owner.run())));
    }

    async fn reconfigure(&mut self, devices: Vec<Device>) {
        let owners = self.residency.reconfigure(devices, Vec::new()).await;
        self.run(owners);
    }

    /// A request on its way.
    fn ask(&self, model: &str, purpose: Purpose) -> JoinSet<Result<Lease, Refused>> {
        let mut asking = JoinSet::new();
        asking.spawn(self.residency.acquire(claim_of(model, purpose)));
        asking
    }

    /// Waits until so many stand in line.
    async fn until_waiting(&self, count: usize) {
        while self.residency.report().await.unwrap().waiters.len() != count {
            tokio::task::yield_now().await;
        }
    }
}

async fn granted(mut asking: JoinSet<Result<Lease, Refused>>) -> Lease {
    asking.join_next().await.unwrap().unwrap().unwrap()
}

fn device(name: &str, providers: &[&Arc<Fake>]) -> Device {
    Device {
        name: name.to_owned(),
        config: Config::default(),
        providers: providers.iter().map(|it| -> Arc<dyn Provider> { (*it).clone() }).collect(),
        journal: Arc::new(InMemory::default()),
    }
}

fn claim_of(model: &str, purpose: Purpose) -> Claim {
    Claim { model: ModelId::new(model), ..claim("a", purpose) }
}

/// Longer than anything here takes but a request.
const A_WHILE: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn another_device_gets_a_server_when_nobody_is_inside_for_the_one_before() {
    let server = Fake::at("here", "a");
    let mut owned = Owned::new(vec![device("local", &[&server])]);
    let lease = granted(owned.ask("p/b", ROUTED)).await;
    assert_eq!(server.calls(), ["unload a", "load b"]);
    owned.reconfigure(vec![device("far", &[&server])]).await;
    let asking = owned.ask("p/a", Purpose::Plain);
    owned.until_waiting(1).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(server.calls(), [""; 0], "neither for who waits nor for what is due");
    lease.finish(DONE);
    // The owner of before clears up after itself, and what was due comes back by the next one's doing.
    granted(asking).await.finish(DONE);
    assert_eq!(server.calls(), ["unload b", "load a"]);
    owned.running.join_next().await.unwrap().unwrap();
    assert_eq!(owned.residency.directory().due(), [ModelId::new("p/a")]);
    // Also where nobody asks for it.
    let lease = granted(owned.ask("p/b", ROUTED)).await;
    owned.reconfigure(vec![device("local", &[&server])]).await;
    lease.finish(DONE);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(server.calls(), ["unload a", "load b", "unload b", "load a"]);
    assert_eq!(owned.residency.directory().due(), [ModelId::new("p/a")]);
}

#[tokio::test(start_paused = true)]
async fn devices_that_exchange_servers_wait_for_each_others_requests() {
    let (here, there) = (Fake::at("here", "a"), Fake::at("there", "b").called("q"));
    let mut owned = Owned::new(vec![device("local", &[&here]), device("far", &[&there])]);
    let leases = [granted(owned.ask("p/a", ROUTED)).await, granted(owned.ask("q/b", ROUTED)).await];
    let (p, q) = (there.called("p"), here.called("q"));
    owned.reconfigure(vec![device("local", &[&p]), device("far", &[&q])]).await;
    let asking = [owned.ask("p/a", ROUTED), owned.ask("q/b", ROUTED)];
    owned.until_waiting(2).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!([here.calls(), there.calls()], [[""; 0], [""; 0]]);
    let [first, second] = leases;
    let [of_p, of_q] = asking;
    first.finish(DONE);
    let granted_of_q = granted(of_q).await;
    assert_eq!((here.calls(), there.calls()), (vec!["unload a".to_owned(), "load b".to_owned()], vec![]));
    second.finish(DONE);
    granted(of_p).await.finish(DONE);
    assert_eq!(there.calls(), ["unload b", "load a"]);
    granted_of_q.finish(DONE);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_server_that_comes_back_to_its_owner_is_served_there() {
    let server = Fake::at("here", "a");
    let mut owned = Owned::new(vec![device("local", &[&server])]);
    let lease = granted(owned.ask("p/a", Purpose::Plain)).await;
    owned.reconfigure(vec![device("far", &[&server])]).await;
    let asking = owned.ask("p/a", Purpose::Plain);
    owned.until_waiting(1).await;
    owned.reconfigure(vec![device("local", &[&server])]).await;
    granted(asking).await.finish(DONE);
    lease.finish(DONE);
    assert_eq!(server.calls(), [""; 0]);
}

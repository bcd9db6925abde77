//! Claims that come after an exchange of the same work: its end and the claim are one to the owner.

use super::*;

fn side(key: &str, swap: Swap) -> Claim {
    claim(key, Purpose::SideCall { swap })
}

fn room_for(models: u32) -> Config {
    Config { max_loaded: NonZeroU32::new(models).unwrap(), ..Config::default() }
}

/// Makes `a` the baseline, and gives a lease on `b`, with what that took.
async fn begun(residency: &Residency, fake: &Fake) -> (Lease, Vec<String>) {
    residency.acquire(claim("a", Purpose::Plain)).await.unwrap().finish(DONE);
    let lease = residency.acquire(side("b", Swap::Wait)).await.unwrap();
    (lease, fake.calls())
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_back_in_between() {
    let fake = Fake::holding("a");
    with(&fake, room_for(1), async |residency| {
        let (mut lease, calls) = begun(&residency, &fake).await;
        assert_eq!(calls, ["unload a", "load b"]);
        for _ in 0..8 {
            lease = residency.acquire_after(lease, side("b", Swap::Wait)).await.unwrap();
        }
        assert_eq!(fake.calls(), [""; 0]);
        for (swap, key) in [(Swap::Wait, "c"), (Swap::IfIdle, "b"), (Swap::IfIdle, "c"), (Swap::IfIdle, "a")]
        {
            let before = lease.model().key().to_owned();
            lease = residency.acquire_after(lease, side(key, swap)).await.unwrap();
            assert_eq!(fake.calls(), [format!("unload {before}"), format!("load {key}")]);
        }
        // Of the last nobody comes after.
        lease.finish(DONE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_model_that_was_used_goes_before_the_one_that_is_due() {
    let fake = Fake::holding("a");
    with(&fake, room_for(2), async |residency| {
        let (lease, calls) = begun(&residency, &fake).await;
        assert_eq!(calls, ["load b"]);
        let lease = residency.acquire_after(lease, side("c", Swap::Wait)).await.unwrap();
        assert_eq!(fake.calls(), ["unload b", "load c"]);
        lease.finish(DONE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_longer_prompt_is_not_kept_out_by_its_own_lease() {
    let fake = Fake::holding("a");
    with(&fake, room_for(1), async |residency| {
        let (lease, _) = begun(&residency, &fake).await;
        let longer = Claim { prompt_tokens: 20_000, ..side("b", Swap::IfIdle) };
        let lease = residency.acquire_after(lease, longer).await.unwrap();
        assert_eq!(fake.calls(), ["unload b", "load b"]);
        lease.finish(DONE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_claims_no_swap_finds_what_is_there() {
    let fake = Fake::holding("a");
    fake.memory.lock().unwrap().push("b".to_owned());
    with(&fake, room_for(2), async |residency| {
        let lease = residency.acquire(side("b", Swap::Never)).await.unwrap();
        let lease = residency.acquire_after(lease, side("a", Swap::Never)).await.unwrap();
        let refused = residency.acquire_after(lease, side("c", Swap::Never)).await.unwrap_err();
        assert_eq!((refused.reason, fake.calls()), (Reason::WouldSwap, Vec::new()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_released_though_nobody_waits_for_the_claim_after_it() {
    let fake = Fake::holding("a");
    with(&fake, room_for(1), async |residency| {
        let (lease, _) = begun(&residency, &fake).await;
        // Dropped before it was asked for, and while it waits for the swap.
        drop(residency.acquire_after(lease, side("c", Swap::Wait)));
        let lease = residency.acquire(side("b", Swap::Wait)).await.unwrap();
        let next = residency.acquire_after(lease, side("c", Swap::Wait));
        assert!(tokio::time::timeout(Duration::from_secs(1), next).await.is_err());
        let report = residency.report().await.unwrap();
        assert_eq!((report.waiters.len(), report.instances.iter().map(|it| it.leases).sum::<u32>()), (0, 0));
        let lease = residency.acquire(claim("a", Purpose::Plain)).await.unwrap();
        lease.finish(DONE);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_devices_claim_lets_go_of_it() {
    let fakes = [("p", "one"), ("q", "two")].map(|(name, address)| {
        let memory = Arc::new(Mutex::new(vec!["a".to_owned()]));
        Arc::new(Fake { name: Some(name), address, memory, ..Fake::default() })
    });
    let journal: Arc<dyn Journal> = Arc::new(InMemory::default());
    let device = |(name, fake): (&str, &Arc<Fake>)| {
        let providers: Vec<Arc<dyn Provider>> = vec![fake.clone()];
        Device { name: name.to_owned(), config: Config::default(), providers, journal: journal.clone() }
    };
    let devices = ["here", "there"].into_iter().zip(&fakes).map(device).collect();
    let (residency, owners) = Residency::new(devices, Vec::new());
    let scenario = async {
        let (lease, _) = begun(&residency, &fakes[0]).await;
        let of_q = Claim { model: ModelId::of("q", "b"), ..side("b", Swap::Wait) };
        let lease = residency.acquire_after(lease, of_q).await.unwrap();
        assert_eq!(lease.model(), &ModelId::of("q", "b"));
        lease.finish(DONE);
        residency.shutdown().await;
    };
    futures_util::future::join(futures_util::future::join_all(owners.into_iter().map(Actor::run)), scenario)
        .await;
    // Each goes back to what was due there.
    assert_eq!(fakes[0].calls(), ["unload b", "load a"]);
    assert_eq!(fakes[1].calls(), ["unload a", "load b", "unload b", "load a"]);
}

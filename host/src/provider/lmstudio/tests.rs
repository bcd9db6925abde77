//! Against the emulator, over real sockets.

use std::sync::Arc;

use lmstudio_emulator::fault::{Kind as FaultKind, Route};
use lmstudio_emulator::{Config, Emulator, Fault, Restart};

use super::*;
use crate::id::{ModelId, RequestId, SessionKey};
use crate::residency::{self, Claim, End, Purpose, Residency, TurnAfter};
use crate::turn::verdict::{Afterwards, Swap};

fn provider(emulator: &Emulator, suffix: &str) -> LmStudio {
    LmStudio::new("lmstudio", &format!("{}{suffix}", emulator.url()), None, Locality::Local).unwrap()
}

/// Two language models of the emulator's catalogue; the first is in memory.
async fn start(change: impl FnOnce(Config) -> Config) -> (Emulator, String, String) {
    let config = Config::default().load_time(Duration::ZERO).unload_time(Duration::ZERO);
    let language = |model: &&lmstudio_emulator::Model| model.kind == lmstudio_emulator::config::Kind::Llm;
    let mut keys = config.models.iter().filter(language).map(|model| model.key.clone());
    let (first, second) = (keys.next().unwrap(), keys.next().unwrap());
    drop(keys);
    let config = change(config.loaded_with_context(&first, 8192));
    (Emulator::start(config).await.unwrap(), first, second)
}

fn request(key: &str, context_length: u32) -> LoadRequest {
    let settings = Settings { context_length: Some(context_length), ..Settings::default() };
    LoadRequest { model: ModelId::of("lmstudio", key), settings }
}

#[tokio::test]
async fn it_lists_loads_and_unloads() {
    for suffix in ["", "/", "/v1", "/api/v1/"] {
        let (emulator, first, second) = start(|config| config).await;
        let provider = provider(&emulator, suffix);
        let listed = provider.list().await.unwrap();
        let of = |key: &str| listed.iter().find(|model| model.key == key).unwrap().clone();
        assert_eq!(of(&first).instances.len(), 1);
        assert_eq!(of(&first).instances[0].settings.context_length, Some(8192));
        assert!(of(&first).max_context.is_some() && of(&first).size_bytes.is_some() && of(&first).local);
        assert!(of(&second).instances.is_empty());
        let loaded = provider.load(request(&second, 4096)).await.unwrap();
        assert_eq!((loaded.instance.as_str(), loaded.settings.context_length), (second.as_str(), Some(4096)));
        provider.unload(loaded.instance.clone()).await.unwrap();
        provider.unload(loaded.instance).await.unwrap();
    }
}

#[tokio::test]
async fn errors_are_told_apart() {
    let (emulator, first, second) = start(|config| config).await;
    let provider = provider(&emulator, "");
    assert!(matches!(provider.load(request("acme/nope", 4096)).await, Err(Error::UnknownModel(_))));
    emulator.faults([Fault::once(FaultKind::Guardrail)]);
    assert!(matches!(provider.load(request(&second, 4096)).await, Err(Error::OutOfMemory(_))));
    emulator.faults([Fault::once(FaultKind::LoadCrash)]);
    let crash = provider.load(request(&second, 4096)).await.unwrap_err();
    assert!(matches!(crash, Error::Crashed(_)) && !crash.is_transient(), "{crash}");
    emulator.stop().await;
    assert!(matches!(provider.list().await, Err(Error::Unreachable(_))));
    emulator.restart(Restart::Fresh).await.unwrap();
    assert!(provider.list().await.unwrap().iter().any(|model| model.key == first));
}

#[test]
fn only_a_load_that_somebody_broke_off_may_succeed_at_once() {
    let cases = [
        ("Failed to load model: Operation canceled.", true),
        ("Engine protocol startup was aborted.", false),
        ("The model has crashed without additional information.", false),
        ("Model loading failed due to insufficient system resources.", false),
        ("anything else", false),
    ];
    for (message, is_transient) in cases {
        let fault = wire::Fault { message: message.to_owned(), ..wire::Fault::default() };
        let error = error_of(500, fault);
        assert_eq!(error.is_transient(), is_transient, "{error}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_once_more_for_a_list_and_never_for_a_load() {
    let (emulator, _, second) = start(|config| config).await;
    let provider = provider(&emulator, "");
    provider.list().await.unwrap();
    emulator.faults([Fault::once(FaultKind::Reset).on(Route::List)]);
    provider.list().await.unwrap();
    emulator.faults([Fault::once(FaultKind::Reset).on(Route::Load)]);
    assert!(matches!(provider.load(request(&second, 4096)).await, Err(Error::Unreachable(_))));
}

#[tokio::test]
async fn a_swap_there_and_back_through_the_whole_room() {
    let (emulator, first, second) = start(|config| config).await;
    let provider = Arc::new(provider(&emulator, ""));
    let device = residency::Device {
        name: "local".to_owned(),
        config: residency::Config::default(),
        providers: vec![provider],
        journal: Arc::new(residency::InMemory::default()),
    };
    let (residency, mut owners) = Residency::new(vec![device], Vec::new());
    let actor = owners.remove(0);
    let scenario = async {
        let claim = Claim {
            model: ModelId::of("lmstudio", &second),
            purpose: Purpose::Routed { swap: Swap::Wait, afterwards: Afterwards::Restore },
            session: SessionKey::new("s"),
            request: RequestId::new("r"),
            prompt_tokens: 100,
            output_tokens: 100,
            context_length: None,
            progress: Arc::default(),
        };
        let lease = residency.acquire(claim).await.unwrap();
        let resident: Vec<String> = emulator.resident().iter().map(|it| it.id.to_string()).collect();
        assert_eq!(resident, *std::slice::from_ref(&second));
        lease.finish(End::Answered { turn: TurnAfter::Finished });
        residency.shutdown().await;
    };
    futures_util::future::join(actor.run(), scenario).await;
    let resident: Vec<(String, u32)> =
        emulator.resident().iter().map(|it| (it.id.to_string(), it.context_length)).collect();
    assert_eq!(resident, [(first, 8192)]);
}

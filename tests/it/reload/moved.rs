//! A model server gets another name, or another device, while a stream runs on it: nothing that is in use is unloaded, whoever
//! asks by the new arrangement waits, and what was due comes back by it.

use std::sync::Arc;

use lmstudio_emulator::Emulator;
use lmstudio_emulator::Fault;
use lmstudio_emulator::fault::{Kind, Route};
use pointsman_tests::live::Live;
use pointsman_tests::world::{CONTEXT, GENERAL, OTHER, World, lmstudio};
use serde_json::{Value, json};

use super::{PATIENCE, take};

/// Two models may be in memory, of which LM Studio's is one.
const ROOM: &str = "[residency.local]\nmax_loaded = 2\n";

fn asks(model: &str) -> Value {
    json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "hello"}]})
}

/// A stream of this model that goes on until it is let go.
async fn stalled(world: &World, server: &Emulator, model: &str) -> Live {
    server.faults([Fault::once(Kind::Stall { after_chunks: 2 }).on(Route::Chat).named("gate")]);
    let mut live = world.open("s", &asks(model)).await;
    live.until("data: ").await;
    live
}

/// Whoever asked stands in line, as opposed to being served at once.
async fn somebody_waits(world: &World) {
    let waiting = world.residency(|report| report.waiters.len() == 1);
    tokio::time::timeout(PATIENCE, waiting).await.expect("a request waits for the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_use_gets_another_name_and_another_device() {
    let second = Emulator::start(lmstudio()).await.unwrap();
    let world = Arc::new(World::configured(lmstudio(), ROOM).await);
    let named = |name: &str, device: &str| {
        format!("{ROOM}[providers.{name}]\nurl = \"{}\"\ndevice = \"{device}\"\n", second.url())
    };
    take(&world, &named("spare", "far")).await;
    world.residency(|report| report.baseline.len() == 2).await;

    let live = stalled(&world, &second, &format!("spare/{GENERAL}")).await;
    take(&world, &named("other", "far")).await;
    // It would have to go for this one, and looks as if nobody used it.
    let asking = world.ask_beside("t", &asks(&format!("other/{OTHER}")));
    somebody_waits(&world).await;
    assert_eq!(world.ask("u", &asks(&format!("spare/{GENERAL}"))).await.status, 404, "the name is gone");
    assert_eq!(second.resident().len(), 1);
    second.release(Some("gate"));
    let answer = live.finish().await;
    assert!(answer.is_terminated() && answer.error().is_none(), "{answer:?}");
    let answer = asking.await.unwrap();
    assert_eq!((answer.status, answer.header("x-pointsman-model")), (200, &*format!("other/{OTHER}")));

    let live = stalled(&world, &second, &format!("other/{OTHER}")).await;
    take(&world, &named("other", "local")).await;
    let asking = world.ask_beside("t", &asks(&format!("other/{GENERAL}")));
    somebody_waits(&world).await;
    second.release(Some("gate"));
    let answer = live.finish().await;
    assert!(answer.is_terminated() && answer.error().is_none(), "{answer:?}");
    assert_eq!(asking.await.unwrap().status, 200);
    let is_there = |it: &pointsman::residency::ProviderEntry| (&*it.name, &*it.device) == ("other", "local");
    world.residency(|report| report.providers.iter().any(is_there)).await;
    assert_eq!(world.resident(), [(GENERAL.to_owned(), CONTEXT)], "nobody else is concerned");
}

//! The file itself: seen when it changes, named with line and key where it is wrong, missed when it is gone; and what people do
//! with it by command and by signal.

use lmstudio_emulator::Emulator;
use pointsman_tests::world::{GENERAL, World, lmstudio};
use reqwest::Method;
use serde_json::{Value, json};

use super::{PATIENCE, admin, ask, nothing_was_unloaded, reload, take, write};
use crate::binary::{Place, in_time};

const KEYS: &str = "[keys]\nlaptop = \"first\"\n";

/// Waits until the gateway says this of its configuration by itself.
async fn until(world: &World, is_it: impl Fn(&Value) -> bool) -> Value {
    let looking = async {
        loop {
            let told = admin(world, Method::GET, "config").await;
            if is_it(&told) {
                return told;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("the gateway does not see its file")
}

/// Waits until a client with this key is answered so.
async fn until_asked(world: &World, key: &str, status: u16) {
    let asking = async { while ask(world, GENERAL, key).await.status != status {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("the change does not take effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_taken_without_a_word() {
    let world = World::configured(lmstudio(), KEYS).await;
    assert_eq!(ask(&world, GENERAL, "second").await.status, 401);
    write(&world, "[keys]\nlaptop = \"second\"\n");
    until_asked(&world, "second", 200).await;
    assert_eq!(ask(&world, GENERAL, "first").await.status, 401, "the key before is not known any more");
    nothing_was_unloaded(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_changes_nothing_and_is_named_with_line_and_key() {
    let world = World::configured(lmstudio(), KEYS).await;
    for (toml, key, message) in [
        // Cut off in the middle, as by an editor that is still writing.
        ("[keys]\nlaptop = \"sec", None, "line 2, column "),
        (
            "[keys]\nlaptop = \"second\"\n[limits]\nbody_bytes_max = 0",
            Some("limits.body_bytes_max"),
            "(line 4)",
        ),
        ("[keys]\nlaptop = \"second\"\nphone = \"\"", Some("keys.phone"), "(line 3)"),
        ("[keys]\nlaptop = \"second\"\n[nonsense]", Some("nonsense"), "(line 3)"),
    ] {
        write(&world, toml);
        let reloaded = reload(&world).await;
        let problem = &reloaded["configuration"]["problems"][0];
        assert_eq!((&reloaded["ok"], &reloaded["changed"]), (&json!(false), &json!([])), "{reloaded}");
        assert_eq!(problem["key"].as_str(), key, "{reloaded}");
        assert!(problem["message"].as_str().unwrap().contains(message), "{reloaded}");
        assert!(!reloaded.to_string().contains("sec"), "a key is told: {reloaded}");
        assert_eq!(admin(&world, Method::GET, "status").await["configuration"], reloaded["configuration"]);
        assert_eq!(ask(&world, GENERAL, "first").await.status, 200);
        assert_eq!(ask(&world, GENERAL, "second").await.status, 401);
    }
    // Nobody has to ask for the news, bad or good.
    write(&world, "[keys]\nlaptop = 1");
    until(&world, |told| told["problems"][0]["key"] == "keys.laptop").await;
    write(&world, "[keys]\nlaptop = \"second\"");
    until(&world, |told| told["problems"] == json!([])).await;
    assert_eq!(ask(&world, GENERAL, "second").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_changes_nothing() {
    let world = World::configured(lmstudio(), KEYS).await;
    let file = world.folder().join("pointsman.toml");
    let text = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let told = until(&world, |told| told["problems"] != json!([])).await;
    assert!(told["problems"][0]["message"].as_str().unwrap().contains("cannot be read"), "{told}");
    assert_eq!(ask(&world, GENERAL, "first").await.status, 200);
    assert_eq!(ask(&world, GENERAL, "").await.status, 401, "nobody is let in by an accident");
    std::fs::write(&file, text).unwrap();
    until(&world, |told| told["problems"] == json!([])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_and_limits_hold_from_the_next_request_on() {
    let world = World::configured(lmstudio(), "").await;
    let fits = |world: &World| {
        let url = format!("{}/v1/chat/completions", world.gateway.url());
        let text = "word ".repeat(1000);
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": text}]});
        let sent = world.http.post(url).json(&body).send();
        async move { sent.await.unwrap().status().as_u16() }
    };
    assert_eq!(fits(&world).await, 200);
    take(&world, "[limits]\nbody_bytes_max = 1000").await;
    assert_eq!(fits(&world).await, 413);
    take(&world, "[limits]\nbody_bytes_max = 100000\nanswer_bytes_max = 10").await;
    assert_eq!(fits(&world).await, 502, "the answer is longer than may be");
    take(&world, "allowed_hosts = [\"box.lan\"]").await;
    let url = format!("{}/v1/models", world.gateway.url());
    let page = |origin: &str| world.http.get(&url).header("origin", origin).send();
    assert_eq!(page("https://box.lan").await.unwrap().status(), 200);
    take(&world, "").await;
    assert_eq!(page("https://box.lan").await.unwrap().status(), 403);
    nothing_was_unloaded(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_file_takes_one_that_appears_where_it_is_looked_for() {
    let place = Place::new();
    let lmstudio = Emulator::start(lmstudio()).await.unwrap();
    let base = format!("{}/v1", lmstudio.url());
    let mut serving = place.serve(&[("OPENAI_API_BASE", &base), ("POINTSMAN_LISTEN", "127.0.0.1:0")]);
    let url = serving.url().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = || async { http.get(format!("{url}/v1/models")).send().await.unwrap().status() };
    assert_eq!(status().await, 200);
    place.write("pointsman.toml", "[keys]\nlaptop = \"k\"\n");
    in_time("the file is not seen", &serving, async { while status().await != 401 {} }).await;
    serving.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_file_is_gone_no_other_one_is_taken_in_its_place() {
    let place = Place::new();
    let lmstudio = Emulator::start(lmstudio()).await.unwrap();
    let base = format!("{}/v1", lmstudio.url());
    let home = place.path().join("home");
    std::fs::create_dir_all(home.join("pointsman")).unwrap();
    std::fs::write(home.join("pointsman/pointsman.toml"), "[keys]\nlaptop = \"other\"\n").unwrap();
    place.write("pointsman.toml", "listen = \"127.0.0.1:0\"\n[keys]\nlaptop = \"k\"\n");
    let home = home.to_str().unwrap();
    let mut serving = place.serve(&[("OPENAI_API_BASE", &base), ("XDG_CONFIG_HOME", home)]);
    let url = serving.url().await;
    std::fs::remove_file(place.path().join("pointsman.toml")).unwrap();
    let gateway = [("POINTSMAN_URL", url.as_str()), ("OPENAI_API_BASE", base.as_str())];
    let reloaded = place.run("pointsman", &["config", "reload"], &gateway).await;
    assert!(reloaded.code == Some(1) && reloaded.out.contains("is not there any more"), "{reloaded:?}");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = |key: &'static str| http.get(format!("{url}/v1/models")).bearer_auth(key).send();
    assert_eq!(status("other").await.unwrap().status(), 401);
    assert_eq!(status("k").await.unwrap().status(), 200);
    place.write("pointsman.toml", "[keys]\nlaptop = \"k2\"\n");
    in_time("the file is not taken when it is back", &serving, async {
        while status("k2").await.unwrap().status() != 200 {}
    })
    .await;
    serving.kill().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_hangs_keeps_nobody_from_stopping_the_gateway() {
    let place = Place::new();
    let lmstudio = Emulator::start(lmstudio()).await.unwrap();
    let base = format!("{}/v1", lmstudio.url());
    place.write("pointsman.toml", "listen = \"127.0.0.1:0\"\n");
    let mut serving = place.serve(&[("OPENAI_API_BASE", &base)]);
    serving.url().await;
    // Nobody ever writes into it, so whoever reads it waits.
    let file = place.path().join("pointsman.toml");
    let next = place.path().join("next.toml");
    let made = tokio::process::Command::new("mkfifo").arg(&next).status().await.unwrap();
    assert!(made.success());
    std::fs::rename(next, file).unwrap();
    serving.signal("HUP").await;
    assert_eq!(serving.terminate().await, Some(0));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn commands_and_the_hang_up_signal_have_the_file_taken() {
    let place = Place::new();
    let lmstudio = Emulator::start(lmstudio()).await.unwrap();
    let base = format!("{}/v1", lmstudio.url());
    place.write("pointsman.toml", "listen = \"127.0.0.1:0\" # Mine.\n");
    let mut serving = place.serve(&[("OPENAI_API_BASE", &base)]);
    let url = serving.url().await;
    let gateway = [("POINTSMAN_URL", url.as_str()), ("OPENAI_API_BASE", base.as_str())];
    let run = |arguments: &'static [&'static str]| place.run("pointsman", arguments, &gateway);

    let set = run(&["config", "set", "keys.laptop", "k", "--json"]).await;
    // The gateway may have seen the file before it was asked to.
    assert_eq!((set.code, &set.json()["gateway"]["ok"]), (Some(0), &json!(true)), "{set:?}");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = |key: &'static str| http.get(format!("{url}/v1/models")).bearer_auth(key).send();
    assert_eq!(status("wrong").await.unwrap().status(), 401, "it is in force when the command says so");
    assert_eq!(status("k").await.unwrap().status(), 200);

    let set = run(&["config", "set", "listen", "127.0.0.1:9"]).await;
    assert!(set.code == Some(0) && set.out.contains("`listen` takes effect at the next start"), "{set:?}");
    place.write("pointsman.toml", "listen = \"127.0.0.1:0\"\n[keys]\nlaptop = \"k2\"\n");
    serving.signal("HUP").await;
    in_time("the signal is not heard", &serving, async {
        while status("k2").await.unwrap().status() != 200 {}
    })
    .await;
    place.write("pointsman.toml", "[limits]\nbody_timeout = \"0s\"\n");
    let reloaded = run(&["config", "reload"]).await;
    assert!(reloaded.code == Some(1) && reloaded.out.contains("`limits.body_timeout`"), "{reloaded:?}");
    assert!(reloaded.out.contains("(line 2)") && reloaded.out.contains("pointsman.toml"), "{reloaded:?}");
    serving.kill().await;
}

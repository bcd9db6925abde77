//! Components that are tried before they serve: beside the one that does, and on turns that were recorded. What they say
//! is compared, and what they do has no effect.

#![cfg(test)]

use pointsman_tests::guests::guest;
use serde_json::{Value, json};

use crate::binary::{Place, in_time};
use crate::manage::{Desk, Gateway, NOWHERE};

/// What `beholds` imports.
const ALL: &str = "models,residency=all,sessions,conversation,kv,http=127.0.0.1:9";

/// Has `beholds` do all that has an effect, on the model that is in memory.
const ACT: &str = "act gpt-oss-20b";

async fn installed(gateway: &Gateway, guest: &str, name: &str, grants: &str) {
    let component = gateway.desk.component(guest);
    gateway.desk.json(&["skill", "install", &component, "--name", name, "--grant", grants]).await;
}

/// The numbers of a comparison: asked, alike, differing, failed, skipped.
fn counts(tried: &Value) -> [u64; 5] {
    ["asked", "alike", "differing", "failed", "skipped"]
        .map(|key| tried["comparison"][key].as_u64().unwrap_or_else(|| panic!("{key}: {tried}")))
}

/// Asks again until so many turns were seen: they are recorded and compared beside the requests.
async fn seen(desk: &Desk, arguments: &[&str], count: u64) -> Value {
    let asking = async {
        loop {
            let answer = desk.json(arguments).await;
            let tried = if answer["shadows"].is_array() { answer["shadows"][0].clone() } else { answer };
            if tried["comparison"]["asked"].as_u64() >= Some(count) {
                return tried;
            }
        }
    };
    in_time("not all turns were seen", arguments, asking).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_is_asked_again_with_the_same_time_chance_and_models() {
    let gateway = Gateway::start(Place::new()).await;
    let desk = &gateway.desk;
    installed(&gateway, "beholds", "beholds", ALL).await;
    for words in ["one", "two", ACT] {
        assert_eq!(gateway.ask(words).await.0.as_deref(), Some("beholds"));
    }
    let component = desk.component("beholds");
    // The very same component says the very same, though the clock has gone on and chance is never the same. What it
    // counts goes on from where it is: two, and then two again, since a replay keeps nothing.
    for _ in 0..2 {
        let tried = seen(desk, &["skill", "replay", &component], 3).await;
        assert_eq!(counts(&tried), [3, 2, 1, 0, 0], "{tried}");
        let difference = &tried["comparison"]["differences"][0];
        assert_eq!(difference["text"], ACT, "{tried}");
        let (said, now) = (&difference["said"]["says"], &difference["candidate"]["says"]);
        assert!(said.as_str().unwrap().starts_with("Ok(1.0) Ok(()) Ok(()) Err("), "{said}");
        assert_eq!(now, "Ok(2.0) Ok(()) Ok(()) Err(\"unavailable\")");
    }
    // What was picked, wished and counted is what was picked, wished and counted by who served.
    let (_, answer) = gateway.ask(ACT).await;
    assert!(answer.starts_with("Ok(2.0)"), "{answer}");

    // Another component differs, and says where; one that is not asked about a name that nobody has, differs from nothing.
    let other = desk.component("policy-1");
    let tried = seen(desk, &["skill", "replay", &other, "--name", "beholds"], 4).await;
    assert_eq!((counts(&tried), &tried["active"]), ([4, 0, 4, 0, 0], &json!("1.0.0")), "{tried}");
    let tried = seen(desk, &["skill", "replay", &other, "--name", "nobody"], 4).await;
    assert_eq!(
        (&tried["active"], &tried["comparison"]["differences"][0]["said"]["verdict"]),
        (&Value::Null, &json!("pass"))
    );
    // Nothing is as recent as that.
    let tried = desk.json(&["skill", "replay", &other, "--since", "0s"]).await;
    assert_eq!(counts(&tried), [0; 5], "{tried}");
    let text = desk.text(&["skill", "replay", &other, "--name", "beholds"]).await;
    assert!(text.contains("asked about 4 turns: 4 differing") && text.contains("reply (policy 1)"), "{text}");

    // The same without the gateway, on its data folder.
    let Gateway { desk, serving, .. } = gateway;
    assert_eq!(serving.terminate().await, Some(0));
    let desk = Desk { url: None, ..desk };
    let tried = desk.json(&["skill", "replay", &component]).await;
    assert_eq!(counts(&tried), [4, 2, 2, 0, 0], "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_sees_what_the_skill_sees_and_changes_nothing() {
    let gateway = Gateway::start(Place::new()).await;
    let desk = &gateway.desk;
    installed(&gateway, "policy-1", "policy", "models").await;
    let candidate = desk.place.write("candidate.wasm", guest("policy-2"));
    let begun = desk.json(&["skill", "shadow", &candidate, "--name", "policy"]).await;
    assert_eq!((&begun["version"], &begun["active"]), (&json!("2.0.0"), &json!("1.0.0")), "{begun}");
    for _ in 0..3 {
        assert_eq!(gateway.ask("go").await.1, "policy 1");
    }
    let tried = seen(desk, &["skill", "shadow"], 3).await;
    assert_eq!(counts(&tried), [3, 0, 3, 0, 0], "{tried}");
    // The same component says the same; one that crashes is counted and harms nobody.
    let same = desk.component("policy-1");
    desk.json(&["skill", "shadow", &same, "--name", "policy"]).await;
    let traps = desk.component("traps");
    desk.json(&["skill", "shadow", &traps]).await;
    for _ in 0..7 {
        assert_eq!(gateway.ask("go").await.1, "policy 1");
    }
    let tried = seen(desk, &["skill", "shadow"], 7).await;
    assert_eq!((counts(&tried), &tried["name"]), ([7, 7, 0, 0, 0], &json!("policy")), "{tried}");
    let stopped = desk.json(&["skill", "shadow", "--stop", "traps"]).await;
    assert_eq!(counts(&stopped)[2..4], [7, 7], "{stopped}");
    assert_eq!(desk.json(&["skill", "show", "policy"]).await["state"], "active");
    assert!(
        desk.json(&["skill", "list"]).await["skills"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["name"] != "traps")
    );

    // An upgrade goes on being compared; a skill that another decided before is not.
    desk.json(&["skill", "install", &candidate, "--name", "policy"]).await;
    assert_eq!(gateway.ask("go").await.1, "policy 2");
    let tried = seen(desk, &["skill", "shadow"], 8).await;
    assert_eq!((counts(&tried)[2], &tried["active"]), (1, &json!("2.0.0")), "{tried}");
    desk.json(&["skill", "shadow", "--stop", "policy"]).await;
    let text = desk.text(&["skill", "shadow"]).await;
    assert!(text.contains("no component is being tried"), "{text}");
    desk.fails(&["skill", "shadow", "--stop", "policy"], "no candidate of policy looks on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shadow_does_has_no_effect() {
    let gateway = Gateway::start(Place::new()).await;
    let desk = &gateway.desk;
    installed(&gateway, "beholds", "beholds", ALL).await;
    let component = desk.component("beholds");
    desk.json(&["skill", "shadow", &component]).await;
    for count in 1..=3 {
        let (_, answer) = gateway.ask(ACT).await;
        assert!(answer.starts_with(&format!("Ok({count}.0)")), "{answer}");
    }
    // Its own count goes on in its own store, over what is kept.
    let tried = seen(desk, &["skill", "shadow"], 3).await;
    assert_eq!(counts(&tried)[0], 3, "{tried}");
    assert_eq!(gateway.ask("three").await.0.as_deref(), Some("beholds"));
    let tried = seen(desk, &["skill", "shadow"], 4).await;
    let differences = tried["comparison"]["differences"].as_array().unwrap();
    assert!(differences.iter().all(|it| it["text"] == ACT), "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recorded_where_nothing_is_to_be() {
    let gateway = Gateway::start(Place::new()).await;
    installed(&gateway, "policy-1", "policy", "models").await;
    gateway.ask("remember this").await;
    let component = gateway.desk.component("policy-1");
    seen(&gateway.desk, &["skill", "replay", &component, "--name", "policy"], 1).await;
    let Gateway { desk, serving, .. } = gateway;
    assert_eq!(serving.terminate().await, Some(0));
    let desk = Desk { url: None, ..desk };
    let config = desk.place.write("off.toml", "[recording]\nenabled = false\n");
    let order = ["skill", "replay", &component, "--name", "policy"];
    let off = desk.place.run("pointsman", &order, &[NOWHERE[0], ("POINTSMAN_CONFIG", &config)]).await;
    assert!(off.code == Some(1) && off.err.contains("recording.enabled = true"), "{off:?}");
    // What had been kept is gone with it.
    let tried = desk.json(&["skill", "replay", &component, "--name", "policy"]).await;
    assert_eq!(counts(&tried), [0; 5], "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tried_says_why() {
    let desk = Desk::without_gateway();
    let policy = desk.component("policy-1");
    desk.fails(&["skill", "shadow", &policy], "`pointsman skill replay`").await;
    desk.fails(&["skill", "shadow"], "no gateway is running").await;
    desk.fails(&["skill", "replay", &desk.component("guards")], "has no `request-hook`").await;
    let garbage = desk.place.write("garbage.wasm", "not a component");
    desk.fails(&["skill", "replay", &garbage], "is not WebAssembly").await;
    let soon = desk.run(&["skill", "replay", &policy, "--since", "soon"]).await;
    assert!(soon.code == Some(2) && soon.err.contains("--since"), "{soon:?}");
}

//! Skills installed and changed by the command line, with the gateway running and without; signatures; conversations and
//! the models that people pick for them.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lmstudio_emulator::Emulator;
use pointsman_tests::guests::guest;
use pointsman_tests::world::{OTHER, lmstudio};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::binary::{Ended, Place, Serving, in_time};

/// Nothing listens there: no gateway runs.
pub(crate) const NOWHERE: [(&str, &str); 1] = [("POINTSMAN_LISTEN", "127.0.0.1:1")];

/// A data folder with what its commands need.
pub(crate) struct Desk {
    pub(crate) place: Place,
    /// Names the gateway; none where none runs.
    pub(crate) url: Option<String>,
}

/// A gateway of the program's own in front of an emulated LM Studio.
pub(crate) struct Gateway {
    pub(crate) desk: Desk,
    pub(crate) serving: Serving,
    lmstudio: Emulator,
    http: reqwest::Client,
}

impl Desk {
    pub(crate) fn without_gateway() -> Self {
        Self { place: Place::new(), url: None }
    }

    pub(crate) fn component(&self, name: &str) -> String {
        self.place.write(&format!("{name}.wasm"), guest(name))
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        match &self.url {
            Some(url) => self.place.run("pointsman", arguments, &[("POINTSMAN_URL", url)]).await,
            None => self.place.run("pointsman", arguments, &NOWHERE).await,
        }
    }

    /// What it prints for programs, where it succeeds.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.json()
    }

    /// What it prints for people, where it succeeds.
    pub(crate) async fn text(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.out
    }

    /// It fails, and says this.
    pub(crate) async fn fails(&self, arguments: &[&str], part: &str) {
        let ended = self.run(arguments).await;
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(part), "{arguments:?}: {part:?} is missing: {ended:?}");
    }
}

impl Gateway {
    pub(crate) async fn start(place: Place) -> Self {
        let lmstudio = Emulator::start(lmstudio()).await.unwrap();
        let serving = serve(&place, &lmstudio);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut gateway = Self { desk: Desk { place, url: None }, serving, lmstudio, http };
        gateway.ready().await;
        gateway
    }

    /// Listens and knows the models.
    async fn ready(&mut self) {
        let url = self.serving.url().await;
        let ready = async {
            while !self.http.get(format!("{url}/readyz")).send().await.unwrap().status().is_success() {}
        };
        in_time("the models are not known", &url, ready).await;
        self.desk.url = Some(url);
    }

    async fn restart(self) -> Self {
        let Self { desk, serving, lmstudio, http } = self;
        serving.kill().await;
        let serving = serve(&desk.place, &lmstudio);
        let mut gateway = Self { desk, serving, lmstudio, http };
        gateway.ready().await;
        gateway
    }

    /// What is answered to these words, and by which skill.
    pub(crate) async fn ask(&self, words: &str) -> (Option<String>, String) {
        let url = format!("{}/v1/chat/completions", self.desk.url.as_ref().unwrap());
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": words}]});
        let sent = self.http.post(url).header("x-session-affinity", "talk").json(&body).send();
        let answer = in_time("no answer", words, sent).await.unwrap();
        let skill = answer.headers().get("x-pointsman-skill").map(|it| it.to_str().unwrap().to_owned());
        let answer: Value = answer.json().await.unwrap();
        (skill, answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned())
    }
}

fn serve(place: &Place, lmstudio: &Emulator) -> Serving {
    let base = format!("{}/v1", lmstudio.url());
    place.serve(&[("OPENAI_API_BASE", &base), ("POINTSMAN_LISTEN", "127.0.0.1:0")])
}

fn has(list: &Value, text: &str) -> bool {
    list.as_array().unwrap().iter().any(|it| it == text)
}

/// One skill's life, from its first version to its end.
async fn one_life(desk: &Desk) {
    let (speaks, asks) = (desk.component("speaks"), desk.component("asks"));
    let first = desk.json(&["skill", "install", &speaks, "--name", "x"]).await;
    assert_eq!(first["outcome"], "activated", "{first}");
    assert_eq!((&first["look"]["name"], &first["look"]["version"]), (&json!("x"), &json!("1.0.0")));
    assert_eq!((&first["look"]["imports"], &first["look"]["active"]), (&json!([]), &Value::Null));
    let again = desk.json(&["skill", "install", &speaks, "--name", "x"]).await;
    assert_eq!(again["outcome"], "unchanged", "{again}");

    // It asks for more: it waits, and whoever asks is told.
    let text = desk.text(&["skill", "install", &asks, "--name", "x"]).await;
    for part in ["not granted", "waits x 1.0.0", "`pointsman skill upgrade x`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let shown = desk.json(&["skill", "show", "x"]).await;
    assert!(has(&shown["pending"]["wants"], "models"), "{shown}");
    assert_eq!(
        (&shown["versions"][0]["digest"], &shown["versions"][0]["active"]),
        (&first["look"]["digest"], &json!(true))
    );
    assert!(desk.text(&["skill", "list"]).await.contains("waits x 1.0.0"));
    let doctor = desk.run(&["doctor"]).await.out;
    assert!(
        doctor.contains("of x waits for approval") && doctor.contains("pointsman skill upgrade x"),
        "{doctor}"
    );

    let approved = desk.json(&["skill", "upgrade", "x"]).await;
    assert!(approved["pending"].is_null() && has(&approved["denied"], "models"), "{approved}");
    assert_eq!(approved["versions"][1]["active"], true, "{approved}");
    let granted = desk.json(&["skill", "grant", "x", "models", "http=127.0.0.1,http=a.example"]).await;
    assert_eq!(granted["grants"], json!(["models", "http=127.0.0.1", "http=a.example"]));
    let revoked = desk.json(&["skill", "revoke", "x", "http"]).await;
    assert!(revoked["grants"] == json!(["models"]) && has(&revoked["denied"], "http"), "{revoked}");
    desk.fails(&["skill", "upgrade", "x"], "no version of x waits").await;

    let before = desk.json(&["skill", "rollback", "x"]).await;
    assert_eq!((&before["versions"][0]["active"], &before["denied"]), (&json!(true), &json!([])), "{before}");
    desk.fails(&["skill", "rollback", "x"], "no earlier version").await;
    assert_eq!(desk.json(&["skill", "disable", "x"]).await["state"], "disabled");
    let resting = desk.json(&["skill", "show", "x"]).await;
    assert_eq!((&resting["state"], &resting["version"]), (&json!("disabled"), &json!("1.0.0")));
    assert_eq!(desk.json(&["skill", "enable", "x"]).await["state"], "active");

    let garbage = desk.place.write("garbage.wasm", "not a component");
    desk.fails(&["skill", "install", &garbage, "--name", "x"], "is not WebAssembly").await;
    desk.fails(&["skill", "install", &garbage, "--name", "X y"], "--name").await;
    let huge = desk.place.write("huge.wasm", "");
    std::fs::File::options().write(true).open(&huge).unwrap().set_len(100 << 20).unwrap();
    desk.fails(&["skill", "install", &huge, "--name", "x"], "has more than 67108864 bytes").await;
    desk.fails(&["skill", "install", "nowhere.wasm"], "nowhere.wasm").await;
    assert_eq!(desk.json(&["skill", "show", "x"]).await["state"], "active");

    assert_eq!(desk.json(&["skill", "remove", "x"]).await, json!({"removed": "x", "skill": null}));
    for arguments in [
        ["skill", "show", "x"],
        ["skill", "enable", "x"],
        ["skill", "remove", "x"],
        ["skill", "upgrade", "x"],
    ] {
        desk.fails(&arguments, "no skill is called x").await;
    }
    desk.fails(&["skill", "remove", "model-swapper"], "pointsman skill disable model-swapper").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_lives_where_no_gateway_runs() {
    let desk = Desk::without_gateway();
    one_life(&desk).await;
    assert_eq!(desk.run(&["skill", "install"]).await.code, Some(2));
    for (source, part) in [("ftp://example.com/x", "https://"), ("oci://box/x", "oci://box:443/")] {
        let wrong = desk.run(&["skill", "install", source]).await;
        assert!(wrong.code == Some(2) && wrong.err.contains(part), "{wrong:?}");
    }
    for arguments in [&["sessions", "list"][..], &["use", "default"]] {
        desk.fails(arguments, "pointsman serve").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_lives_in_a_gateway() {
    let gateway = Gateway::start(Place::new()).await;
    one_life(&gateway.desk).await;
    // A gateway that listens where nobody expects it has the folder all the same.
    let beside = gateway.desk.place.run("pointsman", &["skill", "list"], &NOWHERE).await;
    assert!(beside.code == Some(1) && beside.err.contains("--url"), "{beside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_with_it_is_granted() {
    let desk = Desk::without_gateway();
    let asks = desk.component("asks");
    let arguments =
        ["skill", "install", &asks, "--grant", "models,residency=all", "--grant", "http=a.example"];
    let installed = desk.json(&arguments).await;
    let skill = &installed["skill"];
    assert_eq!(skill["grants"], json!(["models", "residency=all", "http=a.example"]), "{installed}");
    assert!(has(&skill["denied"], "kv") && has(&installed["look"]["wants"], "kv"), "{installed}");
    // A yes grants nothing, and lets what asks for more serve.
    desk.json(&["skill", "install", &desk.component("speaks"), "--name", "y"]).await;
    let pressed = desk.json(&["skill", "install", &asks, "--name", "y", "--yes"]).await;
    assert_eq!(
        (&pressed["outcome"], &pressed["skill"]["grants"]),
        (&json!("activated"), &json!([])),
        "{pressed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_uses_what_was_installed_before_it_ran_and_while_it_runs() {
    let desk = Desk::without_gateway();
    let text = desk.text(&["skill", "install", &desk.component("speaks")]).await;
    assert!(text.contains("the gateway uses it when it starts"), "{text}");
    let gateway = Gateway::start(desk.place).await;
    let by = |skill: &str, text: &str| (Some(skill.to_owned()), text.to_owned());
    assert_eq!(gateway.ask("say hello").await, by("speaks", "hello"));
    gateway.desk.json(&["skill", "disable", "speaks"]).await;
    assert_eq!(gateway.ask("say hello").await.0, None);
    gateway
        .desk
        .json(&["skill", "install", &gateway.desk.component("counts-warm"), "--name", "counts"])
        .await;
    assert_eq!(gateway.ask("say hello").await, by("counts", "1"));
    let gateway = gateway.restart().await;
    assert_eq!(gateway.ask("say hello").await, by("counts", "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_how_to_go_back_from_a_version_that_fails() {
    let gateway = Gateway::start(Place::new()).await;
    let desk = &gateway.desk;
    desk.json(&["skill", "install", &desk.component("traps")]).await;
    let quarantined = async {
        while desk.json(&["skill", "show", "traps"]).await["state"] != "quarantined" {
            gateway.ask("hello").await;
        }
    };
    in_time("it is not quarantined", "traps", quarantined).await;
    let doctor = desk.run(&["doctor"]).await;
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    for part in ["pointsman skill show traps", "pointsman skill rollback traps"] {
        assert!(doctor.out.contains(part), "{part}: {doctor:?}");
    }
    let shown = desk.json(&["skill", "show", "traps"]).await;
    assert!(
        shown["versions"][0]["quarantined"].as_str().unwrap().contains("cannot make sense of"),
        "{shown}"
    );
    desk.fails(&["skill", "install", "traps.wasm"], "--force").await;
    let forced = desk.json(&["skill", "install", "traps.wasm", "--force"]).await;
    assert_eq!(forced["skill"]["state"], "active", "{forced}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_signatures_of_trusted_keys_count() {
    let desk = Desk::without_gateway();
    let speaks = desk.component("speaks");
    let signed = desk.json(&["skill", "sign", &speaks, "--key", "acme.key"]).await;
    assert_eq!((&signed["name"], &signed["key_is_new"]), (&json!("speaks"), &json!(true)), "{signed}");
    assert!(Path::new(signed["signature"].as_str().unwrap()).exists());
    let key = signed["public_key"].as_str().unwrap();

    assert!(desk.text(&["skill", "trust"]).await.contains("nobody's"));
    desk.fails(&["skill", "install", &speaks], &format!("pointsman skill trust SIGNER {key}")).await;
    let trusted = json!({"trusted": [{"signer": "acme", "key": key}]});
    assert_eq!(desk.json(&["skill", "trust", "acme", key]).await, trusted);
    desk.fails(&["skill", "install", &speaks, "--name", "other"], "the signature is for").await;
    let installed = desk.json(&["skill", "install", &speaks]).await;
    assert_eq!(installed["look"]["signed_by"], "acme", "{installed}");

    let stranger = desk.json(&["skill", "sign", &speaks, "--key", "stranger.key"]).await;
    assert_ne!(stranger["public_key"], json!(key));
    desk.fails(&["skill", "install", &speaks], "is not trusted").await;
    desk.place.write("speaks.wasm", guest("counts-warm"));
    desk.fails(&["skill", "install", &speaks], "for other bytes").await;
    desk.fails(&["skill", "trust", "acme", stranger["public_key"].as_str().unwrap()], "another key").await;
    assert_eq!(desk.json(&["skill", "trust", "--remove", "acme"]).await, json!({"trusted": []}));
    desk.fails(&["skill", "trust", "--remove", "acme"], "no signer is called").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_pick_models_and_see_conversations() {
    let gateway = Gateway::start(Place::new()).await;
    let desk = &gateway.desk;
    let other = format!("lmstudio/{OTHER}");
    assert!(gateway.ask("hello").await.1.contains("You wrote: hello"));
    let key = {
        let sessions = desk.json(&["sessions", "list"]).await;
        assert_eq!(
            (&sessions["picked_for_all"], sessions["sessions"].as_array().unwrap().len()),
            (&Value::Null, 1)
        );
        assert!(sessions["sessions"][0]["last"].as_str().unwrap().contains("gpt-oss-20b"), "{sessions}");
        sessions["sessions"][0]["session"].as_str().unwrap().to_owned()
    };
    let used = desk.json(&["use", OTHER, "--session", &key]).await;
    assert_eq!(used, json!({"model": other, "session": key}));
    assert!(gateway.ask("hello").await.1.contains(OTHER));
    let shown = desk.json(&["sessions", "show", &key]).await;
    assert_eq!(shown["picked"], json!(other), "{shown}");
    desk.fails(&["use", "nobody"], "known are").await;

    assert_eq!(desk.json(&["sessions", "reset", &key]).await, json!({"reset": key}));
    for verb in ["show", "reset"] {
        desk.fails(&["sessions", verb, &key], "pointsman sessions list").await;
    }
    assert!(desk.text(&["use", OTHER]).await.contains("every conversation uses"));
    let gateway = gateway.restart().await;
    let desk = &gateway.desk;
    assert_eq!(desk.json(&["sessions", "list"]).await["picked_for_all"], json!(other));
    desk.json(&["use", "default"]).await;
    assert_eq!(desk.json(&["sessions", "list"]).await, json!({"picked_for_all": null, "sessions": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_as_it_happens() {
    let gateway = Gateway::start(Place::new()).await;
    gateway.ask("before anybody looks").await;
    let variables = [("POINTSMAN_URL", gateway.desk.url.as_deref().unwrap())];
    let mut follow = gateway.desk.place.command("pointsman", &["activity", "--follow", "--json"], &variables);
    let mut follow = follow.spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = in_time("nothing is told", "activity", lines.next_line()).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let first = next().await;
    gateway.ask("while somebody looks").await;
    let second = next().await;
    assert_ne!(first["request"], second["request"]);
    assert_eq!((&first["status"], &second["session"]), (&json!(200), &first["session"]));
    follow.kill().await.unwrap();
    let all = gateway.desk.text(&["activity", "--limit", "1"]).await;
    assert!(all.lines().count() == 1 && all.contains(second["request"].as_str().unwrap()), "{all}");
}

/// Every file below a folder, with what is in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            found.insert(path, Vec::new());
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_changes_nothing() {
    let desk = Desk::without_gateway();
    let data = desk.place.path().join("data");
    let looks =
        [&["skill", "list"][..], &["skill", "show", "model-swapper"], &["skill", "trust"], &["doctor"]];
    for look in looks {
        desk.run(look).await;
    }
    assert!(!data.exists(), "nothing was there, and nothing is made");

    desk.json(&["skill", "install", &desk.component("speaks")]).await;
    // Compiled again by whoever keeps it, not by whoever looks.
    std::fs::remove_dir_all(data.join("skill-store/compiled")).unwrap();
    let before = files(&data);
    for look in looks {
        desk.run(look).await;
    }
    assert!(desk.text(&["skill", "list"]).await.contains("speaks"));
    assert_eq!(files(&data), before);

    let lock = data.join("skill-store/skills.lock");
    std::fs::write(&lock, "version = 7").unwrap();
    let before = files(&data);
    desk.fails(&["skill", "list"], "skills.lock cannot be used: it is of version 7").await;
    let doctor = desk.run(&["doctor"]).await;
    assert!(doctor.code == Some(1) && doctor.out.contains("skills.lock cannot be used"), "{doctor:?}");
    assert!(doctor.out.contains("model-swapper") && doctor.out.contains("is in use"), "{doctor:?}");
    assert_eq!(files(&data), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_may_be_longer_than_a_request() {
    let place = Place::new();
    place.write("pointsman.toml", "[limits]\nbody_bytes_max = 1000\n");
    let gateway = Gateway::start(place).await;
    let component = gateway.desk.component("speaks");
    assert!(std::fs::metadata(&component).unwrap().len() > 1000);
    let installed = gateway.desk.json(&["skill", "install", &component]).await;
    assert_eq!(installed["outcome"], "activated", "{installed}");
    // Requests are as short as ever, and whoever has no token may not even bring a component.
    let (url, long) = (gateway.desk.url.as_deref().unwrap(), "x".repeat(100_000));
    for (path, status) in [("v1/chat/completions", 413), ("pointsman/v1/skills/look?name=x", 401)] {
        let sent = gateway.http.post(format!("{url}/{path}")).body(long.clone()).send().await.unwrap();
        assert_eq!(sent.status(), status, "{path}");
    }
    // Orders that are no component stay short, too.
    let token = std::fs::read_to_string(gateway.desk.place.path().join("data/admin-token")).unwrap();
    let order = gateway.http.post(format!("{url}/pointsman/v1/skills/trust")).bearer_auth(token.trim());
    assert_eq!(order.body(long).send().await.unwrap().status(), 413);
}

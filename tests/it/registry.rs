//! Skills installed from a real registry on this machine: by tag and digest, signed, with a login; and everything that a
//! registry may hold or do that is no skill.

#![cfg(test)]

use std::collections::BTreeMap;

use pointsman_tests::guests::guest;
use pointsman_tests::registry::{
    self, Door, INDEX, MANIFEST, Registry, USER, WASM_CONFIG, WASM_LAYER, descriptor, digest, manifest,
};
use pointsman_tests::world::beside;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::manage::Desk;

/// The least that is WebAssembly: a core module with nothing in it.
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// What is no WebAssembly at all.
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

fn source(registry: &Registry, rest: &str) -> String {
    format!("oci://{}/{rest}", registry.address())
}

/// Pushes a guest as `acme/policy`; its manifest's digest.
async fn push(registry: &Registry, guest_name: &str, tag: &str) -> String {
    registry.push_component("acme/policy", tag, &guest(guest_name), &BTreeMap::new()).await
}

/// Writes down who the user is to a registry, as `docker login` does.
fn login(desk: &Desk, config: &Value) {
    std::fs::create_dir_all(desk.place.path().join(".docker")).unwrap();
    desk.place.write(".docker/config.json", config.to_string());
}

/// `name:password` as it stands in that file: `otter:pond`, and the same otter with the wrong one.
const OTTER: &str = "b3R0ZXI6cG9uZA==";
const OTTER_ASTRAY: &str = "b3R0ZXI6bGFrZQ==";

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_comes_by_tag_and_by_digest_and_is_upgraded_by_another_tag() {
    if registry::is_skipped() {
        return;
    }
    let (registry, desk) = (Registry::start().await, Desk::without_gateway());
    let first = push(&registry, "policy-1", "1").await;
    let second = push(&registry, "policy-2", "latest").await;
    let by_tag = source(&registry, "acme/policy:1");
    let installed = desk.json(&["skill", "install", &by_tag]).await;
    assert_eq!((&installed["outcome"], &installed["look"]["name"]), (&json!("activated"), &json!("policy")));
    assert_eq!(installed["look"]["digest"], json!(digest(&guest("policy-1"))), "{installed}");
    // What is written down says what was fetched, whatever becomes of the tag, and can be given again.
    let pinned = format!("{by_tag}@{first}");
    let shown = desk.json(&["skill", "show", "policy"]).await;
    assert_eq!(shown["versions"][0]["source"], json!(pinned), "{shown}");
    assert!(desk.text(&["skill", "install", &pinned]).await.contains(&first));

    // Without a tag, it is `latest`.
    let upgraded = desk.json(&["skill", "upgrade", "policy", &source(&registry, "acme/policy")]).await;
    assert_eq!((&upgraded["outcome"], &upgraded["look"]["version"]), (&json!("activated"), &json!("2.0.0")));
    let latest = source(&registry, &format!("acme/policy:latest@{second}"));
    let shown = desk.json(&["skill", "show", "policy"]).await;
    assert_eq!(shown["versions"][1]["source"], json!(latest), "{shown}");

    let by_digest = source(&registry, &format!("acme/policy@{first}"));
    desk.fails(&["skill", "install", &by_digest], "--force").await;
    let forced = desk.json(&["skill", "install", &by_digest, "--force"]).await;
    assert_eq!(forced["look"]["version"], "1.0.0", "{forced}");

    // A tag that moves on is another version, and the digest stays what it was.
    push(&registry, "policy-2", "1").await;
    assert_eq!(desk.json(&["skill", "upgrade", "policy", &by_tag]).await["look"]["version"], "2.0.0");
    let again = desk.json(&["skill", "install", &pinned, "--name", "other"]).await;
    assert_eq!(again["look"]["version"], "1.0.0", "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused_and_says_what_it_is() {
    if registry::is_skipped() {
        return;
    }
    let (registry, desk) = (Registry::start().await, Desk::without_gateway());
    let wasm = guest("policy-1");
    let (config, nothing) = (descriptor(WASM_CONFIG, b"{}"), BTreeMap::new());
    for blob in [b"{}".as_slice(), &wasm, CORE_MODULE] {
        registry.push_blob("odd", blob).await;
    }
    let layer = descriptor(WASM_LAYER, &wasm);
    let image = "application/vnd.oci.image.config.v1+json";
    let container = registry
        .push("odd", "container", &manifest(descriptor(image, b"{}"), &[descriptor(TAR, &wasm)], &nothing))
        .await;
    let of = |layers: &[Value]| manifest(config.clone(), layers, &nothing);
    registry.push("odd", "tar", &of(&[descriptor(TAR, &wasm)])).await;
    registry.push("odd", "two", &of(&[layer.clone(), descriptor(WASM_LAYER, CORE_MODULE)])).await;
    registry.push("odd", "none", &of(&[])).await;
    registry.push("odd", "core", &of(&[descriptor(WASM_LAYER, CORE_MODULE)])).await;
    let containers = json!({"mediaType": MANIFEST, "digest": container, "size": 1,
        "platform": {"architecture": "amd64", "os": "linux"}});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [containers]});
    registry.push("odd", "index", &index).await;
    for (tag, part) in [
        ("container", "its config is \"application/vnd.oci.image.config.v1+json\""),
        ("tar", "has a layer of type \"application/vnd.oci.image.layer.v1.tar\""),
        ("two", "has 2 layers"),
        ("none", "has 0 layers"),
        ("core", "is a core module"),
        ("index", "is an index without a WebAssembly component"),
        ("nothing", "are the repository and the tag right?"),
    ] {
        desk.fails(&["skill", "install", &source(&registry, &format!("odd:{tag}"))], part).await;
    }
    let nowhere = source(&registry, "nowhere:1");
    desk.fails(&["skill", "install", &nowhere], "are the repository and the tag right?").await;
    assert!(!desk.text(&["skill", "list"]).await.contains("odd"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_component_of_an_index_is_found() {
    if registry::is_skipped() {
        return;
    }
    let (registry, desk) = (Registry::start().await, Desk::without_gateway());
    let component = push(&registry, "policy-1", "1").await;
    registry.push_blob("acme/policy", b"{}").await;
    let image =
        manifest(descriptor("application/vnd.oci.image.config.v1+json", b"{}"), &[], &BTreeMap::new());
    let image = registry.push("acme/policy", "image", &image).await;
    let entry = |digest: &str, architecture: &str| {
        json!({"mediaType": MANIFEST, "digest": digest, "size": 1,
            "platform": {"architecture": architecture, "os": "linux"}})
    };
    let manifests = [entry(&image, "amd64"), entry(&component, "wasm")];
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let all = registry.push("acme/policy", "all", &index).await;
    let installed = desk.json(&["skill", "install", &source(&registry, "acme/policy:all")]).await;
    assert_eq!(installed["look"]["digest"], json!(digest(&guest("policy-1"))), "{installed}");
    assert!(installed["skill"]["source"].as_str().unwrap().ends_with(&format!(":all@{all}")), "{installed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_its_digest_says_or_is_too_big_is_not_taken() {
    if registry::is_skipped() {
        return;
    }
    let (registry, desk) = (Registry::start().await, Desk::without_gateway());
    let (wasm, by_tag) = (guest("policy-1"), source(&registry, "acme/policy:1"));
    let pushed = push(&registry, "policy-1", "1").await;
    let (layer, mut changed) = (registry.file(&digest(&wasm)), wasm.clone());
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&layer, &changed).unwrap();
    desk.fails(&["skill", "install", &by_tag], "is not what its digest says").await;
    // A manifest, too.
    std::fs::write(&layer, &wasm).unwrap();
    let file = registry.file(&pushed);
    let manifest_text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, manifest_text.replacen("2,", "2, ", 1)).unwrap();
    desk.fails(&["skill", "install", &by_tag], "is not what its digest says").await;

    let large = vec![0; (64 << 20) + 1];
    let config = b"{}";
    for blob in [config.as_slice(), &large] {
        registry.push_blob("large", blob).await;
    }
    let honest = descriptor(WASM_LAYER, &large);
    let config = descriptor(WASM_CONFIG, config);
    registry.push("large", "honest", &manifest(config, &[honest], &BTreeMap::new())).await;
    let large = source(&registry, "large:honest");
    desk.fails(&["skill", "install", &large], "has 67108865 bytes, more than 67108864").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_user_is_comes_from_where_docker_keeps_it() {
    if registry::is_skipped() {
        return;
    }
    let (registry, desk) = (Registry::behind(&Door::Password).await, Desk::without_gateway());
    push(&registry, "policy-1", "1").await;
    let (address, by_tag) = (registry.address().to_owned(), source(&registry, "acme/policy:1"));
    let install = ["skill", "install", by_tag.as_str()];
    desk.fails(&install, &format!("`docker login {address}`")).await;
    for (config, part) in [
        (json!({"auths": {"elsewhere.example": {"auth": OTTER}}}), "says who you are"),
        (json!({"auths": {&address: {"auth": OTTER_ASTRAY}}}), "does not take the credentials"),
        (json!({"auths": {&address: {"auth": "?"}}}), "are garbled"),
        (json!({"auths": {&address: {"identitytoken": "t"}}}), "an identity token"),
        (json!({"credHelpers": {&address: "nobody-has-this"}}), "cannot be run"),
        (json!(["nonsense"]), "is not understood"),
    ] {
        login(&desk, &config);
        desk.fails(&install, part).await;
        desk.fails(&install, "config.json").await;
    }
    login(&desk, &json!({"auths": {&address: {"auth": OTTER}}}));
    assert_eq!(desk.json(&install).await["outcome"], "activated");
    let by_name = format!("oci://{}:{}@{address}/acme/policy:1", USER.0, USER.1);
    let refused = desk.run(&["skill", "install", &by_name]).await;
    assert!(refused.code == Some(2) && refused.err.contains("docker login"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_wants_a_token_is_given_one() {
    if registry::is_skipped() {
        return;
    }
    let tokens = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}/token", tokens.local_addr().unwrap());
    let (registry, desk) = (Registry::behind(&Door::Token(server)).await, Desk::without_gateway());
    push(&registry, "policy-1", "1").await;
    let by_tag = source(&registry, "acme/policy:1");
    let serving = beside(give_tokens_to_otter(tokens));
    desk.fails(&["skill", "install", &by_tag], "docker login").await;
    login(&desk, &json!({"auths": {registry.address(): {"auth": OTTER}}}));
    assert_eq!(desk.json(&["skill", "install", &by_tag]).await["outcome"], "activated");
    serving.abort();
}

/// A server that gives a token to whoever brings the right name and password, and to nobody else.
async fn give_tokens_to_otter(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let (mut line, mut is_otter) = (String::new(), false);
        while stream.read_line(&mut line).await.unwrap() > 2 {
            is_otter |= line.to_ascii_lowercase().starts_with("authorization: basic") && line.contains(OTTER);
            line.clear();
        }
        let (status, body) =
            if is_otter { ("200 OK", "{\"token\": \"t\"}") } else { ("401 Unauthorized", "no") };
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_comes_as_an_annotation() {
    if registry::is_skipped() {
        return;
    }
    let (registry, desk) = (Registry::start().await, Desk::without_gateway());
    let component = desk.component("policy-1");
    let signed = desk.json(&["skill", "sign", &component, "--key", "acme.key", "--name", "policy"]).await;
    let key = signed["public_key"].as_str().unwrap();
    let signature = std::fs::read_to_string(signed["signature"].as_str().unwrap()).unwrap();
    let annotated = async |tag: &str, wasm: &str, text: &str| {
        let annotations = BTreeMap::from([("pointsman.skill.signature", text.to_owned())]);
        registry.push_component("acme/policy", tag, &guest(wasm), &annotations).await;
        source(&registry, &format!("acme/policy:{tag}"))
    };
    let good = annotated("good", "policy-1", &signature).await;
    let others = annotated("others", "policy-2", &signature).await;
    let odd = annotated("odd", "policy-1", "nonsense").await;
    desk.fails(&["skill", "install", &good], &format!("pointsman skill trust SIGNER {key}")).await;
    desk.json(&["skill", "trust", "acme", key]).await;
    assert_eq!(desk.json(&["skill", "install", &good]).await["look"]["signed_by"], "acme");
    desk.fails(&["skill", "install", &others], "for other bytes").await;
    desk.fails(&["skill", "install", &odd], "pointsman.skill.signature that is no signature").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_run_is_said_to_be_gone() {
    if registry::is_skipped() {
        return;
    }
    let (registry, desk) = (Registry::start().await, Desk::without_gateway());
    push(&registry, "policy-1", "1").await;
    let (address, by_tag) = (registry.address().to_owned(), source(&registry, "acme/policy:1"));
    drop(registry);
    desk.fails(&["skill", "install", &by_tag], &format!("is the registry {address} there?")).await;
}

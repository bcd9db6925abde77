//! Manifests as registries give them, and what they are taken for.

use serde_json::{Value, json};

use super::super::tests::signature;
use super::*;

fn digest() -> String {
    Digest::of(b"component").to_string()
}

/// The standard artifact, as `oras push` and `wkg oci push` write it.
fn artifact() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "artifactType": WASM_CONFIG,
        "config": {"mediaType": WASM_CONFIG, "digest": digest(), "size": 2},
        "layers": [{"mediaType": WASM_LAYER, "digest": digest(), "size": 9,
            "annotations": {"org.opencontainers.image.title": "x.wasm"}}],
    })
}

/// The standard artifact with something else in one place.
fn with(pointer: &str, value: Value) -> Value {
    let mut artifact = artifact();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match artifact.pointer_mut(parent).unwrap() {
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        other => other[last.parse::<usize>().unwrap()] = value,
    }
    artifact
}

fn entry(digest: &str, architecture: &str) -> Value {
    json!({"mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": digest, "size": 1,
        "platform": {"architecture": architecture, "os": "wasip2"}})
}

fn index(manifests: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": manifests})
}

fn component(manifest: &Value) -> Component {
    match Manifest::read(manifest.to_string().as_bytes()).unwrap() {
        Manifest::Component(component) => *component,
        Manifest::Index(digest) => panic!("an index of {digest}"),
    }
}

#[test]
fn the_standard_artifact_is_a_component() {
    let found = component(&artifact());
    assert_eq!((found.bytes, found.layer.digest, found.signature), (9, digest(), None));
    // Elsewhere is not where the user sent us.
    let elsewhere = with("/layers/0/urls", json!(["http://elsewhere.example/x"]));
    assert_eq!(component(&elsewhere).layer.urls, None);
    let signed = with("/annotations", json!({SIGNATURE_ANNOTATION: signature().to_text(), "other": "x"}));
    assert_eq!(component(&signed).signature, Some(signature()));
    // As a shell hands it over, without the last line's end.
    let trimmed = with("/annotations", json!({SIGNATURE_ANNOTATION: signature().to_text().trim_end()}));
    assert_eq!(component(&trimmed).signature, Some(signature()));
}

#[test]
fn an_index_is_looked_through_for_the_one_component() {
    let typed = json!({"mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": digest(), "size": 1, "artifactType": WASM_CONFIG});
    for component in [typed, entry(&digest(), "wasm")] {
        let index = index(&[entry("sha256:1", "amd64"), component]).to_string();
        let Ok(Manifest::Index(found)) = Manifest::read(index.as_bytes()) else { panic!("{index}") };
        assert_eq!(found, digest());
    }
}

#[test]
fn what_is_anything_else_is_called_by_its_name() {
    let other = with("/config/mediaType", json!("application/vnd.oci.image.config.v1+json\u{1b}[2J"));
    let twice = with("/layers", json!([artifact()["layers"][0], artifact()["layers"][0]]));
    let long = "x".repeat(SIGNATURE_BYTES_MAX as usize + 1);
    for (manifest, part) in [
        (
            other,
            "its config is \"application/vnd.oci.image.config.v1+json\\u{1b}[2J\", not application/vnd.wasm",
        ),
        (with("/layers/0/mediaType", json!("application/gzip")), "a layer of type \"application/gzip\""),
        (twice, "has 2 layers"),
        (with("/layers", json!([])), "has 0 layers"),
        (with("/layers/0/size", json!(COMPONENT_BYTES_MAX + 1)), "has 67108865 bytes"),
        (with("/layers/0/size", json!(-1)), "has -1 bytes"),
        (with("/layers/0/digest", json!("sha256:../../x")), "a digest is `sha256:`"),
        (with("/annotations", json!({SIGNATURE_ANNOTATION: "x"})), "that is no signature"),
        (with("/annotations", json!({SIGNATURE_ANNOTATION: long})), "more than 4096 bytes"),
        (index(&[]), "without a WebAssembly component"),
        (index(&[entry(&digest(), "arm64")]), "without a WebAssembly component"),
        (
            index(&[entry(&digest(), "wasm"), entry(&digest(), "wasm")]),
            "an index of 2 WebAssembly components",
        ),
        (index(&[entry("sha512:1", "wasm")]), "a digest is `sha256:`"),
        (json!({"schemaVersion": 1}), "is not understood"),
        (json!(" ".repeat(MANIFEST_BYTES_MAX)), "more than 4194304 bytes"),
    ] {
        let error = Manifest::read(manifest.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
    // What is as big as may be is taken.
    let most = with("/layers/0/size", json!(COMPONENT_BYTES_MAX));
    assert_eq!(component(&most).bytes, COMPONENT_BYTES_MAX);
}

//! Files of credentials as they are found, and what they say of one registry.

use serde_json::{Value, json};

use super::*;

/// `otter:pond`
const OTTER: &str = "b3R0ZXI6cG9uZA==";

fn found(config: &Value, registry: &str) -> Result<RegistryAuth, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    find(file.path(), registry)
}

#[test]
fn credentials_are_found_by_the_registrys_name() {
    let otter = || RegistryAuth::Basic("otter".to_owned(), "pond".to_owned());
    let plain =
        json!({"auths": {"box:5000": {"auth": OTTER}, "https://index.docker.io/v1/": {"auth": OTTER}}});
    for registry in ["box:5000", "index.docker.io"] {
        assert_eq!(found(&plain, registry), Ok(otter()), "{registry}");
    }
    for registry in ["box", "box:5001", "example.com"] {
        assert_eq!(found(&plain, registry), Ok(RegistryAuth::Anonymous), "{registry}");
    }
    let apart = json!({"auths": {"box:5000": {"username": "otter", "password": "pond"}}});
    assert_eq!(found(&apart, "box:5000"), Ok(otter()));
    assert_eq!(found(&json!({}), "box"), Ok(RegistryAuth::Anonymous));
    assert_eq!(find(Path::new("/nowhere/config.json"), "box"), Ok(RegistryAuth::Anonymous));
}

#[test]
fn what_cannot_be_used_says_why() {
    for (config, part) in [
        (json!({"auths": {"box": {"auth": "?"}}}), "garbled"),
        (json!({"auths": {"box": {"auth": OTTER, "username": "owl", "password": "pond"}}}), "garbled"),
        (json!({"auths": {"box": {"identitytoken": "t"}}}), "identity token"),
        (json!({"credsStore": "nobody-has-this"}), "cannot be run"),
        (json!([]), "not understood"),
        (json!({"auths": "x".repeat(FILE_BYTES_MAX as usize)}), "not understood"),
    ] {
        let trouble = found(&config, "box").unwrap_err();
        assert!(trouble.contains(part), "{part}: {trouble}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(find(folder.path(), "box").is_err());
}

#[test]
fn whoever_is_refused_is_told_what_to_do() {
    let of = |auth, trouble: Option<&str>| {
        let (trouble, file) =
            (trouble.map(str::to_owned), Some(PathBuf::from("/home/otter/.docker/config.json")));
        Credentials { auth, trouble, file }.mend("box:5000")
    };
    let otter = RegistryAuth::Basic("otter".to_owned(), "pond".to_owned());
    for (mend, part) in [
        (of(RegistryAuth::Anonymous, None), "says who you are"),
        (of(otter, None), "does not take the credentials"),
        (of(RegistryAuth::Anonymous, Some("the credentials are garbled")), "the credentials are garbled"),
    ] {
        for part in [part, "`docker login box:5000`", "/home/otter/.docker/config.json"] {
            assert!(mend.contains(part) && !mend.contains("pond"), "{part}: {mend}");
        }
    }
}

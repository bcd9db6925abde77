//! Names in registries as people write them, and how those registries are asked.

use super::*;

fn artifact(text: &str) -> Artifact {
    text.parse().unwrap()
}

#[test]
fn an_address_names_its_registry() {
    let pinned = format!("box:5000/a/b:1@sha256:{}", "a".repeat(64));
    for (text, shown) in [
        ("example.com/x", "oci://example.com/x:latest"),
        ("example.com/a/b/x:1.2", "oci://example.com/a/b/x:1.2"),
        ("localhost/x", "oci://localhost/x:latest"),
        ("docker.io/x", "oci://docker.io/library/x:latest"),
        ("index.docker.io/a/x", "oci://docker.io/a/x:latest"),
        (pinned.as_str(), &format!("oci://{pinned}")),
    ] {
        assert_eq!(artifact(text).to_string(), shown);
    }
    for (text, part) in [
        ("x", "no repository"),
        ("x:1", "no repository"),
        ("box/x", "oci://box:443/"),
        ("box/a.b/x", "oci://box:443/"),
        ("example.com/", "no address in a registry"),
        ("example.com/X", "in lower case"),
        ("example.com/x@sha256:1", "no address in a registry"),
        ("example.com/x?tag=1", "no address in a registry"),
        ("me:secret@example.com/x", "`docker login example.com`"),
        ("me@example.com:5000/x", "`docker login example.com:5000`"),
    ] {
        let error = text.parse::<Artifact>().unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains("secret"), "{text}: {error}");
    }
}

#[test]
fn what_is_written_down_has_the_digest() {
    let digest = format!("sha256:{}", "b".repeat(64));
    let older = format!("sha256:{}", "a".repeat(64));
    for (text, shown) in [
        ("example.com/x".to_owned(), format!("oci://example.com/x:latest@{digest}")),
        (format!("example.com/x@{older}"), format!("oci://example.com/x@{digest}")),
        (format!("example.com/x:1@{older}"), format!("oci://example.com/x:1@{digest}")),
    ] {
        let pinned = artifact(&text).pinned(digest.clone());
        assert_eq!(pinned.to_string(), shown);
        assert_eq!(artifact(shown.strip_prefix("oci://").unwrap()), pinned);
    }
}

#[test]
fn only_this_machine_is_asked_without_encryption() {
    for (text, protocol) in [
        ("localhost:5000/x", ClientProtocol::Http),
        ("LOCALHOST:5000/x", ClientProtocol::Http),
        ("registry.localhost/x", ClientProtocol::Http),
        ("127.0.0.1:5000/x", ClientProtocol::Http),
        ("127.1.2.3:5000/x", ClientProtocol::Http),
        ("192.168.1.7:5000/x", ClientProtocol::Https),
        ("0.0.0.0:5000/x", ClientProtocol::Https),
        ("localhost.example:5000/x", ClientProtocol::Https),
        ("notlocalhost:5000/x", ClientProtocol::Https),
        ("docker.io/x", ClientProtocol::Https),
    ] {
        assert_eq!(artifact(text).protocol(), protocol, "{text}");
    }
}

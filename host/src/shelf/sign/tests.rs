//! Signatures that hold and those that do not, in one table.

use super::*;

const OTTER: &str = "otter-router";

fn imports(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

fn key() -> (tempfile::TempDir, SigningKey) {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::make(&folder.path().join("key")).unwrap();
    (folder, key)
}

#[test]
fn what_is_signed_is_one_text() {
    let wanted = imports(&["models", "http", "models"]);
    let subject = Subject { name: OTTER, version: "1.2.0", digest: Digest::of(b"abc"), imports: &wanted };
    let expected = "pointsman skill signature 1\n\
                    name: otter-router\n\
                    version: 1.2.0\n\
                    digest: sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
                    import: http\n\
                    import: models\n";
    assert_eq!(subject.text().as_deref(), Ok(expected));
    let (_folder, key) = key();
    for bad in ["a\nimport: http", "a\u{2028}b"] {
        let refused = Signature::make(&key, &Subject { name: bad, ..subject });
        assert_eq!(refused, Err(SignError::Line(bad.to_owned())));
    }
}

#[test]
fn a_signature_holds_for_what_was_signed_and_for_nothing_else() {
    let (_folder, key) = key();
    let (_other_folder, other) = self::key();
    let wanted = imports(&["models"]);
    let subject = Subject { name: OTTER, version: "1.2.0", digest: Digest::of(b"abc"), imports: &wanted };
    let signature = Signature::make(&key, &subject).unwrap();
    let trusted: BTreeMap<_, _> =
        [("acme".to_owned(), key.public()), ("other".to_owned(), other.public())].into();
    let check = |signature: &Signature, subject: Subject<'_>, expected: &str| {
        let shown = match verify(Some(signature), &subject, &trusted) {
            Ok(Provenance::Signed { by }) => format!("signed by {by}"),
            Ok(Provenance::Unsigned) => "unsigned".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(shown.starts_with(expected), "{shown}");
    };
    check(&signature, subject, "signed by acme");
    let reordered = imports(&["models", "models"]);
    check(&signature, Subject { imports: &reordered, ..subject }, "signed by acme");
    let more = imports(&["models", "http"]);
    check(&signature, Subject { imports: &more, ..subject }, "the signature is not valid");
    check(&signature, Subject { imports: &[], ..subject }, "the signature is not valid");
    let changed = Subject { digest: Digest::of(b"abd"), ..subject };
    check(
        &signature,
        changed,
        "the signature is for other bytes (ba7816bf8f01, these are a52d159f262b); sign the",
    );
    check(
        &signature,
        Subject { name: "otter", ..subject },
        "the signature is for \"otter-router\" \"1.2.0\"",
    );
    check(
        &signature,
        Subject { version: "1.3.0", ..subject },
        "the signature is for \"otter-router\" \"1.2.0\"",
    );
    // What it says of itself is believed no more than its proof.
    let renamed = Signature { version: "1.3.0".to_owned(), ..signature.clone() };
    check(&renamed, Subject { version: "1.3.0", ..subject }, "the signature is not valid");
    check(&Signature { key: other.public(), ..signature.clone() }, subject, "the signature is not valid");
    let mut spoilt = signature.clone();
    spoilt.signature.0[0] ^= 1;
    check(&spoilt, subject, "the signature is not valid");
    assert_eq!(verify(None, &subject, &trusted), Ok(Provenance::Unsigned));
    let nobody = BTreeMap::new();
    let unknown = verify(Some(&signature), &subject, &nobody);
    assert_eq!(unknown, Err(VerifyError::UnknownKey(key.public())));
    let forged = verify(Some(&spoilt), &subject, &nobody);
    assert_eq!(forged, Err(VerifyError::Forged), "nobody is asked to trust its key");
}

#[test]
fn a_signature_stands_beside_its_component() {
    let (folder, key) = key();
    let path = Signature::path(&folder.path().join("otter.wasm"));
    assert_eq!(path, folder.path().join("otter.wasm.sig"));
    assert_eq!(Signature::read(&path).unwrap(), None);
    let subject = Subject { name: OTTER, version: "1.2.0", digest: Digest::of(b"abc"), imports: &[] };
    let signature = Signature::make(&key, &subject).unwrap();
    signature.write(&path).unwrap();
    signature.write(&path).unwrap();
    assert_eq!(Signature::read(&path).unwrap().as_ref(), Some(&signature));
    let keys: Vec<String> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(key, _)| key.to_owned()))
        .collect();
    assert_eq!(keys, ["key", "name", "version", "digest", "signature"]);
    let spoilt = [
        "".to_owned(),
        "\u{0}".to_owned(),
        signature.to_text() + "more = 1\n",
        signature.to_text().replace("sha256:", "sha1:"),
        " ".repeat(SIGNATURE_BYTES_MAX as usize + 1),
    ];
    for text in spoilt {
        std::fs::write(&path, &text).unwrap();
        let error = Signature::read(&path).unwrap_err().to_string();
        assert!(error.contains("is no signature: "), "{text}: {error}");
    }
}

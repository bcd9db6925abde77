//! One table of steps for each operation. A step is a line as `install b 1.1.0 imports=models,http force`; versions are
//! called by a letter. After each step the skill's line of versions is shown: `a b* c! | d` has b in use, c quarantined
//! and d waiting for approval.

use super::*;

const SKILL: &str = "otter";

fn name() -> SkillName {
    SkillName::new(SKILL)
}

fn digest(letter: &str) -> Digest {
    Digest::of(letter.as_bytes())
}

fn letter(digest: &Digest) -> char {
    ('a'..='z').find(|letter| *digest == self::digest(&letter.to_string())).unwrap()
}

fn words(list: &str) -> Vec<String> {
    list.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

fn grants(list: &str) -> Vec<Grant> {
    words(list).iter().map(|it| it.parse().unwrap()).collect()
}

fn version(letter: &str, number: &str) -> Version {
    Version {
        digest: digest(letter),
        version: number.to_owned(),
        source: "file".to_owned(),
        installed_ms: 1_790_000_000_000,
        imports: Vec::new(),
        hooks: Vec::new(),
        signed_by: None,
        quarantined: None,
    }
}

/// Does what the line says; what came of it.
fn step(lock: &mut Lock, line: &str) -> String {
    let mut parts = line.split(' ');
    let operation = parts.next().unwrap();
    let parts: Vec<&str> = parts.collect();
    let shown = |outcome: Option<Digest>| outcome.map_or("none".to_owned(), |it| letter(&it).to_string());
    let granted = |outcome: Vec<Grant>| outcome.iter().map(Grant::to_string).collect::<Vec<_>>().join(",");
    match operation {
        "install" => install(lock, &parts),
        "approve" => {
            lock.approve_pending(&name()).map_or_else(|it| it.to_string(), |it| letter(&it).to_string())
        }
        "refuse" => shown(lock.refuse_pending(&name()).map(|it| it.digest)),
        "rollback" => lock.rollback(&name()).map_or_else(|it| it.to_string(), |it| letter(&it).to_string()),
        "quarantine" => shown(lock.quarantine(&name(), &digest(parts[0]), "it trapped")),
        "enable" => lock.set_enabled(&name(), true).to_string(),
        "disable" => lock.set_enabled(&name(), false).to_string(),
        "grant" => granted(lock.grant(&name(), &grants(parts[0]))),
        "revoke" => granted(lock.revoke(&name(), &grants(parts[0]))),
        "remove" => lock.remove(&name()).is_some().to_string(),
        other => panic!("no step is called {other}"),
    }
}

fn install(lock: &mut Lock, parts: &[&str]) -> String {
    let mut offered = version(parts[0], parts[1]);
    let mut terms = Terms::default();
    for part in &parts[2..] {
        match part.split_once('=') {
            Some(("imports", list)) => offered.imports = words(list),
            Some(("by", signer)) => offered.signed_by = Some(signer.to_owned()),
            None if *part == "force" => terms.force = true,
            None if *part == "approve" => terms.approve = true,
            _ => panic!("no term is called {part}"),
        }
    }
    match lock.install(&name(), offered, terms) {
        Ok(Installed::Activated { before }) => {
            before.map_or("first".to_owned(), |it| format!("after {}", letter(&it)))
        }
        Ok(Installed::Unchanged) => "unchanged".to_owned(),
        Ok(Installed::WaitsForApproval { wants }) => format!("wants {}", wants.join(",")),
        Err(error) => error.to_string(),
    }
}

/// The skill's versions as one line.
fn shown(lock: &Lock) -> String {
    let Some(entry) = lock.entry(&name()) else { return "-".to_owned() };
    let one = |version: &Version| {
        let active = if entry.active == Some(version.digest) { "*" } else { "" };
        let quarantined = if version.quarantined.is_some() { "!" } else { "" };
        format!("{}{active}{quarantined}", letter(&version.digest))
    };
    let line = entry.versions.iter().map(one).collect::<Vec<_>>().join(" ");
    match &entry.pending {
        Some(pending) => format!("{line} | {}", one(pending)),
        None => line,
    }
}

/// Takes the steps one after the other. After each, a lock is a lock, and its text is the same lock.
fn check(steps: &[(&str, &str, &str)]) -> Lock {
    let mut lock = Lock::default();
    for (line, outcome, expected) in steps {
        assert_eq!((step(&mut lock, line).as_str(), shown(&lock).as_str()), (*outcome, *expected), "{line}");
        assert_eq!(Lock::from_text(&lock.to_text().unwrap()).as_ref(), Ok(&lock), "{line}");
    }
    lock
}

const NOTHING_BEFORE: &str = "`otter` has no earlier version that is not quarantined; install one";
const NOT_INSTALLED: &str = "no skill `otter` is installed; `pointsman skill list` shows those that are";

#[test]
fn versions_are_installed_in_their_order() {
    check(&[
        ("install a 1.0.0", "first", "a*"),
        ("install a 1.0.0", "unchanged", "a*"),
        ("install b 1.1.0", "after a", "a b*"),
        ("install c 1.1.0", "after b", "a b c*"),
        ("install a 2.0.0", "after c", "b c a*"),
    ]);
    check(&[
        ("install a 1", "its version `1` is not a semantic version such as 1.2.3", "-"),
        ("install a v1.0.0", "its version `v1.0.0` is not a semantic version such as 1.2.3", "-"),
    ]);
}

#[test]
fn older_versions_need_force() {
    let refused = "version 1.9.0 is older than 1.10.0, which is in use; add `--force` to go back to it";
    let candidate =
        "version 1.10.0-rc.1 is older than 1.10.0, which is in use; add `--force` to go back to it";
    check(&[
        ("install a 1.10.0", "first", "a*"),
        ("install b 1.9.0", refused, "a*"),
        ("install b 1.9.0 approve", refused, "a*"),
        ("install b 1.10.0-rc.1", candidate, "a*"),
        ("install c 1.10.0+build.7", "after a", "a c*"),
        ("install a 1.10.0", "after c", "c a*"),
        ("install b 1.9.0 force", "after a", "c a b*"),
    ]);
}

#[test]
fn whatever_wants_more_waits() {
    let lock = check(&[
        ("install a 1.0.0 imports=models,kv", "first", "a*"),
        ("install b 1.1.0 imports=models", "after a", "a b*"),
        ("install c 1.2.0 imports=models,http,kv", "wants http,kv", "a b* | c"),
        ("install c 1.2.0 imports=models,http,kv", "wants http,kv", "a b* | c"),
        ("install b 1.1.0 imports=models", "unchanged", "a b* | c"),
        ("grant http=api.example.com", "http=api.example.com", "a b* | c"),
        ("install d 1.3.0 imports=models,http,kv", "wants kv", "a b* | d"),
        ("rollback", "a", "a* b | d"),
        ("approve", "d", "a d* b"),
        ("approve", "no version of `otter` waits for approval", "a d* b"),
        ("install e 1.4.0 imports=activity approve", "after d", "a d e* b"),
        ("install f 1.5.0 imports=sessions", "wants sessions", "a d e* b | f"),
        ("refuse", "f", "a d e* b"),
        ("refuse", "none", "a d e* b"),
        ("install f 1.5.0 imports=sessions", "wants sessions", "a d e* b | f"),
        // What waits is superseded by what is used in its place.
        ("install g 1.6.0 force", "after e", "a d e g* b"),
        // Force is not approval.
        ("install h 1.0.0 imports=models force", "wants models", "a d e g* b | h"),
    ]);
    assert_eq!(lock.digests().len(), 6, "also what waits is named");
    check(&[("approve", NOT_INSTALLED, "-"), ("refuse", "none", "-")]);
}

#[test]
fn rollback_goes_down_the_line() {
    check(&[
        ("rollback", NOT_INSTALLED, "-"),
        ("install a 1.0.0", "first", "a*"),
        ("rollback", NOTHING_BEFORE, "a*"),
        ("install b 1.1.0", "after a", "a b*"),
        ("install c 1.2.0", "after b", "a b c*"),
        ("rollback", "b", "a b* c"),
        ("rollback", "a", "a* b c"),
        ("rollback", NOTHING_BEFORE, "a* b c"),
        // Back up to one that was left.
        ("install c 1.2.0", "after a", "a c* b"),
        ("rollback", "a", "a* c b"),
        // The next rollback goes to what served until now.
        ("install d 1.3.0", "after a", "a d* c b"),
        ("rollback", "a", "a* d c b"),
    ]);
    check(&[("disable", "true", ""), ("rollback", NOTHING_BEFORE, "")]);
}

#[test]
fn what_is_quarantined_is_left_and_not_returned_to() {
    let refused = "this version is quarantined (it trapped); install a mended one, or add `--force` to try this one again";
    check(&[
        ("quarantine a", "none", "-"),
        ("install a 1.0.0", "first", "a*"),
        ("install b 1.1.0", "after a", "a b*"),
        ("install c 1.2.0", "after b", "a b c*"),
        ("quarantine z", "c", "a b c*"),
        ("quarantine b", "c", "a b! c*"),
        ("quarantine c", "a", "a* b! c!"),
        ("install c 1.2.0", refused, "a* b! c!"),
        ("install c 1.2.0 approve", refused, "a* b! c!"),
        ("install c 1.2.0 force", "after a", "a c* b!"),
        ("rollback", "a", "a* c b!"),
        ("quarantine a", "none", "a! c b!"),
        // A skill that rests is rolled back to the last good one there is.
        ("rollback", "c", "a! c* b!"),
        ("quarantine c", "none", "a! c! b!"),
        ("rollback", NOTHING_BEFORE, "a! c! b!"),
        // Nothing is in use that it could be older than, or want more than.
        ("install d 0.1.0 imports=http", "first", "a! c! b! d*"),
    ]);
}

#[test]
fn an_old_version_that_was_quarantined_says_why() {
    let mut lock = check(&[("install a 1.0.0", "first", "a*")]);
    assert_eq!(lock.quarantine(&name(), &digest("a"), &"ä".repeat(400)), None);
    let quarantined = lock.entry(&name()).unwrap().versions[0].quarantined.clone();
    assert_eq!(quarantined, Some("ä".repeat(250)), "so much of it is kept");
}

#[test]
fn so_many_versions_are_kept() {
    let mut lock = Lock::default();
    let letters: Vec<String> = ('a'..='l').map(String::from).collect();
    for (minor, letter) in letters.iter().enumerate() {
        step(&mut lock, &format!("install {letter} 1.{minor}.0"));
    }
    assert_eq!(shown(&lock), "c d e f g h i j k l*");
    for _ in 0..3 {
        step(&mut lock, "rollback");
    }
    assert_eq!(shown(&lock), "c d e f g h i* j k l");
    // What was left goes before what can be returned to.
    step(&mut lock, "install m 2.0.0");
    assert_eq!(shown(&lock), "c d e f g h i m* k l");
    assert_eq!(lock.entry(&name()).unwrap().versions.len(), VERSIONS_MAX);
    let kept = ["a", "c", "m", "j", "x"].map(digest);
    assert_eq!(lock.unused(kept), ["a", "j", "x"].map(digest));
}

#[test]
fn skills_are_switched_and_forgotten() {
    let lock = check(&[
        ("enable", "false", "-"),
        ("disable", "true", ""),
        ("disable", "false", ""),
        ("enable", "true", ""),
        ("install a 1.0.0", "first", "a*"),
        ("disable", "true", "a*"),
        ("install b 1.1.0", "after a", "a b*"),
    ]);
    assert!(!lock.entry(&name()).unwrap().enabled, "an upgrade does not switch it on");
    let lock = check(&[
        ("remove", "false", "-"),
        ("install a 1.0.0", "first", "a*"),
        ("remove", "true", "-"),
        ("remove", "false", "-"),
    ]);
    assert_eq!(lock, Lock::default());
}

#[test]
fn grants_are_merged_in_the_order_of_the_contract() {
    let held = |steps: &[(&str, &str, &str)]| check(steps).entry(&name()).unwrap().grants.clone();
    assert_eq!(held(&[("disable", "true", ""), ("revoke models", "", "")]), None);
    assert_eq!(held(&[("install a 1.0.0 imports=models", "first", "a*")]), None);
    let nothing: [String; 0] = [];
    assert_eq!(held(&[("grant models", "models", ""), ("revoke models", "models", "")]).unwrap(), nothing);
    let merged = held(&[
        ("grant http=b.example,kv", "kv,http=b.example", ""),
        ("grant http=a.example,kv,models", "models,http=a.example", ""),
        ("grant kv", "", ""),
        ("grant residency=all,residency", "residency,residency=all", ""),
        ("revoke activity", "", ""),
    ]);
    let expected = ["models", "residency", "residency=all", "kv", "http=a.example", "http=b.example"];
    assert_eq!(merged.unwrap(), expected);
    let less = held(&[
        (
            "grant http=a.example,http=b.example,residency,residency=all,kv",
            "residency,residency=all,kv,http=a.example,http=b.example",
            "",
        ),
        ("revoke http=a.example,http=c.example", "http=a.example", ""),
        // The bare interface takes all of it along.
        ("revoke residency", "residency,residency=all", ""),
    ]);
    assert_eq!(less.unwrap(), ["kv", "http=b.example"]);
    assert_eq!(step(&mut Lock::default(), "revoke models"), "");
}

#[test]
fn a_grant_that_is_not_known_here_is_kept_and_grants_nothing() {
    let text = "version = 1\n[skills.otter]\nenabled = true\ngrants = [\"telepathy\", \"kv\"]\n";
    let mut lock = Lock::from_text(text).unwrap();
    assert_eq!(lock.entry(&name()).unwrap().granted(), Some(grants("kv")));
    assert_eq!(step(&mut lock, "grant models"), "models");
    assert_eq!(lock.entry(&name()).unwrap().grants.clone().unwrap(), ["models", "kv", "telepathy"]);
    assert_eq!(step(&mut lock, "revoke kv,models"), "models,kv");
    assert_eq!(lock.entry(&name()).unwrap().grants.clone().unwrap(), ["telepathy"]);
}

#[test]
fn a_signature_that_came_later_is_noted() {
    let mut lock = check(&[("install a 1.0.0", "first", "a*")]);
    let signer = |lock: &Lock| lock.entry(&name()).unwrap().active_version().unwrap().signed_by.clone();
    assert_eq!(step(&mut lock, "install a 1.0.0 by=acme"), "unchanged");
    assert_eq!(signer(&lock).as_deref(), Some("acme"));
    assert_eq!(step(&mut lock, "install a 1.0.0"), "unchanged");
    assert_eq!(signer(&lock).as_deref(), Some("acme"));
}

#[test]
fn keys_are_trusted_by_name() {
    let key = |text: &str| text.parse::<PublicKey>().unwrap();
    let (first, second) = (key(FIRST_KEY), key(SECOND_KEY));
    let mut lock = Lock::default();
    assert_eq!(lock.trust("acme", first), Ok(()));
    assert_eq!(lock.trust("acme", first), Ok(()));
    assert_eq!(lock.trust("acme", second), Err(TrustError::Taken("acme".to_owned())));
    assert_eq!(lock.trusted().get("acme"), Some(&first));
    for bad in [String::new(), "a\nb".to_owned(), "x".repeat(65)] {
        assert_eq!(lock.trust(&bad, first), Err(TrustError::Name), "{bad}");
    }
    assert_eq!(lock.untrust("acme"), Some(first));
    assert_eq!(lock.untrust("acme"), None);
    assert_eq!(lock.trust("acme", second), Ok(()));
}

/// RFC 8032, 7.1: the public keys of its first two tests.
const FIRST_KEY: &str = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const SECOND_KEY: &str = "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

/// All that a lock can say.
const GOLDEN: &str = r#"# Installed skills, as `pointsman skill` keeps them. To change something, use its commands.

version = 1

[trusted]
acme = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

[skills.model-swapper]
enabled = false
grants = ["models", "residency=all"]

[skills.otter]
enabled = true
active = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"

[skills.otter.pending]
digest = "sha256:2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"
version = "2.0.0"
source = "oci://ghcr.io/acme/otter:2"
installed_ms = 1790000000000
imports = ["models", "http"]
hooks = ["request-hook", "tool-hook"]

[[skills.otter.versions]]
digest = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
version = "1.0.0"
source = "file"
installed_ms = 1790000000000
imports = ["models"]
hooks = ["request-hook"]
signed_by = "acme"

[[skills.otter.versions]]
digest = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
version = "1.1.0"
source = "folder"
installed_ms = 1790000000000
quarantined = '3 failures in a row: it trapped: "unreachable"'
"#;

#[test]
fn a_lock_is_one_text() {
    let mut lock = Lock::default();
    lock.trust("acme", FIRST_KEY.parse().unwrap()).unwrap();
    let swapper = SkillName::new("model-swapper");
    lock.set_enabled(&swapper, false);
    lock.grant(&swapper, &grants("residency=all,models"));
    let hooks = |list: &str| words(list);
    let first = Version {
        imports: words("models"),
        hooks: hooks("request-hook"),
        signed_by: Some("acme".to_owned()),
        ..version("a", "1.0.0")
    };
    let second = Version { source: "folder".to_owned(), ..version("b", "1.1.0") };
    let third = Version {
        source: "oci://ghcr.io/acme/otter:2".to_owned(),
        imports: words("models,http"),
        hooks: hooks("request-hook,tool-hook"),
        ..version("c", "2.0.0")
    };
    for offered in [first, second] {
        lock.install(&name(), offered, Terms::default()).unwrap();
    }
    lock.quarantine(&name(), &digest("b"), "3 failures in a row: it trapped: \"unreachable\"");
    lock.install(&name(), third, Terms::default()).unwrap();
    assert_eq!(lock.to_text().as_deref(), Ok(GOLDEN));
    assert_eq!(Lock::from_text(GOLDEN), Ok(lock));
    assert_eq!(Lock::from_text(&Lock::default().to_text().unwrap()), Ok(Lock::default()));
}

#[test]
fn a_text_that_is_not_understood_is_refused() {
    let check = |text: String, expected: &str| {
        let error = Lock::from_text(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let a = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    let b = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
    check(String::new(), "missing field `version`");
    check("version = 1\n[skills.otter]\nenabled = ".to_owned(), "it is not understood: line 3: ");
    check(
        GOLDEN.replace("version = 1\n", "version = 2\n"),
        "it is of version 2, and this gateway reads version 1",
    );
    check(GOLDEN.replace("enabled = true", "enabled = true\nmood = 1"), "line 14: unknown field `mood`");
    check(GOLDEN.replace("version = 1\n", "version = 1\nmood = 1\n"), "unknown field `mood`");
    check(GOLDEN.replace("signed_by", "signed"), "unknown field `signed`");
    check(GOLDEN.replace("sha256:2e", "sha256:2"), "a digest is `sha256:` and 64 lower-case hex digits");
    check(GOLDEN.replace("ed25519:11", "ed25519:"), "a public key is `ed25519:` and 32 bytes in base64");
    check(
        GOLDEN.replace(&format!("active = \"{a}"), &format!("active = \"{b}")),
        "skill `otter`: its active version is quarantined",
    );
    check(GOLDEN.replace(b, a), "skill `otter`: it has a version twice");
    let nowhere = Digest::of(b"nowhere").to_string();
    check(
        GOLDEN.replace(&format!("active = \"{a}"), &format!("active = \"{nowhere}")),
        "skill `otter`: its active version is none of its versions",
    );
    check(GOLDEN.split_at(GOLDEN.len() - 30).0.to_owned(), "it is not understood");
}

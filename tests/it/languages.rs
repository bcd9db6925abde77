//! Skills in other languages than Rust, built by their own tools: installed in a running gateway, granted, deciding,
//! swapped with a skill in Rust and back, and telling why where they fail.
//!
//! All about one language is one test: its component is compiled once, which takes seconds.

#![cfg(test)]

use pointsman::id::SkillName;
use pointsman::skill::{Installed, Offer};
use pointsman_tests::guests::{Language, guest};
use pointsman_tests::tools;
use pointsman_tests::world::{GENERAL, VISION, World, lmstudio, says, shows};

fn offer(wasm: Vec<u8>, source: &str) -> Offer {
    Offer {
        name: SkillName::new("policy"),
        wasm: wasm.into(),
        source: source.to_owned(),
        signature: None,
        grants: vec!["models".parse().unwrap()],
        force: true,
        approve: false,
    }
}

/// The same life for each: what it does is what the guest in `tests/guests` says in its first lines.
async fn lives(language: Language) {
    if tools::is_skipped(language.tool()) {
        return;
    }
    let policy = tokio::task::spawn_blocking(move || language.policy()).await.unwrap();
    let toml = "[skills.model-swapper]\nenabled = false\n";
    let world = World::configured(lmstudio(), toml).await;
    let skills = world.gateway.gateway().skills.clone();
    let (looked, installed) = skills.install(offer(policy, language.name())).await.unwrap();
    assert_eq!((installed, looked.version.as_str(), looked.wants.len()), (Installed::Activated, "1.0.0", 0));
    assert_eq!(looked.imports.len(), 1, "{looked:?}");

    let decides = async || {
        let answer = world.ask("s", &shows("What is this?")).await;
        assert!(answer.text().starts_with(&format!("[{VISION}]")), "{answer:?}");
        assert_eq!(answer.header("x-pointsman-reason"), format!("{}: picture", language.name()));
    };
    decides().await;
    let passed = world.ask("t", &says("hello")).await;
    assert!(passed.text().starts_with(&format!("[{GENERAL}]")), "{passed:?}");

    skills.install(offer(guest("policy-2"), "rust")).await.unwrap();
    assert_eq!(world.ask("u", &says("hello")).await.text(), "policy 2");
    skills.rollback(&SkillName::new("policy")).await.unwrap();
    decides().await;

    let failed = world.ask("t", &says("fail")).await;
    assert!(failed.text().starts_with(&format!("[{GENERAL}]")), "{failed:?}");
    let record = world.record(&failed).await;
    let told = record.steps[0].detail.as_deref().unwrap_or_default();
    assert!(told.contains("cannot make sense of"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_in_javascript_lives_like_any_other() {
    lives(Language::JavaScript).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_in_python_lives_like_any_other() {
    lives(Language::Python).await;
}

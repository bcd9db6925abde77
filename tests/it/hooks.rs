//! Hooks beside the request hook, and the capabilities that wait for others: guards, what skills keep, what they ask of
//! models. Real guests, and a house that answers for the gateway.

#![cfg(test)]

use std::sync::Arc;

use pointsman::id::ModelId;
use pointsman::skill::{Behind, Inquiry, Narrowed, Skills, StepResult};

use crate::skills::{Setup, reply, turn};

/// What the guards make of the house's models and one that nobody lists.
async fn narrowed(skills: &Arc<Skills>, text: &str) -> Narrowed {
    let models = vec![ModelId::of("lmstudio", "acme/otter-8b"), ModelId::of("lmstudio", "acme/owl-9b")];
    Inquiry::new(skills.generation(), turn(text), Behind::default()).narrow(models).await
}

fn left(narrowed: &Narrowed) -> Vec<&str> {
    narrowed.allowed.iter().flatten().map(ModelId::as_str).collect()
}

fn refused(narrowed: &Narrowed) -> (u16, &str) {
    match &narrowed.allowed {
        Err(refusal) => (refusal.status, refusal.message.as_str()),
        Ok(left) => panic!("{left:?}"),
    }
}

#[tokio::test]
async fn without_guards_everything_may_be_used() {
    let (skills, _, _) = Setup::of(&["router"]).start().await;
    assert!(!skills.generation().is_guarded());
    let all = narrowed(&skills, "none").await;
    assert_eq!((left(&all).len(), all.steps.len()), (2, 0));
}

#[tokio::test]
async fn a_guard_takes_models_away_and_adds_none() {
    let (skills, _, _) = Setup::of(&["guards"]).start().await;
    assert!(skills.generation().is_guarded());
    let otter = narrowed(&skills, "only otter").await;
    assert_eq!(left(&otter), ["lmstudio/acme/otter-8b"]);
    assert_eq!(otter.steps[0].result, StepResult::Narrowed);
    for text in ["none", "lie", "only owl"] {
        let narrowed = narrowed(&skills, text).await;
        let (status, message) = refused(&narrowed);
        assert!(
            status == 403 && message.contains("`guards` lets this request use none"),
            "{text}: {message}"
        );
    }
}

#[tokio::test]
async fn guards_intersect_and_fail_closed() {
    let twice = Setup::of(&["guards"]).component("second", pointsman_tests::guests::guest("guards"));
    let (skills, _, _) = twice.start().await;
    assert_eq!(narrowed(&skills, "only otter").await.steps.len(), 2);
    for (text, reason) in [("fail", "invalid: no"), ("trap", "the guard trapped")] {
        let narrowed = narrowed(&skills, text).await;
        let (status, message) = refused(&narrowed);
        assert!(status == 503 && message.contains(reason), "{text}: {message}");
        assert_eq!(narrowed.steps.len(), 1, "{text}: the next is not even asked");
    }
}

#[tokio::test]
async fn a_guard_asks_no_models() {
    let (skills, _, _) = Setup::of(&["guards"]).start().await;
    assert_eq!(left(&narrowed(&skills, "infer").await), ["lmstudio/acme/otter-8b"]);
}

#[tokio::test]
async fn a_guard_that_cannot_be_used_refuses_everything() {
    let setup = Setup::of(&["guards"]);
    let (skills, housekeeping, _) = setup.start().await;
    let watching = async {
        for _ in 0..pointsman::skill::FAILURES_MAX {
            narrowed(&skills, "trap").await;
        }
        // Taken out of use by the housekeeping, beside requests.
        while !matches!(skills.statuses()[0].state, pointsman::skill::State::Quarantined(_)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = housekeeping.run() => panic!("it runs as long as the skills are there"),
        () = watching => {}
    }
    let narrowed = narrowed(&skills, "only otter").await;
    let (status, message) = refused(&narrowed);
    assert!(status == 503 && message.contains("nothing is served without it"), "{message}");
}

#[tokio::test]
async fn what_a_skill_infers_is_guarded_and_counted() {
    let grants =
        |it: &mut pointsman::skill::SkillConfig| it.grants = Some(vec!["inference".parse().unwrap()]);
    let (skills, _, _) = Setup::of(&["infers"]).skill("infers", grants).start().await;
    // The house has the model and nobody who would ask it.
    assert_eq!(reply(&skills.generation().decide(turn("ask otter")).await), "Err(\"unavailable\")");
    assert_eq!(reply(&skills.generation().decide(turn("ask nobody")).await), "Err(\"not-found\")");
    assert_eq!(reply(&skills.generation().decide(turn("embed otter")).await), "Err(\"not-found\")");
    assert_eq!(reply(&skills.generation().decide(turn("ask-often otter")).await), "Some(\"limit\")");
    let (skills, _, _) = Setup::of(&["infers", "guards"]).skill("infers", grants).start().await;
    assert_eq!(reply(&skills.generation().decide(turn("ask otter")).await), "Err(\"unavailable\")");
    let narrow = |it: &mut pointsman::skill::SkillConfig| {
        it.grants = Some(vec!["inference=lmstudio/other-*".parse().unwrap()]);
    };
    let (skills, _, _) = Setup::of(&["infers"]).skill("infers", narrow).start().await;
    assert_eq!(reply(&skills.generation().decide(turn("ask otter")).await), "Err(\"denied\")");
}

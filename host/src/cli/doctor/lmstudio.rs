//! LM Studio: new enough to be told, who else loads models there, and what that does to those at work. Pure.
//!
//! Its list shows an instance's time to live only where a request had it loaded (observed, not documented), and its
//! OpenAI list names unloaded models only while requests may load them. Whether “Only Keep Last JIT Loaded Model” is on,
//! nothing says.

use super::configured::Configured;
use super::finding::Finding;
use super::models::AGENT_CONTEXT_GOOD;
use super::probe::Facts;
use super::provider::{ABOUT, left_to_itself, models};
use crate::provider::Control;

/// What it means. `lists_unloaded`: requests may load models.
pub(super) fn judge(
    configured: &Configured<'_>,
    facts: &Facts,
    lists_unloaded: Option<bool>,
) -> Vec<Finding> {
    if facts.control == Control::ListOnly {
        return old(configured, lists_unloaded);
    }
    let message = format!(
        "{}: LM Studio answers at {} with {}",
        configured.name,
        configured.provider.url,
        models(facts)
    );
    let mut findings = vec![Finding::ok(ABOUT, message)];
    if configured.is_gateways() {
        findings.extend(direct(facts, lists_unloaded));
    } else {
        findings.extend(left_to_itself(configured, facts));
        findings.extend(nobody_loads(configured, lists_unloaded));
    }
    findings
}

/// A version without loads over HTTP: what it has in memory can be asked, and requests load the rest.
fn old(configured: &Configured<'_>, lists_unloaded: Option<bool>) -> Vec<Finding> {
    let message = format!(
        "{}: the LM Studio at {} is older than 0.4.0: its models can be listed, and can neither be loaded nor unloaded over HTTP. \
         Requests have it load what they need (JIT), with its own settings, and nobody waits for running answers before it does",
        configured.name, configured.provider.url
    );
    let mend = format!(
        "update LM Studio to 0.4.0 or newer; until then leave “Just in Time Model Loading” on, switch “Only Keep Last JIT Loaded \
         Model” off (Developer tab, server settings), and set each model's default context to {AGENT_CONTEXT_GOOD} or more (My Models)"
    );
    let mut findings = vec![Finding::warn(ABOUT, message, mend)];
    findings.extend(nobody_loads(configured, lists_unloaded));
    findings
}

/// Clients that talk to LM Studio directly are not protected, and neither are others from them.
fn direct(facts: &Facts, lists_unloaded: Option<bool>) -> Option<Finding> {
    let mend = "let every client talk to Pointsman; then switch off “Just in Time Model Loading” in LM Studio (Developer tab, \
                server settings), and with it “Only Keep Last JIT Loaded Model”, which unloads models that are at work";
    let mut instances = facts.models.iter().flat_map(|model| &model.instances);
    if let Some(instance) = instances.find(|instance| instance.remaining_ttl.is_some()) {
        let message = format!(
            "{} was loaded by a request that did not come through Pointsman (it has a time to live): clients that talk to LM Studio \
             directly are not protected, and their loads can cut off running answers",
            instance.id
        );
        return Some(Finding::warn(ABOUT, message, mend));
    }
    let message = "LM Studio loads models for any request (JIT): clients that talk to it directly are not protected, and their \
                   loads can push out models that are in use";
    lists_unloaded.filter(|it| *it).map(|_| Finding::warn(ABOUT, message, mend))
}

/// The gateway does not load, and neither do requests.
fn nobody_loads(configured: &Configured<'_>, lists_unloaded: Option<bool>) -> Option<Finding> {
    let message = format!(
        "{}: requests load nothing either (JIT is off): only models that are in memory already can answer",
        configured.name
    );
    let mend = "switch “Just in Time Model Loading” on in LM Studio (Developer tab, server settings), or load by hand what is to be used";
    lists_unloaded.filter(|it| !*it).map(|_| Finding::warn(ABOUT, message, mend))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::finding::Level;
    use super::super::probe::Own;
    use super::super::tests::{at, facts, loaded, model};
    use super::*;
    use crate::provider::{Listed, ServerKind};

    const LEFT: &str = "residency = \"provider\"";

    /// What is said that is not in order.
    fn said(toml: &str, control: Control, models: Vec<Listed>, jit: Option<bool>) -> Vec<String> {
        let facts = facts(ServerKind::LmStudio, control, models, Own::LmStudio { lists_unloaded: jit });
        let findings = at(toml, |configured| judge(configured, &facts, jit));
        findings.into_iter().filter(|it| it.level == Level::Warn).map(|it| it.message).collect()
    }

    #[test]
    fn loads_by_requests_are_a_danger_only_to_a_memory_that_is_looked_after() {
        let models = || vec![model("gpt")];
        assert_eq!(said("", Control::Full, models(), Some(false)), Vec::<String>::new());
        assert_eq!(said("", Control::Full, models(), None), Vec::<String>::new());
        assert!(said("", Control::Full, models(), Some(true))[0].contains("JIT"));
        assert_eq!(said(LEFT, Control::Full, models(), Some(true)), Vec::<String>::new());
        assert!(said(LEFT, Control::Full, models(), Some(false))[0].contains("JIT is off"));
    }

    #[test]
    fn a_model_that_a_request_loaded_tells_on_its_client() {
        let mut gpt = loaded("gpt", 32_768);
        gpt.instances[0].remaining_ttl = Some(Duration::from_secs(3_541));
        let text = said("", Control::Full, vec![gpt], Some(true)).join("\n");
        assert!(text.contains("gpt was loaded by a request"), "{text}");
    }

    #[test]
    fn an_old_one_can_only_be_listed_and_says_how_to_mend_it() {
        for (toml, jit, count) in [("", Some(true), 1), ("", Some(false), 2), (LEFT, None, 1)] {
            let texts = said(toml, Control::ListOnly, vec![model("gpt")], jit);
            assert_eq!(texts.len(), count, "{texts:?}");
            assert!(texts[0].contains("neither be loaded nor unloaded"), "{texts:?}");
        }
        let own = Own::LmStudio { lists_unloaded: None };
        let facts = facts(ServerKind::LmStudio, Control::ListOnly, Vec::new(), own);
        let mend = at("", |configured| judge(configured, &facts, None))[0].mend.clone().unwrap();
        for part in ["update LM Studio", "Just in Time", "Only Keep Last", "32768"] {
            assert!(mend.contains(part), "{part}: {mend}");
        }
    }
}

//! Ollama: how much context its models really get, how many it keeps, and who else has it load. Pure.
//!
//! None of its settings can be asked over HTTP: they are variables where it runs. What shows is what is in memory, with
//! how much context, and for how long. A request of OpenAI's protocol names no context, and many versions load a model
//! again that was loaded with another.

use super::configured::{Configured, has_embedders};
use super::finding::Finding;
use super::models::AGENT_CONTEXT_GOOD;
use super::probe::Facts;
use super::provider::{ABOUT, left_to_itself, models};

/// Models that it keeps by itself where it has one graphics card or none: three for each.
const LOADED_MODELS: u32 = 3;

/// What it means.
pub(super) fn judge(configured: &Configured<'_>, facts: &Facts) -> Vec<Finding> {
    let message =
        format!("{}: Ollama answers at {} with {}", configured.name, configured.provider.url, models(facts));
    let mut findings = vec![Finding::ok(ABOUT, message)];
    findings.extend(left_to_itself(configured, facts));
    if configured.is_gateways() {
        findings.push(context(configured, facts));
        findings.push(limit(configured, facts));
        findings.push(direct(configured, facts));
    }
    findings
}

/// The most that is configured for any of its models; what agents need at least.
fn context(configured: &Configured<'_>, facts: &Facts) -> Finding {
    let asked = facts.models.iter().filter_map(|model| Some((&model.key, configured.context(&model.key)?)));
    let most = asked.max_by_key(|(_, tokens)| *tokens);
    let needed = most.map_or(AGENT_CONTEXT_GOOD, |(_, tokens)| tokens.max(AGENT_CONTEXT_GOOD));
    let mend = format!("set OLLAMA_CONTEXT_LENGTH={needed} where Ollama runs, and restart it");
    let resident = facts.models.iter().flat_map(|model| {
        let own = configured.context(&model.key);
        model.instances.iter().filter_map(move |it| Some((&it.id, it.settings.context_length?, own?)))
    });
    if let Some((id, has, asked)) = resident.into_iter().find(|(_, has, asked)| has < asked) {
        let message = format!(
            "{id} is in memory with {has} tokens of context, and {asked} are configured: Ollama has loaded it with a context of its own"
        );
        return Finding::warn(ABOUT, message, mend);
    }
    let name = configured.name;
    match most {
        Some((key, tokens)) => Finding::warn(
            ABOUT,
            format!(
                "{name}: {tokens} tokens of context are configured for {key}; a request in OpenAI's protocol names none, and many \
                 versions of Ollama load the model again with OLLAMA_CONTEXT_LENGTH, which cannot be asked from here"
            ),
            mend,
        ),
        None => Finding::note(
            ABOUT,
            format!(
                "{name}: models get the context of OLLAMA_CONTEXT_LENGTH, which cannot be asked from here"
            ),
            format!("{mend}; agents fail with less"),
        ),
    }
}

/// It may keep fewer models than the gateway means to.
fn limit(configured: &Configured<'_>, facts: &Facts) -> Finding {
    let name = configured.name;
    let Some(needed) = configured.most_loaded(has_embedders(&facts.models)) else {
        let message = format!(
            "{name}: Ollama keeps OLLAMA_MAX_LOADED_MODELS models at most ({LOADED_MODELS} for each graphics card unless set), whatever \
             `memory` has room for"
        );
        let mend = "set it where Ollama runs to more models than will ever fit, so that size alone decides";
        return Finding::note(ABOUT, message, mend);
    };
    if needed <= LOADED_MODELS {
        let message = format!(
            "{name}: Pointsman keeps up to {needed} models there, and Ollama at least {LOADED_MODELS} unless OLLAMA_MAX_LOADED_MODELS says less"
        );
        return Finding::ok(ABOUT, message);
    }
    let message = format!(
        "{name}: Pointsman may keep {needed} models there, and Ollama {LOADED_MODELS} for each graphics card unless \
         OLLAMA_MAX_LOADED_MODELS says otherwise: it would push out models that Pointsman means to keep"
    );
    let mend = format!(
        "set OLLAMA_MAX_LOADED_MODELS={needed} where Ollama runs, or lower `max_loaded` or `max_loaded_embeddings` under {}",
        configured.device_table()
    );
    Finding::warn(ABOUT, message, mend)
}

/// Every request loads: who talks to it directly is not protected. What the gateway loads stays for ever.
fn direct(configured: &Configured<'_>, facts: &Facts) -> Finding {
    let name = configured.name;
    let mend = "let every client talk to Pointsman, and to nothing else";
    let mut instances = facts.models.iter().flat_map(|model| &model.instances);
    match instances.find(|instance| instance.remaining_ttl.is_some()) {
        Some(instance) => Finding::warn(
            ABOUT,
            format!(
                "{} will go by itself when it is idle, so it was not Pointsman that loaded it: clients that talk to Ollama directly are \
                 not protected, and their loads can push out models that are in use",
                instance.id
            ),
            mend,
        ),
        None => Finding::note(
            ABOUT,
            format!(
                "{name}: Ollama loads models for any request: clients that talk to it directly are not protected"
            ),
            mend,
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::finding::Level;
    use super::super::probe::Own;
    use super::super::tests::{at, at_device, embedder, facts, loaded, model};
    use super::*;
    use crate::provider::{Control, Listed, ServerKind};

    fn ollama(models: Vec<Listed>) -> Facts {
        facts(ServerKind::Ollama, Control::Full, models, Own::Nothing)
    }

    #[test]
    fn the_context_is_what_the_servers_variable_says() {
        let configured = "[models.\"p/qwen3:8b\"]\ncontext_length = 65536\n";
        let cases = [
            ("", model("qwen3:8b"), Level::Ok, "32768"),
            (configured, model("qwen3:8b"), Level::Warn, "65536"),
            (configured, loaded("qwen3:8b", 65_536), Level::Warn, "65536"),
            (configured, loaded("qwen3:8b", 4_096), Level::Warn, "65536"),
        ];
        for (more, listed, level, tokens) in cases {
            let has = listed.instances.first().and_then(|it| it.settings.context_length);
            let facts = ollama(vec![listed]);
            let finding = at_device("", &format!("max_loaded = 1\n{more}"), |it| context(it, &facts));
            assert_eq!(finding.level, level, "{finding:?}");
            let mend = finding.mend.unwrap();
            assert!(mend.contains(&format!("OLLAMA_CONTEXT_LENGTH={tokens}")), "{mend}");
            assert_eq!(finding.message.contains("of its own"), has == Some(4_096), "{}", finding.message);
        }
    }

    #[test]
    fn its_limit_is_held_against_what_is_configured() {
        for (device, level, part) in [
            ("", Level::Ok, "up to 3"),
            ("max_loaded = 2", Level::Warn, "may keep 4"),
            ("max_loaded_embeddings = 1", Level::Ok, "up to 2"),
            ("memory = \"24GiB\"", Level::Ok, "`memory`"),
        ] {
            let facts = ollama(vec![model("a"), embedder("e")]);
            let finding = at_device("", device, |it| limit(it, &facts));
            assert!(finding.level == level && finding.message.contains(part), "{finding:?}");
        }
    }

    #[test]
    fn a_model_that_will_go_by_itself_tells_on_its_client() {
        let mut llama = loaded("llama3:8b", 32_768);
        assert_eq!(at("", |it| direct(it, &ollama(vec![llama.clone()]))).level, Level::Ok);
        llama.instances[0].remaining_ttl = Some(Duration::from_secs(299));
        let finding = at("", |it| direct(it, &ollama(vec![llama.clone()])));
        assert!(finding.level == Level::Warn && finding.message.contains("llama3:8b"), "{finding:?}");
        let left = at("residency = \"provider\"", |it| judge(it, &ollama(vec![llama.clone()])));
        assert_eq!((left.len(), left[1].level), (2, Level::Ok), "its memory is its own business: {left:?}");
    }
}

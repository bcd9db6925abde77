//! The models that all servers have together: enough for what the bundled skills do, and loaded so that agents can work
//! with them. Pure: lists in, findings out.

use super::configured::Configured;
use super::finding::Finding;
use super::probe::Facts;
use crate::model::Kind;
use crate::provider::{Control, Listed, ServerKind};

const ABOUT: &str = "models";

/// Tokens of context below which agents fail: their system prompts alone have 8 to 12 thousand.
const AGENT_CONTEXT_LEAST: u32 = 16_384;

/// The context that is proposed.
pub(super) const AGENT_CONTEXT_GOOD: u32 = 32_768;

/// How the default translation model's name begins.
const TRANSLATOR: &str = "translategemma";

/// A server that answered, and what the configuration says of it.
pub(super) type Answered<'a> = (Configured<'a>, Facts);

/// What the lists of all servers that answered mean together; nothing where none did.
pub(super) fn judge(answered: &[Answered<'_>]) -> Vec<Finding> {
    if answered.is_empty() {
        return Vec::new();
    }
    let all = answered.iter().flat_map(|(_, facts)| &facts.models);
    let languages: Vec<&Listed> = all.filter(|model| model.kind == Kind::Language).collect();
    if languages.is_empty() {
        let whose = if answered.len() == 1 { "the model server has" } else { "the model servers have" };
        let mend = "download one (in LM Studio on its Discover tab or with `lms get openai/gpt-oss-20b`, in Ollama with `ollama pull \
                    gpt-oss:20b`)";
        return vec![Finding::fail(ABOUT, format!("{whose} no language model"), mend)];
    }
    let mut findings = vec![translation(&languages), reading(&languages)];
    findings.extend(answered.iter().flat_map(|(configured, facts)| contexts(configured, facts)));
    findings
}

/// The intents `translate` and `image-translation` need one.
fn translation(languages: &[&Listed]) -> Finding {
    let short = |model: &Listed| model.key.rsplit('/').next().unwrap_or_default().to_lowercase();
    match languages.iter().find(|model| short(model).starts_with(TRANSLATOR)) {
        Some(model) => Finding::ok(ABOUT, format!("{} translates, also what stands in images", model.key)),
        None => Finding::warn(
            ABOUT,
            "there is no translategemma: requests to translate stay with the model that is asked",
            "download google/translategemma-12b-it (or -4b-it) to a model server, or name another model in \
             `[skills.model-swapper.settings]`",
        ),
    }
}

/// The intent `ocr` needs one.
fn reading(languages: &[&Listed]) -> Finding {
    let seeing: Vec<&str> = languages.iter().filter(|it| it.vision).map(|it| it.key.as_str()).collect();
    match seeing.split_first() {
        Some((first, [])) => Finding::ok(ABOUT, format!("{first} reads images")),
        Some((first, rest)) => Finding::ok(ABOUT, format!("{first} and {} more read images", rest.len())),
        None => Finding::warn(
            ABOUT,
            "no model takes images: text in images cannot be read",
            "download one with vision to a model server, for example qwen/qwen2.5-vl-7b",
        ),
    }
}

/// Models in memory with less context than agents need.
fn contexts(configured: &Configured<'_>, facts: &Facts) -> Vec<Finding> {
    let languages = facts.models.iter().filter(|model| model.kind == Kind::Language);
    languages.flat_map(|model| contexts_of(configured, facts, model)).collect()
}

fn contexts_of(configured: &Configured<'_>, facts: &Facts, model: &Listed) -> Vec<Finding> {
    let key = &model.key;
    let is_loaded_anew = facts.kind == ServerKind::LmStudio && facts.control == Control::Full;
    let is_mended =
        is_loaded_anew && configured.context(key).is_some_and(|tokens| tokens >= AGENT_CONTEXT_LEAST);
    let is_small_by_nature = model.max_context.is_some_and(|most| most < AGENT_CONTEXT_LEAST);
    let is_specialist = key.to_lowercase().contains(TRANSLATOR);
    if is_mended || is_small_by_nature || is_specialist {
        return Vec::new();
    }
    let small = model.instances.iter().filter_map(|instance| {
        let tokens = instance.settings.context_length.filter(|tokens| *tokens < AGENT_CONTEXT_LEAST)?;
        let message = format!(
            "{} is loaded with {tokens} tokens of context; an agent's system prompt alone has 8 to 12 thousand",
            instance.id
        );
        Some(Finding::warn(ABOUT, message, enlarged(configured, facts, key)))
    });
    small.collect()
}

/// How a model of this server gets more context.
fn enlarged(configured: &Configured<'_>, facts: &Facts, key: &str) -> String {
    match (facts.kind, facts.control) {
        (ServerKind::LmStudio, Control::Full) if configured.is_gateways() => format!(
            "say `context_length = {AGENT_CONTEXT_GOOD}` under `[models.\"{key}\"]`; until then the first long request has it loaded again"
        ),
        (ServerKind::LmStudio, _) => {
            format!(
                "set its default context to {AGENT_CONTEXT_GOOD} in LM Studio (My Models), and load it again"
            )
        }
        (ServerKind::LlamaServer, Control::Full) => {
            format!(
                "write `c = {AGENT_CONTEXT_GOOD}` into its section of the router's preset, or start the router with `-c {AGENT_CONTEXT_GOOD}`"
            )
        }
        (ServerKind::LlamaServer, Control::ListOnly) => {
            format!("start its server with `-c {AGENT_CONTEXT_GOOD}`; slots (`-np`) share it")
        }
        (ServerKind::Ollama, _) => {
            format!("set OLLAMA_CONTEXT_LENGTH={AGENT_CONTEXT_GOOD} where Ollama runs, and restart it")
        }
        (ServerKind::OpenAi, _) => "see how its server is told to give it more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::probe::Own;
    use super::super::tests::{at, at_device, facts, loaded, model};
    use super::*;

    fn lmstudio(models: Vec<Listed>) -> Facts {
        facts(ServerKind::LmStudio, Control::Full, models, Own::Nothing)
    }

    fn said(models: Vec<Listed>) -> Vec<String> {
        let findings = at("", |configured| judge(&[(*configured, lmstudio(models.clone()))]));
        findings.into_iter().filter(|it| it.level != Level::Ok).map(|it| it.message).collect()
    }

    #[test]
    fn a_good_set_of_models_is_praised() {
        let translator = Listed { vision: true, ..model("google/translategemma-12b-it") };
        assert_eq!(said(vec![translator, loaded("openai/gpt-oss-20b", 32_768)]), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_is_said_of_all_servers_together() {
        let findings = at("", |configured| judge(&[(*configured, lmstudio(Vec::new()))]));
        assert_eq!((findings.len(), findings[0].level), (1, Level::Fail));
        let text = said(vec![model("qwen/qwen3-8b")]).join("\n");
        assert!(text.contains("no translategemma") && text.contains("no model takes images"), "{text}");
        assert_eq!(judge(&[]), Vec::new(), "what does not answer has been told");

        let elsewhere = Listed { vision: true, ..model("translategemma:12b") };
        let both = at("", |it| {
            let other = facts(ServerKind::Ollama, Control::Full, vec![elsewhere.clone()], Own::Nothing);
            judge(&[(*it, lmstudio(vec![model("qwen/qwen3-8b")])), (*it, other)])
        });
        assert!(both.iter().all(|it| it.level == Level::Ok), "{both:?}");
    }

    #[test]
    fn small_contexts_are_seen_where_they_matter() {
        let configured = "[models.\"gpt\"]\ncontext_length = 32768\n";
        let tiny = Listed { max_context: Some(8_192), ..loaded("tiny", 4_096) };
        let cases = [
            (loaded("gpt", 4_096), "", 1),
            (loaded("gpt", 4_096), configured, 0),
            (loaded("gpt", 32_768), "", 0),
            (loaded("google/translategemma-4b-it", 4_096), "", 0),
            (tiny, "", 0),
        ];
        for (listed, more, count) in cases {
            let facts = lmstudio(vec![listed]);
            let findings = at_device("", &format!("max_loaded = 1\n{more}"), |it| contexts(it, &facts));
            assert_eq!(findings.len(), count, "{findings:?}");
        }
    }

    #[test]
    fn every_kind_of_server_has_its_own_way_to_more_context() {
        let cases = [
            (ServerKind::LmStudio, Control::Full, "context_length = 32768"),
            (ServerKind::LmStudio, Control::ListOnly, "My Models"),
            (ServerKind::LlamaServer, Control::Full, "preset"),
            (ServerKind::LlamaServer, Control::ListOnly, "`-c 32768`"),
            (ServerKind::Ollama, Control::Full, "OLLAMA_CONTEXT_LENGTH=32768"),
            (ServerKind::OpenAi, Control::ListOnly, "its server"),
        ];
        for (kind, control, part) in cases {
            let facts = facts(kind, control, vec![loaded("gpt", 4_096)], Own::Nothing);
            let findings = at("", |configured| contexts(configured, &facts));
            let mend = findings[0].mend.clone().unwrap();
            assert!(findings.len() == 1 && mend.contains(part), "{mend}");
        }
    }
}

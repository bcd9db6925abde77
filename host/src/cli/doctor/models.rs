//! The models that LM Studio has: enough for what the bundled skills do, and loaded so that agents can work with them.
//! Pure: its list in, findings out.

use serde::Deserialize;

use super::finding::Finding;

const ABOUT: &str = "models";

/// Tokens of context below which agents fail: their system prompts alone have 8 to 12 thousand.
const AGENT_CONTEXT_LEAST: u32 = 16_384;

/// The context that is proposed.
const AGENT_CONTEXT_GOOD: u32 = 32_768;

/// How the default translation model's name begins.
const TRANSLATOR: &str = "translategemma";

/// A model as LM Studio lists it (`GET /api/v1/models`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Listed {
    /// What LM Studio calls it.
    pub(super) key: String,
    /// `llm`, `embedding`.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    /// Absent for embedding models.
    #[serde(default)]
    pub(super) capabilities: Capabilities,
    /// Tokens.
    #[serde(default)]
    pub(super) max_context_length: u32,
    /// Where it is in memory.
    #[serde(default)]
    pub(super) loaded_instances: Vec<Instance>,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    /// It takes images.
    pub(super) vision: bool,
}

/// A model in memory.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Instance {
    /// What LM Studio calls it.
    pub(super) id: String,
    /// How it was loaded.
    #[serde(default)]
    pub(super) config: Settings,
    /// Only where a request had it loaded (observed, not documented).
    #[serde(default)]
    pub(super) remaining_ttl_seconds: Option<f64>,
}

/// How a model was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    /// Tokens.
    pub(super) context_length: Option<u32>,
}

/// What the list means. `lists_unloaded`: requests may load models; `configured`: the context that is configured for a key.
pub(super) fn judge(
    models: &[Listed],
    lists_unloaded: Option<bool>,
    configured: &dyn Fn(&str) -> Option<u32>,
) -> Vec<Finding> {
    let languages: Vec<&Listed> = models.iter().filter(|model| model.kind == "llm").collect();
    if languages.is_empty() {
        let mend = "download one in LM Studio (Discover tab, or `lms get openai/gpt-oss-20b`)";
        return vec![Finding::fail(ABOUT, "LM Studio has no language model", mend)];
    }
    let mut findings = vec![translation(&languages), reading(&languages)];
    findings.extend(languages.iter().flat_map(|model| contexts(model, configured)));
    findings.extend(direct(&languages, lists_unloaded));
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
            "download google/translategemma-12b-it (or -4b-it) in LM Studio, or name another model in \
             `[skills.model-swapper.settings]`",
        ),
    }
}

/// The intent `ocr` needs one.
fn reading(languages: &[&Listed]) -> Finding {
    let seeing: Vec<&str> =
        languages.iter().filter(|it| it.capabilities.vision).map(|it| it.key.as_str()).collect();
    match seeing.split_first() {
        Some((first, [])) => Finding::ok(ABOUT, format!("{first} reads images")),
        Some((first, rest)) => Finding::ok(ABOUT, format!("{first} and {} more read images", rest.len())),
        None => Finding::warn(
            ABOUT,
            "no model takes images: text in images cannot be read",
            "download one with vision in LM Studio, for example qwen/qwen2.5-vl-7b",
        ),
    }
}

fn contexts(model: &Listed, configured: &dyn Fn(&str) -> Option<u32>) -> Vec<Finding> {
    let key = &model.key;
    let is_mended = configured(key).is_some_and(|tokens| tokens >= AGENT_CONTEXT_LEAST);
    let is_small_by_nature = model.max_context_length != 0 && model.max_context_length < AGENT_CONTEXT_LEAST;
    let is_specialist = key.to_lowercase().contains(TRANSLATOR);
    if is_mended || is_small_by_nature || is_specialist {
        return Vec::new();
    }
    let small = model.loaded_instances.iter().filter_map(|instance| {
        let tokens = instance.config.context_length.filter(|tokens| *tokens < AGENT_CONTEXT_LEAST)?;
        let message = format!("{} is loaded with {tokens} tokens of context; an agent's system prompt alone has 8 to 12 thousand", instance.id);
        let mend = format!(
            "say `context_length = {AGENT_CONTEXT_GOOD}` under `[models.\"{key}\"]`; until then the first long request has it loaded again"
        );
        Some(Finding::warn(ABOUT, message, mend))
    });
    small.collect()
}

/// Clients that talk to LM Studio directly are not protected, and neither are others from them.
fn direct(languages: &[&Listed], lists_unloaded: Option<bool>) -> Option<Finding> {
    let mend = "let every client talk to Pointsman; then switch off “Just in Time Model Loading” in LM Studio (Developer tab, \
                server settings), and with it “Only Keep Last JIT Loaded Model”";
    let by_request = languages
        .iter()
        .flat_map(|model| &model.loaded_instances)
        .find(|instance| instance.remaining_ttl_seconds.is_some());
    if let Some(instance) = by_request {
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

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn llm(key: &str) -> Listed {
        Listed {
            key: key.to_owned(),
            kind: "llm".to_owned(),
            max_context_length: 131_072,
            ..Listed::default()
        }
    }

    fn loaded(key: &str, tokens: u32, ttl: Option<f64>) -> Listed {
        let config = Settings { context_length: Some(tokens) };
        let instance = Instance { id: key.to_owned(), config, remaining_ttl_seconds: ttl };
        Listed { loaded_instances: vec![instance], ..llm(key) }
    }

    fn said(models: &[Listed], lists_unloaded: Option<bool>, configured: Option<u32>) -> Vec<String> {
        let findings = judge(models, lists_unloaded, &|_| configured);
        findings.into_iter().filter(|it| it.level != Level::Ok).map(|it| it.message).collect()
    }

    #[test]
    fn a_good_set_of_models_is_praised() {
        let mut translator = llm("google/translategemma-12b-it");
        translator.capabilities.vision = true;
        let models = [translator, loaded("openai/gpt-oss-20b", 32_768, None)];
        assert_eq!(said(&models, Some(false), None), Vec::<String>::new());
        assert_eq!(said(&models, None, None), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_is_said() {
        let findings = judge(&[], Some(true), &|_| None);
        assert_eq!(findings[0].level, Level::Fail);
        let text = said(&[llm("qwen/qwen3-8b")], Some(true), None).join("\n");
        for part in ["no translategemma", "no model takes images", "JIT"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn small_contexts_are_seen_where_they_matter() {
        let count = |model: &Listed, configured| contexts(model, &|_| configured).len();
        assert_eq!(count(&loaded("gpt", 4_096, None), None), 1);
        assert_eq!(count(&loaded("gpt", 4_096, None), Some(32_768)), 0);
        assert_eq!(count(&loaded("gpt", 32_768, None), None), 0);
        assert_eq!(count(&loaded("google/translategemma-4b-it", 4_096, None), None), 0);
        assert_eq!(count(&Listed { max_context_length: 8_192, ..loaded("tiny", 4_096, None) }, None), 0);
    }

    #[test]
    fn a_model_that_a_request_loaded_tells_on_its_client() {
        let text = said(&[loaded("gpt", 32_768, Some(3_541.0))], Some(true), None).join("\n");
        assert!(text.contains("gpt was loaded by a request"), "{text}");
    }
}

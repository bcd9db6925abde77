//! Lists of models in OpenAI's shape, as the many servers that speak its protocol write them: only `id` is common to all,
//! and what a model can is said under a dozen names or not at all.
//!
//! Every name that is read stands in the tables here, with who writes it. What is not said is not guessed, but for one
//! thing: a model whose name speaks of embedding makes vectors.

use serde_json::Value;

/// One model of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What requests name.
    pub id: String,
    /// For people.
    pub display_name: Option<String>,
    /// Tokens of context.
    pub context: Option<u32>,
    /// Bytes.
    pub size_bytes: Option<u64>,
    /// It takes images.
    pub vision: bool,
    /// It can call tools.
    pub tool_use: bool,
    /// It can reason.
    pub reasoning: bool,
    /// It makes vectors.
    pub embedding: bool,
}

/// Where lists stand: in OpenAI's own place, or in that of servers which imitate others too.
const LISTS: [&str; 2] = ["/data", "/models"];

/// Where the context stands: OpenRouter (what is served goes before what could be), most others, vLLM and SGLang, Groq,
/// Mistral, LiteLLM, llama.cpp.
const CONTEXTS: [&str; 9] = [
    "/top_provider/context_length",
    "/context_length",
    "/max_model_len",
    "/context_window",
    "/max_context_length",
    "/max_input_tokens",
    "/model_info/max_input_tokens",
    "/meta/n_ctx",
    "/meta/n_ctx_train",
];

/// Where the size stands: llama.cpp.
const SIZES: [&str; 1] = ["/meta/size"];

/// Where names for people stand.
const NAMES: [&str; 3] = ["/display_name", "/name", "/model_info/display_name"];

/// Flags and lists that tell of images: Mistral, LiteLLM; OpenRouter and llama.cpp, others.
const VISION: [(&str, &[&str]); 6] = [
    ("/capabilities/vision", &[]),
    ("/model_info/supports_vision", &[]),
    ("/supports_vision", &[]),
    ("/architecture/input_modalities", &["image"]),
    ("/input_modalities", &["image"]),
    ("/capabilities", &["vision", "multimodal"]),
];

/// Flags and lists that tell of tools: Mistral, LiteLLM; OpenRouter, others.
const TOOLS: [(&str, &[&str]); 5] = [
    ("/capabilities/function_calling", &[]),
    ("/model_info/supports_function_calling", &[]),
    ("/supports_tools", &[]),
    ("/supported_parameters", &["tools"]),
    ("/capabilities", &["tools", "tool_use", "function_calling"]),
];

/// Flags and lists that tell of reasoning.
const REASONING: [(&str, &[&str]); 5] = [
    ("/capabilities/reasoning", &[]),
    ("/model_info/supports_reasoning", &[]),
    ("/supports_reasoning", &[]),
    ("/supported_parameters", &["reasoning", "include_reasoning"]),
    ("/capabilities", &["reasoning", "thinking"]),
];

/// Where the purpose stands: Together and others, LiteLLM.
const PURPOSES: [&str; 3] = ["/type", "/mode", "/model_info/mode"];

/// The models of a list that can be read; none where it is no list.
pub fn models(list: &Value) -> Option<impl Iterator<Item = Model> + '_> {
    let found = LISTS.iter().find_map(|place| list.pointer(place)?.as_array());
    Some(list.as_array().or(found)?.iter().filter_map(model))
}

/// A name that speaks of embedding.
pub fn is_embedders(name: &str) -> bool {
    name.to_ascii_lowercase().contains("embed")
}

fn model(entry: &Value) -> Option<Model> {
    let id = entry.get("id").and_then(Value::as_str).filter(|id| !id.is_empty())?;
    let purpose = PURPOSES.iter().find_map(|place| entry.pointer(place)?.as_str());
    Some(Model {
        id: id.to_owned(),
        display_name: NAMES.iter().find_map(|place| entry.pointer(place)?.as_str()).map(str::to_owned),
        context: number(entry, &CONTEXTS).and_then(|tokens| u32::try_from(tokens).ok()),
        size_bytes: number(entry, &SIZES),
        vision: says(entry, &VISION),
        tool_use: says(entry, &TOOLS),
        reasoning: says(entry, &REASONING),
        embedding: purpose.is_some_and(is_embedders) || is_embedders(id),
    })
}

fn number(entry: &Value, places: &[&str]) -> Option<u64> {
    places.iter().find_map(|place| entry.pointer(place)?.as_u64().filter(|number| *number > 0))
}

/// One of the flags is set, or one of the lists holds one of its words.
fn says(entry: &Value, places: &[(&str, &[&str])]) -> bool {
    places.iter().any(|(place, words)| match entry.pointer(place) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Array(said)) => said.iter().filter_map(Value::as_str).any(|it| words.contains(&it)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The first model's context, vision, tools, reasoning, purpose.
    fn check(list: &Value, id: &str, context: Option<u32>, can: [bool; 4]) {
        let model = models(list).unwrap().next().unwrap();
        assert_eq!((model.id.as_str(), model.context), (id, context), "{list}");
        assert_eq!([model.vision, model.tool_use, model.reasoning, model.embedding], can, "{list}");
    }

    #[test]
    fn the_lists_of_many_servers_are_read() {
        let bare = json!({"object": "list", "data": [{"object": "model"}, {"id": "gpt-x", "owned_by": "o"}]});
        check(&bare, "gpt-x", None, [false; 4]);
        let vllm = json!({"data": [{"id": "m", "max_model_len": 32768, "root": "m"}]});
        check(&vllm, "m", Some(32768), [false; 4]);
        let openrouter = json!({"data": [{"id": "a/b", "name": "A: B", "context_length": 200_000,
            "architecture": {"input_modalities": ["text", "image"]}, "top_provider": {"context_length": 128_000},
            "supported_parameters": ["tools", "reasoning"]}]});
        check(&openrouter, "a/b", Some(128_000), [true, true, true, false]);
        let litellm = json!({"data": [{"id": "e", "model_info": {"mode": "embedding", "max_input_tokens": 8191,
            "supports_vision": null, "supports_function_calling": false}}]});
        check(&litellm, "e", Some(8191), [false, false, false, true]);
        let mistral = json!({"data": [{"id": "p", "max_context_length": 131_072,
            "capabilities": {"vision": true, "function_calling": true}}]});
        check(&mistral, "p", Some(131_072), [true, true, false, false]);
        let together = json!([{"id": "t", "type": "chat", "context_length": 8192}]);
        check(&together, "t", Some(8192), [false; 4]);
        let llama =
            json!({"models": [{"name": "x"}], "data": [{"id": "l", "meta": {"n_ctx": 4096, "size": 7}}]});
        check(&llama, "l", Some(4096), [false; 4]);
    }

    #[test]
    fn odd_values_are_left_out_and_other_documents_are_no_lists() {
        let odd = json!({"data": [{"id": "text-embedding-x", "context_length": -1, "max_model_len": "many",
            "capabilities": ["vision", 7]}, {"id": ""}, "x"]});
        check(&odd, "text-embedding-x", None, [true, false, false, true]);
        assert_eq!(models(&odd).unwrap().count(), 1);
        for other in [json!({"error": "x"}), json!({"data": {}}), json!("x"), json!(null)] {
            assert!(models(&other).is_none(), "{other}");
        }
    }
}

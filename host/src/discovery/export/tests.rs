//! What each client is given, key by key: a key that a client does not read, or misses, is a finding here.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::discovery::{Fallback, cards};
use crate::id::ModelId;
use crate::model::{Costs, Model};

const BASE_URL: &str = "http://127.0.0.1:8484/v1";

fn models() -> Vec<Model> {
    let model = |id: &str| Model {
        id: ModelId::new(id),
        display_name: "Otter 8B".to_owned(),
        kind: Kind::Language,
        vision: false,
        tool_use: true,
        reasoning: true,
        local: true,
        max_context: Some(32_768),
        size_bytes: Some(5_000_000_000),
        instances: Vec::new(),
        load_seconds: Some(4.26),
        costs: Costs::default(),
    };
    vec![
        Model {
            max_context: None,
            tool_use: false,
            reasoning: false,
            vision: true,
            ..model("lmstudio/zoo/owl")
        },
        model("lmstudio/acme/otter-8b"),
        Model { kind: Kind::Embedding, max_context: Some(2_048), ..model("lmstudio/embed") },
    ]
}

fn export(format: Format) -> Export {
    Export::new(format, cards(&models()), BASE_URL)
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn openclaw_is_given_the_rows_that_its_schema_knows() {
    let document: Value = serde_json::from_str(&export(Format::Openclaw).text()).unwrap();
    assert_eq!(keys(&document), ["models"].into());
    assert_eq!(keys(&document["models"]), ["providers"].into());
    assert_eq!(keys(&document["models"]["providers"]), ["pointsman"].into());
    let provider = &document["models"]["providers"]["pointsman"];
    assert_eq!(keys(provider), ["baseUrl", "apiKey", "api", "timeoutSeconds", "models"].into());
    assert_eq!(provider["baseUrl"], BASE_URL);
    assert_eq!(provider["apiKey"], "local");
    assert_eq!(provider["api"], "openai-completions");
    assert_eq!(provider["timeoutSeconds"], 900);
    let rows = provider["models"].as_array().unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["auto", "acme/otter-8b", "zoo/owl"]);
    let row = |id: &str| rows.iter().find(|row| row["id"] == id).unwrap();
    let compat = json!({"sendSessionAffinityHeaders": true, "supportsPromptCacheKey": true});
    let cost = json!({"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0});
    let auto = json!({
        "id": "auto", "name": "auto", "reasoning": false, "input": ["text", "image"], "cost": cost,
        "contextWindow": 32_768, "maxTokens": 8_192, "compat": compat,
    });
    assert_eq!(*row("auto"), auto);
    let otter = json!({
        "id": "acme/otter-8b", "name": "Otter 8B", "reasoning": true, "input": ["text"], "cost": cost,
        "contextWindow": 32_768, "maxTokens": 8_192, "compat": compat,
    });
    assert_eq!(*row("acme/otter-8b"), otter);
    assert_eq!(row("zoo/owl")["contextWindow"], 128_000);
    assert_eq!(row("zoo/owl")["input"], json!(["text", "image"]));
}

#[test]
fn opencode_is_given_the_provider_that_its_schema_knows() {
    let text = export(Format::Opencode).text();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(keys(&document), ["$schema", "provider"].into());
    assert!(text.starts_with("{\n  \"$schema\": \"https://opencode.ai/config.json\","), "{text}");
    let provider = &document["provider"]["pointsman"];
    assert_eq!(keys(provider), ["npm", "name", "options", "models"].into());
    assert_eq!(provider["npm"], "@ai-sdk/openai-compatible");
    let options = json!({"baseURL": BASE_URL, "apiKey": "local", "timeout": 900_000});
    assert_eq!(provider["options"], options);
    assert_eq!(keys(&provider["models"]), ["auto", "acme/otter-8b", "zoo/owl"].into());
    let cost = json!({"input": 0, "output": 0, "cache_read": 0, "cache_write": 0});
    let otter = json!({
        "name": "Otter 8B", "attachment": false, "reasoning": true, "temperature": true, "tool_call": true,
        "cost": cost, "limit": {"context": 32_768, "output": 8_192},
        "modalities": {"input": ["text"], "output": ["text"]},
    });
    assert_eq!(provider["models"]["acme/otter-8b"], otter);
    let owl = &provider["models"]["zoo/owl"];
    assert_eq!((&owl["attachment"], &owl["tool_call"]), (&json!(true), &json!(false)));
    assert_eq!(owl["modalities"]["input"], json!(["text", "image"]));
    assert_eq!(owl["limit"], json!({"context": 128_000, "output": 8_192}));
}

#[test]
fn our_own_export_has_all_that_is_known_and_says_what_is_not() {
    let document: Value = serde_json::from_str(&export(Format::Json).text()).unwrap();
    assert_eq!(keys(&document), OURS.into());
    assert_eq!(document["base_url"], BASE_URL);
    let rows = document["models"].as_array().unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["auto", "acme/otter-8b", "embed", "zoo/owl"]);
    let otter = json!({
        "id": "acme/otter-8b", "model": "lmstudio/acme/otter-8b", "name": "Otter 8B", "kind": "language",
        "vision": false, "tools": true, "reasoning": true, "local": true, "context_length": 32_768,
        "max_output_tokens": 8_192, "cost": {"input": 0, "output": 0}, "size_bytes": 5_000_000_000_u64,
        "load_seconds": 4.3, "fallback": ["max_output_tokens", "cost"],
    });
    assert_eq!(rows[1], otter);
    assert_eq!((&rows[0]["model"], &rows[0]["size_bytes"]), (&Value::Null, &Value::Null));
    assert_eq!((&rows[2]["kind"], &rows[2]["max_output_tokens"]), (&json!("embedding"), &Value::Null));
    assert_eq!(rows[3]["fallback"], json!(["context_length", "max_output_tokens", "cost"]));
    let words: BTreeSet<_> = rows.iter().flat_map(keys).collect();
    for fallback in [Fallback::Context, Fallback::Output, Fallback::Reasoning, Fallback::Cost] {
        assert!(words.contains(fallback.as_str()), "{fallback:?} names no key");
    }
}

#[test]
fn the_order_in_which_a_provider_lists_changes_nothing() {
    let mut turned = models();
    turned.reverse();
    for format in [Format::Openclaw, Format::Opencode, Format::Json] {
        let text = export(format).text();
        assert_eq!(Export::new(format, cards(&turned), BASE_URL).text(), text);
        assert!(text.ends_with("}\n"));
    }
}

#[test]
fn without_a_model_there_is_still_auto() {
    for format in [Format::Openclaw, Format::Opencode, Format::Json] {
        let export = Export::new(format, cards(&[]), BASE_URL);
        assert_eq!(export.models(), 1);
        assert!(export.text().contains("128000"), "{}", export.text());
    }
}

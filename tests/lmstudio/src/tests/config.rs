//! Configuration: what is written is what is read, and what means nothing is refused.

use crate::config::Template;
use crate::{Config, Fault, fault};

#[test]
fn the_printed_configuration_is_read_back() {
    let kinds = [fault::Kind::Guardrail, fault::Kind::Stall { after_chunks: 3 }];
    let config = kinds.into_iter().fold(Config::default(), |config, kind| {
        config.fault(Fault::always(kind).on(fault::Route::Chat).model("x").named("y"))
    });
    let config = config.loaded_with_context("qwen/qwen3-8b", 8192).memory_gb(24.0);
    assert_eq!(Config::from_toml(&config.to_toml()).unwrap(), config, "{}", config.to_toml());
}

#[test]
fn the_readme_example_is_valid() {
    let readme = include_str!("../../README.md");
    let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = Config::from_toml(example).unwrap();
    let models = config.catalogue();
    assert_eq!(models[0].template, Template::TranslategemmaStrict);
    assert_eq!(config.faults.len(), 3);
}

#[test]
fn what_means_nothing_is_refused() {
    let cases = [
        ("nonsense = 1", "unknown field"),
        ("[server]\nnonsense = 1", "unknown field"),
        ("[[models]]\nkey = \"a\"\nload_seconds = -1", "negative"),
        ("[[models]]\nkey = \"a\"\n[[models]]\nkey = \"a\"", "a is listed twice"),
        ("[[models]]\nvision = true", "no key"),
        ("[[loaded]]\nmodel = \"nobody\"", "no model nobody"),
        ("[[tuning]]\nmodel = \"nobody\"", "no model nobody"),
        ("[server]\nguardrail_status = 42", "no HTTP status"),
        ("[server]\nkilled_status = 99", "no HTTP status"),
        ("[engine]\nnonsense = 1", "unknown field"),
        ("[[models]]\nkey = \"a\"\ngguf = \"a.gguf\"", "no [engine] to run it"),
        ("[[downloadable]]\nlink = \"x\"", "no key"),
        ("[[downloadable]]\nbytes_per_second = -1.0\nmodel = { key = \"a\" }", "out of range"),
        ("[server]\nparallel = 0", "nonzero"),
        ("[server]\nmemory_total_gb = 0.0", "out of range"),
        ("[[models]]\nkey = \"a\"\ntokens_per_second = -1.0", "out of range"),
        ("[[faults]]\nkind = \"meteor\"", "unknown variant"),
        ("[[faults]]\nkind = \"guardrail\"\ncount = 0", "count"),
        ("[[faults]]\nkind = { stall = { after = 1 } }", "unexpected keys"),
    ];
    for (text, expected) in cases {
        let error = Config::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_tuning_changes_a_model_of_the_default_catalogue() {
    let config = Config::from_toml("[[tuning]]\nmodel = \"qwen/qwen3-8b\"\nload_seconds = 1.5").unwrap();
    let models = config.catalogue();
    let tuned = models.iter().find(|model| model.key == "qwen/qwen3-8b").unwrap();
    assert_eq!(tuned.load_time.as_secs_f64(), 1.5);
}

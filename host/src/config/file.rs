//! What may be written in `pointsman.toml`. Every key is optional and refused where it is unknown; what is true when all
//! of it is resolved is [`super::Config`]. How a text becomes this is `parse`.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;
use super::period::Period;
use super::size::Size;

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Address and port that clients connect to. Anything but loopback needs `[keys]`.
    pub listen: Option<String>,
    /// Folder of the admin token and of skills.
    pub data_dir: Option<PathBuf>,
    /// Host names, besides localhost and addresses, under which clients may reach the gateway.
    pub allowed_hosts: Vec<String>,
    /// The models of requests that no skill routes.
    pub defaults: Defaults,
    /// Model servers by name.
    pub providers: BTreeMap<String, Provider>,
    /// Memory that models share, by device; providers on loopback are on `local`.
    pub residency: BTreeMap<String, Residency>,
    /// Single models, by name.
    pub models: BTreeMap<String, Model>,
    /// Bounds.
    pub limits: Limits,
    /// Skills by name.
    pub skills: BTreeMap<String, Skill>,
    /// Turns that are kept, so that another version of a skill can be asked about them.
    pub recording: Recording,
    /// API keys by client name. With none, no key is asked for.
    pub keys: BTreeMap<String, Secret>,
}

/// `[defaults]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// The model of requests that name none, or `auto`.
    pub model: Option<String>,
    /// Models to try, in order, when all else failed.
    pub fallbacks: Vec<String>,
    /// May skills route requests that name a known model? True unless written.
    pub route_named_models: Option<bool>,
    /// What chat commands begin with, `/` unless written. Agents that keep `/model` to themselves want another, as `!`;
    /// an empty one switches chat commands off.
    pub command_prefix: Option<String>,
}

/// `[providers.NAME]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What kind of server it is. Unless written, what answers at its address decides.
    pub kind: Option<Kind>,
    /// Its address, with or without `/v1`. Only LM Studio, llama-server and Ollama have a usual one.
    pub url: Option<String>,
    /// Its API key.
    pub key: Option<Secret>,
    /// Who loads and unloads its models.
    #[serde(default)]
    pub residency: Mode,
    /// The memory that its models are in; servers that share a device share `[residency.DEVICE]`. Unless written, `local`
    /// for servers on this machine, else one of its own that is called like the provider.
    pub device: Option<String>,
    /// Its models run on the user's own machines; unless written, where its address is on this machine or in a private
    /// network.
    pub local: Option<bool>,
}

/// What kind of server a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// LM Studio.
    Lmstudio,
    /// llama.cpp's server, as a router or with a single model.
    LlamaServer,
    /// Ollama.
    Ollama,
    /// Any other server that speaks OpenAI's protocol, on this machine or elsewhere.
    Openai,
}

/// Who loads and unloads a provider's models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The gateway.
    #[default]
    Gateway,
    /// The provider, as it likes.
    Provider,
}

/// `[residency.DEVICE]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Residency {
    /// Language models in memory at once; 1 unless written.
    pub max_loaded: Option<NonZeroU32>,
    /// Memory for models, as "24GiB": in place of `max_loaded`, as many are loaded as fit by their size and a margin.
    pub memory: Option<Size>,
    /// Embedding models in memory at once; 2 unless written.
    pub max_loaded_embeddings: Option<NonZeroU32>,
    /// Requests that may wait for models; 512 unless written.
    pub max_queue: Option<NonZeroUsize>,
    /// Of these, of one session; 64 unless written.
    pub max_queue_per_session: Option<NonZeroUsize>,
    /// How long a waiting request respects the turns of others; by default three times the measured swap, 5s to 60s.
    pub max_wait: Option<Period>,
    /// How long running requests may hold up a swap; 10m unless written.
    pub drain_timeout: Option<Period>,
    /// How long a specialist stays when nobody needs it; 0s unless written.
    pub linger: Option<Period>,
    /// How long a tool loop keeps its model between two requests; 5s unless written.
    pub turn_grace: Option<Period>,
    /// How long a turn's route lasts at most; 5m unless written.
    pub turn_timeout: Option<Period>,
    /// How long it lasts after an error; 30s unless written.
    pub error_grace: Option<Period>,
    /// How long a load may take; 10m unless written.
    pub load_timeout: Option<Period>,
    /// How long a client may read nothing while others wait for its model; 30s unless written.
    pub slow_client: Option<Period>,
    /// How long a shutdown may take; 60s unless written.
    pub shutdown_timeout: Option<Period>,
}

/// `[models."NAME"]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Tokens of context to load it with at least.
    pub context_length: Option<NonZeroU32>,
    /// Other names for it.
    pub aliases: Vec<String>,
    /// It runs on the user's own machines, whatever its provider's address.
    pub local: Option<bool>,
    /// Price of a million tokens of the prompt, in your currency.
    pub input_cost: Option<f32>,
    /// Price of a million tokens of the answer, in your currency.
    pub output_cost: Option<f32>,
}

/// `[limits]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How long a stream's headers wait for a model before it is opened with comments; 10s unless written.
    pub stream_grace: Option<Period>,
    /// How long a provider may take to its first token; 10m unless written.
    pub answer_timeout: Option<Period>,
    /// Bytes of an answer that is not streamed; 64 MiB unless written.
    pub answer_bytes_max: Option<NonZeroUsize>,
    /// How long the tool calls of one message may take to be written by other models, loading them included; 60s unless
    /// written. Then the model's own calls go out.
    pub reroute_timeout: Option<Period>,
    /// Bytes of tool calls that are held back of one answer; 1 MiB unless written. What is longer goes out as it is.
    pub hold_bytes_max: Option<NonZeroUsize>,
    /// Bytes of a request's body, decompressed; 64 MiB unless written.
    pub body_bytes_max: Option<NonZeroUsize>,
    /// How long a client may take to send its body; 60s unless written.
    pub body_timeout: Option<Period>,
    /// Connections at once; 1024 unless written.
    pub connections_max: Option<NonZeroUsize>,
    /// What one call of a skill may use.
    pub skills: SkillLimits,
}

/// `[limits.skills]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SkillLimits {
    /// CPU time of a hook; 50ms unless written.
    pub hook_cpu: Option<Period>,
    /// CPU time of `describe` and of `configure`; 1s unless written.
    pub configure_cpu: Option<Period>,
    /// Time of a call, whatever it waits for; 2s unless written.
    pub wall_clock: Option<Period>,
    /// Time of a call of a skill that may use `inference` or `http`; 10s unless written.
    pub wall_clock_asking: Option<Period>,
    /// How long a call waits for a free instance; 2s unless written.
    pub instance_wait: Option<Period>,
    /// Elements of all tables of an instance; 20000 unless written.
    pub table_elements_max: Option<NonZeroUsize>,
    /// Bytes of log and output of a call; 16 KiB unless written.
    pub log_bytes_max: Option<NonZeroUsize>,
    /// Calls after which a warm instance is replaced; 100000 unless written.
    pub reuse_max: Option<NonZeroU32>,
    /// Bytes by which a warm instance may grow before it is replaced; 4 MiB unless written.
    pub reuse_growth_bytes_max: Option<NonZeroUsize>,
    /// Instances of one skill that are kept warm; 8 unless written.
    pub warm_max: Option<NonZeroUsize>,
    /// Bytes of all memories of an instance; 64 MiB unless written.
    pub memory_bytes_max: Option<NonZeroUsize>,
    /// Bytes that a call may carry out of the guest; 4 MiB unless written.
    pub transfer_bytes_max: Option<NonZeroUsize>,
    /// Host functions that a call may use; 1000 unless written.
    pub host_calls_max: Option<NonZeroU32>,
    /// Log lines of a call; 64 unless written.
    pub log_lines_max: Option<NonZeroU32>,
    /// Instances of all skills together; 64 unless written.
    pub instances_max: Option<NonZeroU32>,
}

/// `[recording]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recording {
    /// What skills were shown of each turn is kept on disk, the user's words among it; true unless written. Switched off,
    /// what was kept is removed.
    pub enabled: Option<bool>,
    /// Turns that are kept; 1000 unless written. Where more than 50 a second come, some are left out.
    pub turns_max: Option<NonZeroUsize>,
    /// Their size together, as "32MiB", which it is unless written; at most 128 MiB.
    pub bytes_max: Option<Size>,
}

/// `[skills.NAME]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Skill {
    /// It is asked; true unless written.
    pub enabled: Option<bool>,
    /// Its place in the chain; by default what the skill says itself. Lower is asked first.
    pub priority: Option<i32>,
    /// What it may use: `models`, `residency`, `residency=all`, … Bundled skills get all they import unless written.
    pub grants: Option<Vec<String>>,
    /// What a failure means.
    pub on_failure: OnFailure,
    /// The skill's own settings.
    pub settings: Option<BTreeMap<String, serde_json::Value>>,
}

/// What a skill's failure means for the request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The next skill is asked.
    #[default]
    Pass,
    /// The request is refused.
    Refuse,
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::env::Env;
    use crate::config::parse::PROBLEMS_MAX;
    use crate::config::{Overrides, resolve};

    fn problems(text: &str) -> Vec<(String, String)> {
        let (_, problems) = File::parse(text).unwrap();
        problems.into_iter().map(|it| (it.key.unwrap_or_default(), it.message)).collect()
    }

    #[test]
    fn a_key_in_the_wrong_place_is_not_told() {
        for (text, key, message) in [
            ("keys = \"sk-secret, expected x\"", "keys", "not what belongs here, which is a map (line 1)"),
            ("[providers]\nlmstudio = \"sk-secret\"", "providers.lmstudio", "(line 2)"),
            ("providers = [\"sk-secret\"]", "providers", "(line 1)"),
            ("[keys]\nlaptop = [\"sk-secret\"]", "keys.laptop", "(line 2)"),
            ("[providers.a]\nlocal = \"sk-secret\"", "providers.a.local", "a boolean (line 2)"),
        ] {
            let [(wrong, told)] = &problems(text)[..] else { panic!("{text}") };
            assert_eq!(wrong, key);
            assert!(told.ends_with(message) && !told.contains("sk-"), "{text}: {told}");
        }
    }

    #[test]
    fn every_wrong_key_is_named_with_its_line() {
        let text = r#"
listen = 8484
[limits]
stream_grace = "soon"
body_bytes_max = 0
[providers.lmstudio]
kind = "olama"
url = "http://127.0.0.1:1234"
[models."openai/gpt-oss"]
aliases = ["a", 2]
[skills.mine]
grant = ["models"]
settings = { anything = ["goes", 1] }
[keys]
laptop = 4711
"#;
        let found = problems(text);
        let expected = [
            ("keys.laptop", "(line 15)"),
            ("limits.body_bytes_max", "(line 5)"),
            ("limits.stream_grace", "(line 4)"),
            ("listen", "(line 2)"),
            (r#"models."openai/gpt-oss".aliases[1]"#, "(line 10)"),
            ("providers.lmstudio.kind", "(line 7)"),
            ("skills.mine.grant", "(line 12)"),
        ];
        let mut keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, expected.map(|(key, _)| key), "{found:#?}");
        for (key, line) in expected {
            let (_, message) = found.iter().find(|(it, _)| it == key).unwrap();
            assert!(message.ends_with(line), "{key}: {message}");
        }
        assert!(!found.iter().any(|(_, message)| message.contains("4711")), "a key is not printed");
    }

    #[test]
    fn what_is_right_is_read_all_the_same() {
        let (file, problems) = File::parse("listen = \"127.0.0.1:1\"\n[limits]\nnonsense = 1").unwrap();
        assert_eq!((file.listen.as_deref(), problems.len()), (Some("127.0.0.1:1"), 1));
    }

    #[test]
    fn a_text_that_is_no_toml_is_one_problem_with_its_place() {
        for (text, place) in [
            ("listen = ", "line 1, column "),
            ("[keys]\nlaptop = \"sk-secret", "line 2, column "),
            ("a = 1\na = 2", "line 2, column 1"),
        ] {
            let problem = File::parse(text).unwrap_err();
            assert!(problem.key.is_none() && problem.message.starts_with(place), "{problem:?}");
            assert!(!problem.message.contains("sk-secret"), "{problem:?}");
        }
    }

    /// Every key of a schema with its description, tables within by their path; a name that the user gives is `*`.
    fn keys(schema: &Value, root: &Value, path: &str, found: &mut Vec<(String, String)>) {
        let target = schema["$ref"].as_str().and_then(|name| root.pointer(name.trim_start_matches('#')));
        let inner = target.unwrap_or(schema);
        for (name, property) in inner["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let says = property["description"].as_str().unwrap_or_default();
            found.push((path.trim_start_matches('.').to_owned(), says.to_owned()));
            keys(property, root, &path, found);
        }
        if inner["additionalProperties"].is_object() {
            keys(&inner["additionalProperties"], root, &format!("{path}.*"), found);
        }
    }

    pub(in crate::config) fn schema_keys() -> Vec<(String, String)> {
        let schema = schemars::schema_for!(File).to_value();
        let mut found = Vec::new();
        keys(&schema, &schema, "", &mut found);
        found
    }

    #[test]
    fn every_key_is_described() {
        let keys = schema_keys();
        for known in ["listen", "limits.skills.hook_cpu", "residency.*.max_loaded", "models.*.aliases"] {
            assert!(keys.iter().any(|(key, _)| key == known), "{known}: {keys:#?}");
        }
        let silent: Vec<_> = keys.iter().filter(|(_, says)| says.len() < 5).collect();
        assert!(silent.is_empty(), "{silent:?}");
    }

    /// The example with its keys switched on.
    fn example() -> String {
        let lines = include_str!("../../../pointsman.example.toml").lines();
        let on = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        lines.map(on).collect()
    }

    #[test]
    fn the_example_has_every_key_and_is_right() {
        let (file, problems) = File::parse(&example()).unwrap();
        assert!(problems.is_empty(), "{problems:#?}");
        let resolved = resolve::resolve(file, &Env::default(), &Overrides::default(), None);
        assert!(resolved.is_ok(), "{:#?}", resolved.err());

        let example: Value = toml::from_str(&example()).unwrap();
        for (key, _) in schema_keys() {
            let place = key.split('.').try_fold(&example, |value, step| match step {
                "*" => value.as_object()?.values().next(),
                name => value.get(name),
            });
            assert!(place.is_some(), "pointsman.example.toml lacks {key}");
        }
    }

    #[test]
    fn what_the_example_gives_as_the_default_is_the_default() {
        let examples = [
            "data_dir",
            "allowed_hosts",
            "model",
            "fallbacks",
            "key",
            "max_wait",
            "context_length",
            "memory",
        ];
        let examples = [&examples[..], &["aliases", "grants", "settings", "priority", "laptop"]].concat();
        let given = |line: &&str| !examples.iter().any(|key| line.starts_with(&format!("{key} = ")));
        let text = example();
        let lines: Vec<_> = text.lines().filter(given).filter(|line| !line.starts_with("[models.")).collect();
        let resolve = |text: &str| {
            let (file, _) = File::parse(text).unwrap();
            resolve::resolve(file, &Env::default(), &Overrides::default(), None).unwrap()
        };
        let (written, default) = (resolve(&lines.join("\n")), resolve(""));
        assert_eq!(written.listen, default.listen);
        assert_eq!(written.providers, default.providers);
        assert_eq!(written.devices, default.devices);
        assert_eq!(format!("{:?}", written.exchange), format!("{:?}", default.exchange));
        assert_eq!(format!("{:?}", written.skills.limits), format!("{:?}", default.skills.limits));
        assert_eq!(format!("{:?}", written.sessions), format!("{:?}", default.sessions));
        assert_eq!(written.ingress.body_bytes_max, default.ingress.body_bytes_max);
        assert_eq!(written.ingress.body_timeout, default.ingress.body_timeout);
        assert_eq!(written.ingress.connections_max, default.ingress.connections_max);
    }

    #[test]
    fn there_is_an_end_to_the_problems() {
        let text: String = (0..2 * PROBLEMS_MAX).map(|index| format!("nonsense{index} = 1\n")).collect();
        assert_eq!(problems(&text).len(), PROBLEMS_MAX);
    }
}

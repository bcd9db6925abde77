//! From what is written, in the file and the environment, to what is true. Nothing is left optional that must be there,
//! and everything that is wrong is found in one go.

mod providers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::env::{self, Env};
use super::file::{self, File};
use super::period::Period;
use super::{Config, Device, Overrides, Problem, Provider};
use crate::grant::Grant;
use crate::id::ModelId;
use crate::ingress::keys::Keys;
use crate::{exchange, ingress, residency, route, session, skill};

/// Where clients connect unless something else is said.
const LISTEN: &str = "127.0.0.1:8484";

/// Bytes of what chat commands begin with.
const PREFIX_BYTES_MAX: usize = 16;

/// Collects what is wrong.
#[derive(Default)]
struct Problems(Vec<Problem>);

/// What is true; or all that is wrong.
pub(super) fn resolve(
    file: File,
    env: &Env,
    overrides: &Overrides,
    path: Option<PathBuf>,
) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::default();
    let listen = listen(&file, env, overrides, &mut problems);
    let data_dir =
        overrides.data_dir.clone().or_else(|| env.data_dir.clone()).or_else(|| file.data_dir.clone());
    let data_dir = data_dir.unwrap_or_else(env::usual_data_dir);
    if !listen.ip().is_loopback() && file.keys.is_empty() {
        problems.add(
            "keys",
            format!("listening on {listen} lets others in: give each client a key under [keys]"),
        );
    }
    let providers = providers::providers(&file, env, &mut problems);
    let config = Config {
        listen,
        devices: devices(&file, &providers, &mut problems),
        providers,
        aliases: aliases(&file),
        routes: route::Config {
            model: env.default_model.clone().or_else(|| file.defaults.model.clone()),
            fallbacks: file.defaults.fallbacks.clone(),
            route_named_models: file.defaults.route_named_models.unwrap_or(true),
        },
        command_prefix: command_prefix(&file, &mut problems),
        sessions: sessions(&file),
        exchange: exchange_limits(&file.limits, &mut problems),
        ingress: ingress_config(&file, &mut problems),
        skills: skills(&file, &data_dir, overrides, &mut problems),
        data_dir,
        file: path,
        source: None,
    };
    if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
}

/// Bytes of recorded turns; half of what the store takes.
const RECORDING_BYTES_MAX: usize = 128 << 20;

fn listen(file: &File, env: &Env, overrides: &Overrides, problems: &mut Problems) -> SocketAddr {
    let fallback = SocketAddr::from(([127, 0, 0, 1], 8484));
    if let Some(listen) = overrides.listen {
        return listen;
    }
    let (key, text) = match (&env.listen, &file.listen) {
        (Some(text), _) => (env::LISTEN, text.as_str()),
        (None, Some(text)) => ("listen", text.as_str()),
        (None, None) => return fallback,
    };
    text.parse().unwrap_or_else(|_| {
        problems.add(key, format!("{text:?} is no address with a port; write {LISTEN:?}"));
        fallback
    })
}

/// Each device with what is written of it; a table for a device that no provider is on would change nothing.
fn devices(file: &File, providers: &BTreeMap<String, Provider>, problems: &mut Problems) -> Vec<Device> {
    let names = providers::devices(providers);
    for device in file.residency.keys().filter(|device| !names.contains(device)) {
        let message = format!("no provider is on this device; there are {}", names.join(", "));
        problems.add(&format!("residency.{device}"), message);
    }
    let device = |name: String| {
        let on_it = providers.iter().filter(|(_, provider)| provider.device == name);
        let on_it: Vec<String> = on_it.map(|(provider, _)| provider.clone()).collect();
        let written = file.residency.get(&name).cloned().unwrap_or_default();
        Device { residency: residency(written, models(file, &on_it)), providers: on_it, name }
    };
    names.into_iter().map(device).collect()
}

fn residency(
    written: file::Residency,
    models: BTreeMap<ModelId, residency::ModelConfig>,
) -> residency::Config {
    let default = residency::Config::default();
    let or = |period: Option<Period>, default: Duration| period.map_or(default, |period| period.0);
    residency::Config {
        max_loaded: written.max_loaded.unwrap_or(default.max_loaded),
        memory: written.memory.map(|size| size.0),
        max_loaded_embeddings: written.max_loaded_embeddings.unwrap_or(default.max_loaded_embeddings),
        max_queue: written.max_queue.map_or(default.max_queue, usize::from),
        max_queue_per_session: written
            .max_queue_per_session
            .map_or(default.max_queue_per_session, usize::from),
        max_wait: written.max_wait.map(|period| period.0),
        drain_timeout: or(written.drain_timeout, default.drain_timeout),
        linger: or(written.linger, default.linger),
        turn_grace: or(written.turn_grace, default.turn_grace),
        turn_timeout: or(written.turn_timeout, default.turn_timeout),
        error_grace: or(written.error_grace, default.error_grace),
        load_timeout: or(written.load_timeout, default.load_timeout),
        slow_client: or(written.slow_client, default.slow_client),
        shutdown_timeout: or(written.shutdown_timeout, default.shutdown_timeout),
        wish_lasts: default.wish_lasts,
        models,
    }
}

/// Model settings by full id: a name without a provider in front is taken to be a key, of each of them.
fn models(file: &File, providers: &[String]) -> BTreeMap<ModelId, residency::ModelConfig> {
    let settings = |model: &file::Model| residency::ModelConfig {
        context_length: model.context_length.map(NonZeroU32::get),
        local: model.local,
        input_cost: model.input_cost,
        output_cost: model.output_cost,
    };
    let is_whole = |name: &str| {
        let prefix = name.split_once('/').map(|(prefix, _)| prefix);
        prefix.is_some_and(|prefix| {
            file.providers.contains_key(prefix) || providers.iter().any(|it| it == prefix)
        })
    };
    let mut models = BTreeMap::new();
    // Keys first: what is written of one server's model goes before what is written of the model wherever it is.
    for (name, model) in file.models.iter().filter(|(name, _)| !is_whole(name)) {
        models.extend(providers.iter().map(|provider| (ModelId::of(provider, name), settings(model))));
    }
    for (name, model) in file.models.iter().filter(|(name, _)| is_whole(name)) {
        let id = ModelId::new(name.as_str());
        if providers.iter().any(|provider| provider == id.provider()) {
            models.insert(id, settings(model));
        }
    }
    models
}

fn aliases(file: &File) -> Vec<(String, String)> {
    let of = |(name, model): (&String, &file::Model)| {
        model.aliases.iter().map(|alias| (alias.clone(), name.clone())).collect::<Vec<_>>()
    };
    file.models.iter().flat_map(of).collect()
}

fn command_prefix(file: &File, problems: &mut Problems) -> String {
    let prefix = file.defaults.command_prefix.as_deref().unwrap_or("/");
    if prefix.len() > PREFIX_BYTES_MAX || prefix.contains(char::is_control) || prefix.starts_with(' ') {
        let message = format!("{prefix:?} is no prefix; write one or a few signs, as \"/\" or \"!\"");
        problems.add("defaults.command_prefix", message);
    }
    prefix.to_owned()
}

fn sessions(file: &File) -> session::table::Config {
    let default = session::table::Config::default();
    let local = file.residency.get(providers::LOCAL);
    let written = |get: fn(&file::Residency) -> Option<Period>| local.and_then(get).map(|period| period.0);
    session::table::Config {
        turn_timeout: written(|local| local.turn_timeout).unwrap_or(default.turn_timeout),
        error_grace: written(|local| local.error_grace).unwrap_or(default.error_grace),
    }
}

fn exchange_limits(limits: &file::Limits, problems: &mut Problems) -> exchange::Limits {
    let default = exchange::Limits::default();
    exchange::Limits {
        stream_grace: limits.stream_grace.map_or(default.stream_grace, |period| period.0),
        answer_timeout: timeout("limits.answer_timeout", limits.answer_timeout, problems)
            .unwrap_or(default.answer_timeout),
        answer_bytes_max: limits.answer_bytes_max.map_or(default.answer_bytes_max, usize::from),
        reroute_timeout: timeout("limits.reroute_timeout", limits.reroute_timeout, problems)
            .unwrap_or(default.reroute_timeout),
        hold_bytes_max: limits.hold_bytes_max.map_or(default.hold_bytes_max, usize::from),
    }
}

/// A time that something may take: with none at all, nothing would ever be in time.
fn timeout(key: &str, written: Option<Period>, problems: &mut Problems) -> Option<Duration> {
    let written = written?.0;
    if written.is_zero() {
        problems.add(key, "zero lets nothing happen; write \"60s\", or leave it out");
    }
    Some(written)
}

fn ingress_config(file: &File, problems: &mut Problems) -> ingress::Config {
    let default = ingress::Config::default();
    for (client, key) in &file.keys {
        if key.reveal().trim().is_empty() {
            problems
                .add(&format!("keys.{client}"), "an empty key lets everybody in; write a long random one");
        }
    }
    ingress::Config {
        keys: Keys::new(file.keys.iter().map(|(client, key)| (client.clone(), key.reveal().to_owned()))),
        allowed_hosts: file.allowed_hosts.clone(),
        body_bytes_max: file.limits.body_bytes_max.map_or(default.body_bytes_max, usize::from),
        body_timeout: timeout("limits.body_timeout", file.limits.body_timeout, problems)
            .unwrap_or(default.body_timeout),
        connections_max: file.limits.connections_max.map_or(default.connections_max, usize::from),
    }
}

fn skills(file: &File, data_dir: &Path, overrides: &Overrides, problems: &mut Problems) -> skill::Config {
    let limits = skill_limits(&file.limits.skills);
    if let Err(error) = limits.check() {
        problems.add("limits.skills", error.to_string());
    }
    let mut skills = std::collections::BTreeMap::new();
    for (name, written) in &file.skills {
        let object = |settings: &std::collections::BTreeMap<_, _>| {
            serde_json::Value::Object(settings.clone().into_iter().collect())
        };
        let settings = written.settings.as_ref().map_or(serde_json::Value::Null, object);
        let grants = written.grants.as_ref().map(|grants| parse_grants(name, grants, problems));
        let config = skill::SkillConfig {
            activation: match written.enabled {
                Some(false) => skill::Activation::Disabled,
                _ => skill::Activation::Enabled,
            },
            priority: written.priority,
            grants,
            on_failure: match written.on_failure {
                file::OnFailure::Pass => skill::OnFailure::Pass,
                file::OnFailure::Refuse => skill::OnFailure::Refuse,
            },
            settings,
        };
        skills.insert(name.clone(), config);
    }
    let (folder, store) = (data_dir.join("skills"), data_dir.join(skill::STORE_FOLDER));
    let recording = recording(&file.recording, problems);
    let compiler = overrides.program.clone().map(skill::compiler::Compiler);
    skill::Config { folder: Some(folder), store: Some(store), limits, compiler, skills, recording }
}

fn recording(written: &file::Recording, problems: &mut Problems) -> skill::Recording {
    let default = skill::Recording::default();
    let bytes_max = written.bytes_max.map_or(Ok(default.bytes_max), |size| usize::try_from(size.0.get()));
    let bytes_max = bytes_max.ok().filter(|bytes| *bytes <= RECORDING_BYTES_MAX).unwrap_or_else(|| {
        problems
            .add("recording.bytes_max", "at most 128 MiB are kept: they share a file with everything else");
        default.bytes_max
    });
    skill::Recording {
        is_on: written.enabled.unwrap_or(default.is_on),
        turns_max: written.turns_max.map_or(default.turns_max, usize::from),
        bytes_max,
    }
}

fn parse_grants(skill: &str, written: &[String], problems: &mut Problems) -> Vec<Grant> {
    let mut grants = Vec::new();
    for text in written {
        match text.parse() {
            Ok(grant) => grants.push(grant),
            Err(error) => problems.add(&format!("skills.{skill}.grants"), format!("{error}")),
        }
    }
    grants
}

fn skill_limits(written: &file::SkillLimits) -> skill::Limits {
    let default = skill::Limits::default();
    let time = |written: Option<Period>, usual| written.map_or(usual, |period| period.0);
    let size = |written: Option<NonZeroUsize>, usual| written.map_or(usual, usize::from);
    let count = |written: Option<NonZeroU32>, usual| written.map_or(usual, u32::from);
    skill::Limits {
        hook_cpu: time(written.hook_cpu, default.hook_cpu),
        configure_cpu: time(written.configure_cpu, default.configure_cpu),
        wall_clock: time(written.wall_clock, default.wall_clock),
        wall_clock_asking: time(written.wall_clock_asking, default.wall_clock_asking),
        instance_wait: time(written.instance_wait, default.instance_wait),
        memory_bytes_max: size(written.memory_bytes_max, default.memory_bytes_max),
        table_elements_max: size(written.table_elements_max, default.table_elements_max),
        transfer_bytes_max: size(written.transfer_bytes_max, default.transfer_bytes_max),
        host_calls_max: count(written.host_calls_max, default.host_calls_max),
        log_lines_max: count(written.log_lines_max, default.log_lines_max),
        log_bytes_max: size(written.log_bytes_max, default.log_bytes_max),
        reuse_max: count(written.reuse_max, default.reuse_max),
        reuse_growth_bytes_max: size(written.reuse_growth_bytes_max, default.reuse_growth_bytes_max),
        instances_max: written.instances_max.unwrap_or(default.instances_max),
        warm_max: size(written.warm_max, default.warm_max),
    }
}

// === impl Problems ===

impl Problems {
    fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(Problem { key: Some(key.to_owned()), message: message.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, env: &Env) -> Result<Config, Vec<String>> {
        let file: File = toml::from_str(text).map_err(|error| vec![error.message().to_owned()])?;
        resolve(file, env, &Overrides::default(), None)
            .map_err(|problems| problems.into_iter().filter_map(|problem| problem.key).collect())
    }

    #[test]
    fn nothing_needs_to_be_written() {
        let config = check("", &Env::default()).unwrap();
        assert_eq!(config.listen.to_string(), LISTEN);
        assert_eq!(config.providers["lmstudio"].url, providers::LMSTUDIO);
        assert!(config.routes.route_named_models);
        let [device] = config.devices.as_slice() else { panic!("{:?}", config.devices) };
        assert_eq!(
            (device.name.as_str(), device.providers.as_slice()),
            ("local", &["lmstudio".to_owned()][..])
        );
        assert_eq!(device.residency, residency::Config::default());
    }

    #[test]
    fn limits_of_skills_that_nobody_can_mean_are_refused() {
        let times = ["hook_cpu", "configure_cpu", "wall_clock", "wall_clock_asking", "instance_wait"];
        let sizes = [
            "memory_bytes_max",
            "table_elements_max",
            "transfer_bytes_max",
            "host_calls_max",
            "log_lines_max",
            "log_bytes_max",
            "reuse_max",
            "reuse_growth_bytes_max",
            "instances_max",
            "warm_max",
        ];
        let is_refused = |key: &str, value: &str| {
            check(&format!("[limits.skills]\n{key} = {value}"), &Env::default()).is_err()
        };
        for key in times {
            assert!(!is_refused(key, "\"60s\""), "{key}");
            for value in ["\"0s\"", "\"-1s\"", "\"soon\"", "-1", "true"] {
                assert!(is_refused(key, value), "{key} = {value}");
            }
        }
        for key in sizes {
            assert!(!is_refused(key, "1000"), "{key}");
            for value in ["0", "-1", "\"much\"", "1.5", "true"] {
                assert!(is_refused(key, value), "{key} = {value}");
            }
        }
        assert!(is_refused("memory_bytes_max", "4294967297"), "more than a guest can address");
    }

    #[test]
    fn no_time_at_all_is_refused() {
        let keys = check(
            "[limits]\nanswer_timeout = \"0s\"\nbody_timeout = \"0s\"\nstream_grace = \"0s\"",
            &Env::default(),
        );
        assert_eq!(keys.unwrap_err(), ["limits.answer_timeout", "limits.body_timeout"]);
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let text = r#"
            listen = "0.0.0.0:1"
            [providers.a]
            url = "nonsense"
            [providers.b]
            kind = "openai"
            [residency.elsewhere]
            [skills.x]
            grants = ["models", "everything"]
            [limits.skills]
            hook_cpu = "0s"
        "#;
        let keys = check(text, &Env::default()).unwrap_err();
        let expected = [
            "keys",
            "providers.a.url",
            "providers.b.url",
            "residency.elsewhere",
            "limits.skills",
            "skills.x.grants",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn unknown_keys_and_garbage_are_refused() {
        let unknown = check("[defaults]\nmodels = 1", &Env::default()).unwrap_err();
        assert!(unknown[0].contains("unknown field `models`"), "{unknown:?}");
        for garbage in [
            "[limits]\nstream_grace = \"soon\"",
            "[residency.local]\nmax_loaded = 0",
            "[limits]\nbody_bytes_max = -1",
        ] {
            assert!(check(garbage, &Env::default()).is_err(), "{garbage}");
        }
    }

    #[test]
    fn models_are_meant_with_or_without_their_provider() {
        let text = r#"
            [providers.lmstudio]
            [providers.llama]
            kind = "llama-server"
            [models."openai/gpt-oss-20b"]
            context_length = 32768
            aliases = ["big"]
            [models."lmstudio/openai/gpt-oss-20b"]
            context_length = 8192
            [models."llama/x"]
            input_cost = 0.5
            local = false
        "#;
        let config = check(text, &Env::default()).unwrap();
        let models = &config.devices[0].residency.models;
        let found: Vec<_> = models.iter().map(|(id, model)| (id.as_str(), model.context_length)).collect();
        let expected = [
            ("llama/openai/gpt-oss-20b", Some(32768)),
            ("llama/x", None),
            ("lmstudio/openai/gpt-oss-20b", Some(8192)),
        ];
        assert_eq!(found, expected);
        let priced = &models[&ModelId::new("llama/x")];
        assert_eq!((priced.local, priced.input_cost, priced.output_cost), (Some(false), Some(0.5), None));
        assert_eq!(config.aliases, [("big".to_owned(), "openai/gpt-oss-20b".to_owned())]);
    }
}

//! From what is written, in the file and the environment, to what is true. Nothing is left optional that must be there,
//! and everything that is wrong is found in one go.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::env::{self, Env};
use super::file::{self, File};
use super::period::Period;
use super::{Config, Kind, Overrides, Problem, Provider};
use crate::grant::Grant;
use crate::id::ModelId;
use crate::ingress::keys::Keys;
use crate::provider::lmstudio;
use crate::{exchange, ingress, residency, route, session, skill};

/// Where clients connect unless something else is said.
const LISTEN: &str = "127.0.0.1:8484";

/// Where LM Studio listens unless something else is said.
const LMSTUDIO: &str = "http://127.0.0.1:1234";

/// The device of providers on this machine.
const LOCAL: &str = "local";

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
    let mode = file.providers.values().next().map(|provider| provider.residency).unwrap_or_default();
    let (name, provider) = provider(&file, env, &mut problems);
    let config = Config {
        listen,
        residency: residency(&file, &name, mode, &mut problems),
        providers: [(name, provider)].into(),
        aliases: aliases(&file),
        routes: route::Config {
            model: env.default_model.clone().or_else(|| file.defaults.model.clone()),
            fallbacks: file.defaults.fallbacks.clone(),
            route_named_models: file.defaults.route_named_models.unwrap_or(true),
        },
        sessions: sessions(&file),
        exchange: exchange_limits(&file.limits, &mut problems),
        ingress: ingress_config(&file, &mut problems),
        skills: skills(&file, data_dir.join("skills"), &mut problems),
        data_dir,
        file: path,
    };
    if problems.0.is_empty() { Ok(config) } else { Err(problems.0) }
}

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

fn provider(file: &File, env: &Env, problems: &mut Problems) -> (String, Provider) {
    if file.providers.len() > 1 {
        let names: Vec<_> = file.providers.keys().map(String::as_str).collect();
        problems.add("providers", format!("only one is served yet, and there are {}", names.join(", ")));
    }
    let (name, written) = match file.providers.iter().next() {
        Some((name, written)) => (name.clone(), Some(written)),
        None => ("lmstudio".to_owned(), None),
    };
    if name.contains('/') || name.is_empty() {
        problems.add(
            &format!("providers.{name}"),
            "a provider's name is part of its models' ids: no slash in it",
        );
    }
    let written_url = written.and_then(|provider| provider.url.clone());
    let from_env = written_url.is_none() && env.openai_api_base.is_some();
    let url = written_url.or_else(|| env.openai_api_base.clone()).unwrap_or_else(|| LMSTUDIO.to_owned());
    let key_path = if from_env { env::OPENAI_API_BASE.to_owned() } else { format!("providers.{name}.url") };
    let url = root(&url, &key_path, problems);
    // A server that only OpenAI's variable names is told OpenAI's key, and LM Studio's token only where there is no other.
    let openai_key = env.openai_api_key.clone().filter(|_| from_env);
    let key =
        written.and_then(|provider| provider.key.clone()).or(openai_key).or_else(|| env.lm_api_token.clone());
    (name, Provider { kind: Kind::Lmstudio, url, key })
}

/// A server's root, if the address is one.
fn root(url: &str, key: &str, problems: &mut Problems) -> String {
    let root = lmstudio::root(url);
    // What is wrong with an address is printed and logged, a password must not be.
    if root
        .split_once("://")
        .map_or(root, |(_, rest)| rest)
        .split('/')
        .next()
        .is_some_and(|it| it.contains('@'))
    {
        problems.add(key, "no user or password in a server's address: write its key as the provider's `key`");
        return String::new();
    }
    let valid = root
        .parse::<http::Uri>()
        .is_ok_and(|uri| uri.authority().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
    if !valid {
        problems.add(key, format!("{url:?} is no address of a server; write {LMSTUDIO:?}"));
    }
    root.to_owned()
}

fn residency(file: &File, provider: &str, mode: file::Mode, problems: &mut Problems) -> residency::Config {
    for device in file.residency.keys().filter(|device| *device != LOCAL) {
        problems
            .add(&format!("residency.{device}"), format!("only the device {LOCAL:?} is looked after yet"));
    }
    let written = file.residency.get(LOCAL).cloned().unwrap_or_default();
    let default = residency::Config::default();
    let or = |period: Option<Period>, default: Duration| period.map_or(default, |period| period.0);
    residency::Config {
        max_loaded: written.max_loaded.unwrap_or(default.max_loaded),
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
        mode: match mode {
            file::Mode::Gateway => residency::Mode::Gateway,
            file::Mode::Provider => residency::Mode::Provider,
        },
        models: models(file, provider),
    }
}

/// Model settings by full id: a name without the provider in front is taken to be its key.
fn models(file: &File, provider: &str) -> std::collections::BTreeMap<ModelId, residency::ModelConfig> {
    let id = |name: &String| match name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')) {
        Some(_) => ModelId::new(name.as_str()),
        None => ModelId::of(provider, name),
    };
    let settings = |model: &file::Model| residency::ModelConfig {
        context_length: model.context_length.map(std::num::NonZeroU32::get),
    };
    file.models.iter().map(|(name, model)| (id(name), settings(model))).collect()
}

fn aliases(file: &File) -> Vec<(String, String)> {
    let of = |(name, model): (&String, &file::Model)| {
        model.aliases.iter().map(|alias| (alias.clone(), name.clone())).collect::<Vec<_>>()
    };
    file.models.iter().flat_map(of).collect()
}

fn sessions(file: &File) -> session::table::Config {
    let default = session::table::Config::default();
    let local = file.residency.get(LOCAL);
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

fn skills(file: &File, folder: PathBuf, problems: &mut Problems) -> skill::Config {
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
    skill::Config { folder: Some(folder), limits, skills }
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
    skill::Limits {
        hook_cpu: written.hook_cpu.map_or(default.hook_cpu, |period| period.0),
        configure_cpu: written.configure_cpu.map_or(default.configure_cpu, |period| period.0),
        wall_clock: written.wall_clock.map_or(default.wall_clock, |period| period.0),
        memory_bytes_max: written.memory_bytes_max.map_or(default.memory_bytes_max, usize::from),
        transfer_bytes_max: written.transfer_bytes_max.map_or(default.transfer_bytes_max, usize::from),
        host_calls_max: written.host_calls_max.map_or(default.host_calls_max, u32::from),
        log_lines_max: written.log_lines_max.map_or(default.log_lines_max, u32::from),
        instances_max: written.instances_max.unwrap_or(default.instances_max),
        ..default
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
    use crate::config::Secret;

    fn check(text: &str, env: &Env) -> Result<Config, Vec<String>> {
        let file: File = toml::from_str(text).map_err(|error| vec![error.message().to_owned()])?;
        resolve(file, env, &Overrides::default(), None)
            .map_err(|problems| problems.into_iter().filter_map(|problem| problem.key).collect())
    }

    #[test]
    fn nothing_needs_to_be_written() {
        let config = check("", &Env::default()).unwrap();
        assert_eq!(config.listen.to_string(), LISTEN);
        assert_eq!(config.providers["lmstudio"].url, LMSTUDIO);
        assert!(config.routes.route_named_models);
        assert_eq!(config.residency, residency::Config::default());
    }

    #[test]
    fn the_environment_names_the_server_and_its_key() {
        let env = |base: &str| Env {
            openai_api_base: Some(base.to_owned()),
            openai_api_key: Some(Secret::new("k")),
            ..Env::default()
        };
        for base in [
            "http://box:99",
            "http://box:99/",
            "http://box:99/v1",
            "http://box:99/v1/",
            "http://box:99/api/v1",
        ] {
            let provider = &check("", &env(base)).unwrap().providers["lmstudio"];
            assert_eq!(
                (provider.url.as_str(), provider.key.as_ref().map(Secret::reveal)),
                ("http://box:99", Some("k"))
            );
        }
        let written = "[providers.mine]\nurl = \"http://other:1\"";
        let provider = &check(written, &env("http://box:99")).unwrap().providers["mine"];
        assert_eq!((provider.url.as_str(), &provider.key), ("http://other:1", &None));
        let token = Env { lm_api_token: Some(Secret::new("t")), ..Env::default() };
        assert_eq!(check("", &token).unwrap().providers["lmstudio"].key, Some(Secret::new("t")));
        let both = |base: Option<&str>| Env {
            openai_api_base: base.map(str::to_owned),
            openai_api_key: Some(Secret::new("k")),
            ..token.clone()
        };
        for (base, key) in [(Some("http://box:99"), "k"), (None, "t")] {
            let provider = &check("", &both(base)).unwrap().providers["lmstudio"];
            assert_eq!(provider.key, Some(Secret::new(key)), "{base:?}");
        }
    }

    #[test]
    fn no_password_stands_in_an_address() {
        for url in ["http://me:pw@box:1", "https://me@box/v1", "me:pw@box"] {
            let file: File = toml::from_str(&format!("[providers.a]\nurl = {url:?}")).unwrap();
            let problems = resolve(file, &Env::default(), &Overrides::default(), None).unwrap_err();
            assert!(problems.iter().all(|it| !it.message.contains("pw")), "{problems:?}");
            assert_eq!(problems[0].key.as_deref(), Some("providers.a.url"));
        }
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
            [residency.elsewhere]
            [skills.x]
            grants = ["models", "everything"]
            [limits.skills]
            hook_cpu = "0s"
        "#;
        let keys = check(text, &Env::default()).unwrap_err();
        let expected = [
            "keys",
            "providers",
            "providers.a.url",
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
        let text = "[models.\"openai/gpt-oss-20b\"]\ncontext_length = 32768\naliases = [\"big\"]\n[models.\"lmstudio/x\"]";
        let config = check(text, &Env::default()).unwrap();
        let ids: Vec<_> = config.residency.models.keys().map(ModelId::as_str).collect();
        assert_eq!(ids, ["lmstudio/openai/gpt-oss-20b", "lmstudio/x"]);
        assert_eq!(config.aliases, [("big".to_owned(), "openai/gpt-oss-20b".to_owned())]);
    }
}

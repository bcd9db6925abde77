//! Each key of the schema is seen to be live, or to wait for the next start.

use super::*;
use crate::config::env::Env;
use crate::config::file::File;
use crate::config::file::tests::schema_keys;
use crate::config::origin::{Origin, Source};
use crate::config::{Overrides, resolve};

/// A value other than the default for each key that takes one. Names that the user gives stand for `*` in the schema.
const VALUES: [(&str, &str); 64] = [
    ("listen", "\"127.0.0.1:9\""),
    ("data_dir", "\"/elsewhere\""),
    ("allowed_hosts", "[\"box.lan\"]"),
    ("defaults.model", "\"otter\""),
    ("defaults.fallbacks", "[\"owl\"]"),
    ("defaults.route_named_models", "false"),
    ("defaults.command_prefix", "\"!\""),
    ("providers.lmstudio.kind", "\"llama-server\""),
    ("providers.lmstudio.url", "\"http://127.0.0.1:9\""),
    ("providers.lmstudio.key", "\"k\""),
    ("providers.lmstudio.residency", "\"provider\""),
    ("providers.lmstudio.device", "\"second\""),
    ("providers.lmstudio.local", "false"),
    ("residency.local.max_loaded", "2"),
    ("residency.local.memory", "\"24GiB\""),
    ("residency.local.max_loaded_embeddings", "3"),
    ("residency.local.max_queue", "9"),
    ("residency.local.max_queue_per_session", "9"),
    ("residency.local.max_wait", "\"9s\""),
    ("residency.local.drain_timeout", "\"9s\""),
    ("residency.local.linger", "\"9s\""),
    ("residency.local.turn_grace", "\"9s\""),
    ("residency.local.turn_timeout", "\"9s\""),
    ("residency.local.error_grace", "\"9s\""),
    ("residency.local.load_timeout", "\"9s\""),
    ("residency.local.slow_client", "\"9s\""),
    ("residency.local.shutdown_timeout", "\"9s\""),
    ("models.otter.context_length", "9"),
    ("models.otter.aliases", "[\"o\"]"),
    ("models.otter.local", "false"),
    ("models.otter.input_cost", "9.0"),
    ("models.otter.output_cost", "9.0"),
    ("limits.stream_grace", "\"9s\""),
    ("limits.answer_timeout", "\"9s\""),
    ("limits.answer_bytes_max", "9"),
    ("limits.reroute_timeout", "\"9s\""),
    ("limits.hold_bytes_max", "9"),
    ("limits.body_bytes_max", "9"),
    ("limits.body_timeout", "\"9s\""),
    ("limits.connections_max", "9"),
    ("limits.skills.hook_cpu", "\"9s\""),
    ("limits.skills.configure_cpu", "\"9s\""),
    ("limits.skills.wall_clock", "\"9s\""),
    ("limits.skills.wall_clock_asking", "\"9s\""),
    ("limits.skills.instance_wait", "\"9s\""),
    ("limits.skills.table_elements_max", "9"),
    ("limits.skills.log_bytes_max", "9"),
    ("limits.skills.reuse_max", "9"),
    ("limits.skills.reuse_growth_bytes_max", "9"),
    ("limits.skills.warm_max", "9"),
    ("limits.skills.memory_bytes_max", "99"),
    ("limits.skills.transfer_bytes_max", "9"),
    ("limits.skills.host_calls_max", "9"),
    ("limits.skills.log_lines_max", "9"),
    ("limits.skills.instances_max", "9"),
    ("recording.enabled", "false"),
    ("recording.turns_max", "9"),
    ("recording.bytes_max", "\"9MiB\""),
    ("skills.tame.enabled", "false"),
    ("skills.tame.priority", "9"),
    ("skills.tame.grants", "[\"models\"]"),
    ("skills.tame.on_failure", "\"refuse\""),
    ("skills.tame.settings", "{ a = 1 }"),
    ("keys", "{ laptop = \"k\" }"),
];

fn read(text: &str) -> Config {
    let (file, problems) = File::parse(text).unwrap();
    assert!(problems.is_empty(), "{text}: {problems:?}");
    let config = resolve::resolve(file, &Env::default(), &Overrides::default(), None);
    let config = config.unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let sight = Sight::Written { path: "/x.toml".into(), text: Secret::new(text) };
    Config { source: Some(Source { origin: Origin::default(), sight }), ..config }
}

/// What the rooms are given when a configuration is taken while they run.
fn given(config: &Config) -> String {
    let Config { providers, devices, aliases, routes, command_prefix, sessions, exchange, ingress, .. } =
        config;
    let skills = (&config.skills.limits, &config.skills.skills, &config.skills.recording);
    format!(
        "{:?}",
        (providers, devices, aliases, routes, command_prefix, sessions, exchange, ingress, skills)
    )
}

/// As the schema names it.
fn in_schema(key: &str) -> String {
    let mut parts: Vec<&str> = key.split('.').collect();
    if let [table, name, _, ..] = parts.as_mut_slice()
        && ["providers", "residency", "models", "skills"].contains(table)
    {
        *name = "*";
    }
    parts.join(".")
}

#[test]
fn every_key_of_the_schema_is_live_or_waits_for_the_next_start() {
    let tested: BTreeSet<String> = VALUES.iter().map(|(key, _)| in_schema(key)).collect();
    let keys: Vec<String> = schema_keys().into_iter().map(|(key, _)| key).collect();
    for key in &keys {
        let is_table = keys.iter().any(|it| it.starts_with(&format!("{key}.")));
        assert!(is_table || tested.contains(key), "no value is known for {key}: is it live?");
    }
    for (key, value) in &VALUES {
        let (before, after) = (read(""), read(&format!("{key} = {value}")));
        let is_at_start = AT_START.contains(key);
        assert_ne!(given(&before) != given(&after), is_at_start, "{key} is neither live nor said to wait");
        let (taken, change) = before.followed_by(after).unwrap();
        assert!(change.keys.iter().all(|it| it.starts_with(key)) && !change.keys.is_empty(), "{change:?}");
        let waits = if is_at_start { vec![(*key).to_owned()] } else { Vec::new() };
        assert_eq!(change.at_start, waits);
        assert_eq!((taken.listen, &taken.data_dir), (before.listen, &before.data_dir), "{key}");
    }
}

#[test]
fn what_changed_is_told_key_by_key() {
    let check = |before: &str, after: &str, changed: &[&str]| {
        let (_, change) = read(before).followed_by(read(after)).unwrap();
        assert_eq!(change.keys, changed, "{before} → {after}");
    };
    check("", "", &[]);
    check("# a\n[defaults]\nmodel = \"a\"", "defaults = { model = 'a' }", &[]);
    check("[defaults]\nmodel = \"a\"", "[defaults]\nmodel = \"b\"", &["defaults.model"]);
    check("[keys]\na = \"1\"\nb = \"2\"", "[keys]\nb = \"3\"\nc = \"4\"", &["keys.a", "keys.b", "keys.c"]);
    check("", "[models.\"a/b.c\"]\naliases = [\"x\"]", &["models.\"a/b.c\".aliases"]);
    check(
        "[providers.lmstudio]",
        "[providers.other]\nurl = \"http://x\"",
        &["providers.lmstudio", "providers.other.url"],
    );
}

#[test]
fn who_listens_to_others_keeps_asking_for_keys() {
    let open = read("listen = \"0.0.0.0:1\"\n[keys]\na = \"1\"");
    let errors = open.followed_by(read("listen = \"127.0.0.1:1\"")).unwrap_err();
    assert_eq!(errors.problems[0].key.as_deref(), Some("keys"));
    let errors = open.followed_by(read("listen = \"127.0.0.1:1\"\n[keys]")).unwrap_err();
    assert!(errors.problems[0].message.ends_with("(line 2)"), "{errors}");
    assert!(open.followed_by(read("listen = \"127.0.0.1:1\"\n[keys]\nb = \"1\"")).is_ok());
}

//! Model servers: which there are, where, what each is, and which of them share a device's memory.
//!
//! With none written there is one, LM Studio on this machine, or whatever answers at `OPENAI_API_BASE`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use http::{HeaderValue, Uri};

use super::Problems;
use crate::config::env::{self, Env};
use crate::config::file::{self, File};
use crate::config::{Mode, Provider};
use crate::provider::{Locality, ServerKind, lmstudio, openai};

/// Where LM Studio listens unless something else is said.
pub(super) const LMSTUDIO: &str = "http://127.0.0.1:1234";

/// Where llama-server listens unless something else is said.
const LLAMA_SERVER: &str = "http://127.0.0.1:8080";

/// Where Ollama listens unless something else is said.
const OLLAMA: &str = "http://127.0.0.1:11434";

/// The device of servers on this machine.
pub(super) const LOCAL: &str = "local";

/// Ends of host names that are given within one network only.
const HOME_DOMAINS: [&str; 5] = [".local", ".lan", ".home.arpa", ".internal", ".localhost"];

/// All servers by name; at least one.
pub(super) fn providers(file: &File, env: &Env, problems: &mut Problems) -> BTreeMap<String, Provider> {
    let unwritten = || [("lmstudio".to_owned(), file::Provider::default())].into();
    let written = if file.providers.is_empty() { unwritten() } else { file.providers.clone() };
    // The variable that other programs share names one server: the only one, unless its address is written.
    let shared = env.openai_api_base.as_deref().filter(|_| written.len() == 1);
    let one =
        |(name, it): (&String, &file::Provider)| (name.clone(), provider(name, it, shared, env, problems));
    let providers: BTreeMap<String, Provider> = written.iter().map(one).collect();
    no_server_twice(&providers, problems);
    providers
}

/// A server whose memory the gateway looks after has one name: under two, each would put away what the other has loaded.
fn no_server_twice(providers: &BTreeMap<String, Provider>, problems: &mut Problems) {
    let is_looked_after = |it: &Provider| {
        let may_be = it.kind.map_or(is_local(&it.url), |kind| kind != ServerKind::OpenAi);
        may_be && it.mode != Mode::Provider && !it.url.is_empty()
    };
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, provider) in providers.iter().filter(|(_, it)| is_looked_after(it)) {
        if let Some(other) = names.insert(&provider.url, name) {
            let message =
                format!("it is the server of `{other}`, too: one server has one name, take one out");
            problems.add(&format!("providers.{name}.url"), message);
        }
    }
}

/// One server; `shared` is the address that it has where none is written.
fn provider(
    name: &str,
    written: &file::Provider,
    shared: Option<&str>,
    env: &Env,
    problems: &mut Problems,
) -> Provider {
    let path = format!("providers.{name}");
    if name.contains('/') || name.is_empty() {
        problems.add(&path, "a provider's name is part of its models' ids: no slash in it");
    }
    let shared = shared.filter(|_| written.url.is_none());
    let written_kind = written.kind.map(ServerKind::from);
    let is_usual_lmstudio = name == "lmstudio" && written.url.is_none() && shared.is_none();
    let kind = written_kind.or(is_usual_lmstudio.then_some(ServerKind::LmStudio));
    let root = match (shared, written.url.as_deref().or(usual(kind))) {
        (Some(url), _) => root(url, kind, env::OPENAI_API_BASE, problems),
        (None, Some(url)) => root(url, kind, &format!("{path}.url"), problems),
        (None, None) => {
            problems
                .add(&format!("{path}.url"), "a server of this kind has no usual address: write its `url`");
            String::new()
        }
    };
    // A server that only OpenAI's variable names is told OpenAI's key, and LM Studio's token only where there is no other.
    let openai_key = || env.openai_api_key.clone().filter(|_| shared.is_some());
    // Nor is that token for whoever answers somewhere else: there it must be known who does.
    let is_lmstudio = kind == Some(ServerKind::LmStudio) || (kind.is_none() && is_local(&root));
    let token = || env.lm_api_token.clone().filter(|_| is_lmstudio);
    let is_local = written.local.unwrap_or_else(|| is_local(&root));
    let keys = [
        (format!("{path}.key"), written.key.clone()),
        (env::OPENAI_API_KEY.to_owned(), openai_key()),
        (env::LM_API_TOKEN.to_owned(), token()),
    ];
    let key = keys.into_iter().find_map(|(from, key)| Some((from, key?)));
    if let Some((from, key)) = &key
        && HeaderValue::from_bytes(key.reveal().as_bytes()).is_err()
    {
        problems.add(from, "it has a character that no header can have, as a line break");
    }
    Provider {
        kind,
        locality: if is_local { Locality::Local } else { Locality::Remote },
        device: written.device.clone().unwrap_or_else(|| device(name, &root)),
        url: root,
        key: key.map(|(_, key)| key),
        mode: written.residency,
    }
}

/// Where a server of this kind listens unless something else is said.
fn usual(kind: Option<ServerKind>) -> Option<&'static str> {
    match kind? {
        ServerKind::LmStudio => Some(LMSTUDIO),
        ServerKind::LlamaServer => Some(LLAMA_SERVER),
        ServerKind::Ollama => Some(OLLAMA),
        ServerKind::OpenAi => None,
    }
}

/// Names of devices in the order of their providers' names, the machine's own first.
pub(super) fn devices(providers: &BTreeMap<String, Provider>) -> Vec<String> {
    let names: BTreeSet<&str> = providers.values().map(|provider| provider.device.as_str()).collect();
    let local = names.iter().filter(|name| **name == LOCAL);
    local.chain(names.iter().filter(|name| **name != LOCAL)).map(|name| (*name).to_owned()).collect()
}

/// Servers on this machine share its memory; any other is taken to have a machine of its own.
fn device(name: &str, root: &str) -> String {
    if is_loopback(&host(root)) { LOCAL.to_owned() } else { name.to_owned() }
}

/// A server's root, if the address is one. Model servers have their own protocols beside `/v1`; others may have all of
/// it under a path, as in `/openai/v1`.
fn root(url: &str, kind: Option<ServerKind>, key: &str, problems: &mut Problems) -> String {
    let is_other = kind == Some(ServerKind::OpenAi) || (kind.is_none() && !is_local(url));
    let root = if is_other { openai::root(url) } else { lmstudio::root(url) };
    let authority = root.split_once("://").map_or(root, |(_, rest)| rest).split('/').next();
    // What is wrong with an address is printed and logged, a password must not be.
    if authority.is_some_and(|it| it.contains('@')) {
        problems.add(key, "no user or password in a server's address: write its key as the provider's `key`");
        return String::new();
    }
    let valid = root
        .parse::<Uri>()
        .is_ok_and(|uri| uri.authority().is_some() && matches!(uri.scheme_str(), Some("http" | "https")));
    if !valid {
        problems.add(key, format!("{url:?} is no address of a server; write {LMSTUDIO:?}"));
    }
    root.to_owned()
}

/// Nothing that is sent there leaves the user's own machines, as far as an address can tell.
fn is_local(root: &str) -> bool {
    let host = host(root);
    let private = match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_private() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unique_local() || address.is_unicast_link_local(),
        Err(_) => !host.contains('.') || HOME_DOMAINS.iter().any(|domain| host.ends_with(domain)),
    };
    private || is_loopback(&host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn host(root: &str) -> String {
    let host = root.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
    host.unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned()
}

// === impl ServerKind ===

impl From<file::Kind> for ServerKind {
    fn from(written: file::Kind) -> Self {
        match written {
            file::Kind::Lmstudio => Self::LmStudio,
            file::Kind::LlamaServer => Self::LlamaServer,
            file::Kind::Ollama => Self::Ollama,
            file::Kind::Openai => Self::OpenAi,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve::resolve;
    use crate::config::{Overrides, Secret};

    fn read(text: &str, env: &Env) -> BTreeMap<String, Provider> {
        let file: File = toml::from_str(text).unwrap();
        resolve(file, env, &Overrides::default(), None).unwrap().providers
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
            let provider = &read("", &env(base))["lmstudio"];
            assert_eq!(provider.url, "http://box:99");
            assert_eq!((provider.kind, provider.key.as_ref().map(Secret::reveal)), (None, Some("k")));
        }
        let written = "[providers.mine]\nurl = \"http://other:1\"";
        let provider = &read(written, &env("http://box:99"))["mine"];
        assert_eq!((provider.url.as_str(), &provider.key), ("http://other:1", &None));
        let half = &read("[providers.lmstudio]\nresidency = \"provider\"", &env("http://box:99"))["lmstudio"];
        assert_eq!((half.url.as_str(), half.mode), ("http://box:99", Mode::Provider));
        let shared = Env { lm_api_token: Some(Secret::new("t")), ..env("https://api.example.com/v1") };
        let cloud = &read("[providers.mine]\nlocal = true", &shared)["mine"];
        assert_eq!((cloud.device.as_str(), cloud.locality), ("mine", Locality::Local));
        assert_eq!(
            cloud.key,
            Some(Secret::new("k")),
            "a server that OpenAI's variable names gets OpenAI's key"
        );
    }

    #[test]
    fn a_token_goes_to_lm_studio_only() {
        let env = |base: Option<&str>| Env {
            openai_api_base: base.map(str::to_owned),
            openai_api_key: Some(Secret::new("k")),
            lm_api_token: Some(Secret::new("t")),
            ..Env::default()
        };
        for (base, key) in [(Some("http://box:99"), "k"), (None, "t")] {
            assert_eq!(read("", &env(base))["lmstudio"].key, Some(Secret::new(key)), "{base:?}");
        }
        let cloud = "[providers.cloud]\nkind = \"openai\"\nurl = \"https://api.example.com\"";
        assert_eq!(read(cloud, &env(None))["cloud"].key, None);
        let unknown =
            |url: &str| read(&format!("[providers.it]\nurl = {url:?}"), &env(None))["it"].key.clone();
        assert_eq!(unknown("https://api.example.com"), None);
        assert_eq!(unknown("http://192.168.1.7:1234"), Some(Secret::new("t")));
    }

    #[test]
    fn an_address_tells_whether_it_is_on_the_users_machines() {
        let local =
            ["http://127.0.0.1:1", "http://LOCALHOST", "http://[::1]:1", "http://192.168.1.7", "http://box"];
        let remote = ["https://localhost.example.com", "https://8.8.8.8", "https://api.example.com/v1"];
        for (url, is_there) in local.map(|url| (url, true)).into_iter().chain(remote.map(|url| (url, false)))
        {
            assert_eq!(is_local(url), is_there, "{url}");
        }
    }

    #[test]
    fn a_server_without_an_address_is_one_error() {
        for text in ["[providers.mine]", "[providers.mine]\nkind = \"openai\""] {
            let file: File = toml::from_str(text).unwrap();
            let problems = resolve(file, &Env::default(), &Overrides::default(), None).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].key.as_deref(), Some("providers.mine.url"));
        }
    }

    #[test]
    fn a_server_that_is_looked_after_has_one_name() {
        let problems = |text: &str| {
            let file: File = toml::from_str(text).unwrap();
            resolve(file, &Env::default(), &Overrides::default(), None).err().unwrap_or_default()
        };
        let two = |one: &str, other: &str| format!("[providers.a]\n{one}\n[providers.b]\n{other}");
        let (url, other) = ("url = \"http://127.0.0.1:1234/v1/\"", "url = \"http://127.0.0.1:1235\"");
        for text in [two(url, "kind = \"lmstudio\""), two(url, url)] {
            let found = problems(&text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].key.as_deref(), Some("providers.b.url"));
            assert!(found[0].message.contains("the server of `a`"), "{found:?}");
        }
        let itself = format!("{url}\nresidency = \"provider\"");
        let account = "kind = \"openai\"\nurl = \"https://api.example.com/v1\"";
        for text in [two(url, other), two(&itself, url), two(account, account)] {
            assert_eq!(problems(&text), []);
        }
    }

    #[test]
    fn servers_on_this_machine_share_its_memory() {
        let text = r#"
            [providers.lmstudio]
            [providers.llama]
            kind = "llama-server"
            [providers.box]
            url = "http://192.168.1.7:1234"
            [providers.second]
            url = "http://box.lan:8080"
            device = "box"
            [providers.cloud]
            kind = "openai"
            url = "https://api.example.com/openai/v1"
            [providers.unknown]
            url = "https://example.com/api/v1/"
            local = true
        "#;
        let providers = read(text, &Env::default());
        let found: Vec<_> = providers
            .iter()
            .map(|(name, it)| (name.as_str(), it.url.as_str(), it.device.as_str(), it.locality))
            .collect();
        let expected = [
            ("box", "http://192.168.1.7:1234", "box", Locality::Local),
            ("cloud", "https://api.example.com/openai", "cloud", Locality::Remote),
            ("llama", "http://127.0.0.1:8080", "local", Locality::Local),
            ("lmstudio", "http://127.0.0.1:1234", "local", Locality::Local),
            ("second", "http://box.lan:8080", "box", Locality::Local),
            ("unknown", "https://example.com/api", "unknown", Locality::Local),
        ];
        assert_eq!(found, expected);
        assert_eq!(devices(&providers), ["local", "box", "cloud", "unknown"]);
    }

    #[test]
    fn a_key_is_one_that_a_header_can_have() {
        let problems = |text: &str, env: &Env| {
            let file: File = toml::from_str(text).unwrap();
            let problems = resolve(file, env, &Overrides::default(), None).unwrap_err();
            assert!(problems.iter().all(|it| !it.message.contains("sec")), "{problems:?}");
            problems.into_iter().map(|it| it.key.unwrap()).collect::<Vec<_>>()
        };
        let written = "[providers.lmstudio]\nkey = \"sec\\nret\"";
        assert_eq!(problems(written, &Env::default()), ["providers.lmstudio.key"]);
        let env = Env { lm_api_token: Some(Secret::new("sec\nret")), ..Env::default() };
        assert_eq!(problems("", &env), ["LM_API_TOKEN"]);
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
}

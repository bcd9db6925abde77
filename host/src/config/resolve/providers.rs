//! Model servers: which there are, where, what each is, and which of them share a device's memory.
//!
//! With none written there is one, LM Studio on this machine, or whatever answers at `OPENAI_API_BASE`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use http::Uri;

use super::Problems;
use crate::config::env::{self, Env};
use crate::config::file::{self, File};
use crate::config::{Mode, Provider};
use crate::provider::{ServerKind, lmstudio, openai};

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
    if file.providers.is_empty() {
        return [("lmstudio".to_owned(), unwritten(env, problems))].into();
    }
    let written = file.providers.iter();
    let mut providers: BTreeMap<_, _> =
        written.map(|(name, it)| (name.clone(), provider(name, it, env, problems))).collect();
    // A file that says only how one server is to be treated leaves its address to the variable that other programs share.
    if let (Some(base), Some((name, only))) = (&env.openai_api_base, sole(&mut providers))
        && file.providers.get(name).is_some_and(|it| it.url.is_none())
    {
        let shared = unwritten(env, problems);
        only.url = root(base, only.kind, env::OPENAI_API_BASE, problems);
        only.local = is_local(&only.url);
        only.key = only.key.take().or(shared.key);
    }
    providers
}

fn sole(providers: &mut BTreeMap<String, Provider>) -> Option<(&String, &mut Provider)> {
    if providers.len() == 1 { providers.iter_mut().next() } else { None }
}

/// The server that is there with nothing written.
fn unwritten(env: &Env, problems: &mut Problems) -> Provider {
    let (url, kind) = match &env.openai_api_base {
        Some(base) => (base.as_str(), None),
        None => (LMSTUDIO, Some(ServerKind::LmStudio)),
    };
    // A server that only OpenAI's variable names is told OpenAI's key, and LM Studio's token only where there is no other.
    let openai_key = env.openai_api_key.clone().filter(|_| env.openai_api_base.is_some());
    let root = root(url, kind, env::OPENAI_API_BASE, problems);
    Provider {
        kind,
        local: is_local(&root),
        device: device("lmstudio", &root),
        url: root,
        key: openai_key.or_else(|| env.lm_api_token.clone()),
        mode: Mode::Gateway,
    }
}

fn provider(name: &str, written: &file::Provider, env: &Env, problems: &mut Problems) -> Provider {
    let path = format!("providers.{name}");
    if name.contains('/') || name.is_empty() {
        problems.add(&path, "a provider's name is part of its models' ids: no slash in it");
    }
    let kind = written.kind.map(ServerKind::from);
    let usual = match kind {
        Some(ServerKind::LmStudio) => LMSTUDIO,
        Some(ServerKind::LlamaServer) => LLAMA_SERVER,
        Some(ServerKind::Ollama) => OLLAMA,
        None if name == "lmstudio" || env.openai_api_base.is_some() => LMSTUDIO,
        None | Some(ServerKind::OpenAi) => "",
    };
    let url = written.url.as_deref().unwrap_or(usual);
    if url.is_empty() {
        problems.add(&format!("{path}.url"), "a server of this kind has no usual address: write its `url`");
    }
    let root = root(if url.is_empty() { LMSTUDIO } else { url }, kind, &format!("{path}.url"), problems);
    let token = || env.lm_api_token.clone().filter(|_| matches!(kind, None | Some(ServerKind::LmStudio)));
    Provider {
        kind,
        local: written.local.unwrap_or_else(|| is_local(&root)),
        device: written.device.clone().unwrap_or_else(|| device(name, &root)),
        url: root,
        key: written.key.clone().or_else(token),
        mode: written.residency,
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
            .map(|(name, it)| (name.as_str(), it.url.as_str(), it.device.as_str(), it.local))
            .collect();
        let expected = [
            ("box", "http://192.168.1.7:1234", "box", true),
            ("cloud", "https://api.example.com/openai", "cloud", false),
            ("llama", "http://127.0.0.1:8080", "local", true),
            ("lmstudio", "http://127.0.0.1:1234", "local", true),
            ("second", "http://box.lan:8080", "box", true),
            ("unknown", "https://example.com/api", "unknown", true),
        ];
        assert_eq!(found, expected);
        assert_eq!(devices(&providers), ["local", "box", "cloud", "unknown"]);
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

//! The model server: whether something answers there, what it is, and whether it lets us in. Asked as the gateway asks,
//! but only for lists.
//!
//! LM Studio answers wrong paths with status 200 and an error that is a bare string; that is how a version without the v1
//! API looks. Its v0 list names each model's `state`, which no other server does.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::finding::Finding;
use super::models::Listed;
use crate::cli::client::{Presence, http_client, presence, root_cause};
use crate::config::{Provider, Secret};

const ABOUT: &str = "provider";

/// How long a list may take; LM Studio is slow while it loads.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Probed {
    /// LM Studio with the v1 API (0.4.0 or newer).
    LmStudio {
        /// Its list.
        models: Vec<Listed>,
        /// Its OpenAI list names models that are not loaded, as it does while requests may load them; none where it did
        /// not say.
        lists_unloaded: Option<bool>,
    },
    /// LM Studio without it.
    OldLmStudio,
    /// It wants a token, or another one.
    Unauthorised,
    /// Another server that speaks OpenAI's protocol.
    OpenAi,
    /// A Pointsman.
    Gateway,
    /// It answers, and nothing that is known.
    Unknown(String),
    /// Nothing answers.
    Unreachable(String),
    /// It is there and says nothing.
    Silent,
}

#[derive(Debug, Deserialize)]
struct NativeList {
    models: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct OpenAiList {
    data: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    state: Option<String>,
}

/// One answer.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

/// Asks what is there.
pub(super) async fn probe(provider: &Provider) -> anyhow::Result<Probed> {
    let asking = Asking { http: http_client()?, provider };
    let native = match asking.get("/api/v1/models").await {
        Ok(answer) => answer,
        Err(error) if error.is_timeout() && !error.is_connect() => return Ok(Probed::Silent),
        Err(error) => return Ok(Probed::Unreachable(root_cause(&error))),
    };
    if matches!(native.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        let ours = presence(&provider.url).await? == Presence::Gateway;
        return Ok(if ours { Probed::Gateway } else { Probed::Unauthorised });
    }
    if let Some(list) = native.read::<NativeList>() {
        let openai = asking.get("/v1/models").await.ok().and_then(|answer| answer.read::<OpenAiList>());
        let lists_unloaded = openai.map(|openai| names_unloaded(&list.models, &openai));
        return Ok(Probed::LmStudio { models: list.models, lists_unloaded });
    }
    if presence(&provider.url).await? == Presence::Gateway {
        return Ok(Probed::Gateway);
    }
    let old = asking.get("/api/v0/models").await.ok().and_then(|answer| answer.read::<OpenAiList>());
    if old.is_some_and(|list| list.data.iter().any(|model| model.state.is_some())) {
        return Ok(Probed::OldLmStudio);
    }
    match asking.get("/v1/models").await.ok().and_then(|answer| answer.read::<OpenAiList>()) {
        Some(_) => Ok(Probed::OpenAi),
        None => Ok(Probed::Unknown(format!("status {}", native.status))),
    }
}

fn names_unloaded(models: &[Listed], openai: &OpenAiList) -> bool {
    let unloaded = models.iter().filter(|model| model.loaded_instances.is_empty());
    unloaded.into_iter().any(|model| openai.data.iter().any(|named| named.id == model.key))
}

struct Asking<'a> {
    http: reqwest::Client,
    provider: &'a Provider,
}

impl Asking<'_> {
    async fn get(&self, path: &str) -> reqwest::Result<Answer> {
        let mut request = self.http.get(format!("{}{path}", self.provider.url)).timeout(TIMEOUT);
        if let Some(key) = &self.provider.key {
            request = request.bearer_auth(Secret::reveal(key));
        }
        let response = request.send().await?;
        Ok(Answer { status: response.status(), body: response.bytes().await?.to_vec() })
    }
}

impl Answer {
    fn read<T: DeserializeOwned>(&self) -> Option<T> {
        self.status.is_success().then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }
}

/// What it means.
pub(super) fn judge(name: &str, provider: &Provider, probed: &Probed) -> Vec<Finding> {
    let url = &provider.url;
    let place = format!("`[providers.{name}] url`");
    let finding = match probed {
        Probed::LmStudio { models, .. } => {
            Finding::ok(ABOUT, format!("{name}: LM Studio answers at {url} with {} models", models.len()))
        }
        Probed::OldLmStudio => Finding::fail(
            ABOUT,
            format!(
                "{name}: the LM Studio at {url} is older than 0.4.0 and cannot load or unload models over HTTP"
            ),
            "update LM Studio",
        ),
        Probed::Unauthorised => unauthorised(name, provider),
        Probed::OpenAi => Finding::fail(
            ABOUT,
            format!(
                "{name}: what answers at {url} speaks OpenAI's protocol but is no LM Studio, and only that is served yet"
            ),
            format!(
                "name LM Studio's address as {place}; it is http://127.0.0.1:1234 unless changed in its Developer tab"
            ),
        ),
        Probed::Gateway => Finding::fail(
            ABOUT,
            format!("{name}: what answers at {url} is a Pointsman: requests would go round in circles"),
            format!(
                "name the model server's own address as {place} (and not in OPENAI_API_BASE, which is read too)"
            ),
        ),
        Probed::Unknown(said) => Finding::fail(
            ABOUT,
            format!("{name}: what answers at {url} is no model server that is known ({said})"),
            format!("name LM Studio's address as {place}"),
        ),
        Probed::Unreachable(why) => Finding::fail(
            ABOUT,
            format!("{name}: nothing answers at {url}: {why}"),
            format!("start LM Studio's server (Developer tab, or `lms server start`), or correct {place}"),
        ),
        Probed::Silent => Finding::fail(
            ABOUT,
            format!("{name}: {url} takes connections but does not answer within {} s", TIMEOUT.as_secs()),
            "restart LM Studio's server (Developer tab, or `lms server stop` and `lms server start`)",
        ),
    };
    vec![finding]
}

fn unauthorised(name: &str, provider: &Provider) -> Finding {
    let url = &provider.url;
    match provider.key {
        None => Finding::fail(
            ABOUT,
            format!("{name}: the server at {url} wants an API token"),
            format!(
                "make one in LM Studio (Developer tab, server settings) and set LM_API_TOKEN or `[providers.{name}] key`"
            ),
        ),
        Some(_) => Finding::fail(
            ABOUT,
            format!("{name}: the server at {url} does not take the configured API token"),
            format!(
                "correct LM_API_TOKEN or `[providers.{name}] key`; the token needs the right to see and load models"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use lmstudio_emulator::{Config, Emulator};

    use super::super::finding::Level;
    use super::*;
    use crate::config::Kind;

    fn at(url: String, key: Option<&str>) -> Provider {
        Provider { kind: Kind::Lmstudio, url, key: key.map(Secret::new) }
    }

    #[tokio::test]
    async fn lm_studio_is_known_with_its_models_and_its_settings() {
        let emulator = Emulator::start(Config::default().loaded("openai/gpt-oss-20b")).await.unwrap();
        let provider = at(emulator.url(), None);
        let Probed::LmStudio { models, lists_unloaded } = probe(&provider).await.unwrap() else { panic!() };
        assert!(models.len() > 3 && lists_unloaded == Some(true));
        emulator.change(|server| server.jit = false);
        let Probed::LmStudio { lists_unloaded, .. } = probe(&provider).await.unwrap() else { panic!() };
        assert_eq!(lists_unloaded, Some(false));
        let url = emulator.url();
        emulator.stop().await;
        let probed = probe(&at(url, None)).await.unwrap();
        assert!(matches!(probed, Probed::Unreachable(_)), "{probed:?}");
        assert_eq!(judge("lmstudio", &provider, &probed)[0].level, Level::Fail);
    }

    #[tokio::test]
    async fn a_token_that_is_wanted_is_asked_for() {
        let config = Config::default().server(|server| server.auth_tokens = vec!["sk-1".to_owned()]);
        let emulator = Emulator::start(config).await.unwrap();
        for (key, expected) in [(None, "wants an API token"), (Some("sk-2"), "does not take")] {
            let provider = at(emulator.url(), key);
            let probed = probe(&provider).await.unwrap();
            assert_eq!(probed, Probed::Unauthorised);
            assert!(judge("lmstudio", &provider, &probed)[0].message.contains(expected));
        }
        assert!(matches!(probe(&at(emulator.url(), Some("sk-1"))).await.unwrap(), Probed::LmStudio { .. }));
    }

    #[test]
    fn whatever_answers_is_told_apart_and_mended() {
        let provider = at("http://x".to_owned(), None);
        let kinds = [
            Probed::OldLmStudio,
            Probed::OpenAi,
            Probed::Gateway,
            Probed::Unknown("status 200".to_owned()),
            Probed::Silent,
        ];
        for probed in kinds {
            let findings = judge("lmstudio", &provider, &probed);
            assert!(findings[0].level == Level::Fail && findings[0].mend.is_some(), "{probed:?}");
        }
    }
}

//! The command line's end of the admin API: finding the running gateway and its token, and turning whatever goes wrong
//! into one line that says what to do.
//!
//! One request at a time, no retries, no system proxy: the gateway is on this machine or where the user said.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::admin::view::Failed;
use crate::admin::{PREFIX, TOKEN_FILE};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an answer may take that needs no model.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a load may take as seen from here: a drain, an unload and a load at their limits, and a margin.
const LOAD_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Where a gateway is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its root, without a slash at the end.
    pub url: String,
    /// The folder with its token.
    pub data_dir: PathBuf,
}

/// A gateway's admin API.
pub struct Client {
    http: reqwest::Client,
    place: Place,
    token: String,
}

/// What goes with a request.
enum Body {
    None,
    Json(Vec<u8>),
    /// A component, and a header that belongs to it.
    Component(Bytes, Option<(&'static str, String)>),
}

/// How long to wait for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It is known already.
    Short,
    /// A model may have to be loaded, or a component compiled.
    Long,
}

/// What answers where a gateway is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// A gateway.
    Gateway,
    /// Nothing listens.
    Nothing,
    /// Something else.
    Stranger,
}

// === impl Place ===

impl Place {
    /// The place that a listening address is reached at from this machine.
    pub fn listening(listen: SocketAddr, data_dir: PathBuf) -> Self {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self { url: format!("http://{}", SocketAddr::new(ip, listen.port())), data_dir }
    }

    /// The place that the user names.
    pub fn named(url: &str, data_dir: PathBuf) -> Self {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Self { url: url.trim_end_matches('/').to_owned(), data_dir }
    }

    /// The file of the admin token.
    pub fn token_file(&self) -> PathBuf {
        self.data_dir.join(TOKEN_FILE)
    }
}

// === impl Client ===

impl Client {
    /// For the gateway at this place. It is asked nothing yet, unless its token is not there: then whether it runs at
    /// all decides what is said.
    pub async fn new(place: Place) -> anyhow::Result<Self> {
        let Some(token) = read_token(&place.token_file())? else {
            return Err(absent(&place, presence(&place.url).await?));
        };
        Ok(Self { http: http_client()?, place, token })
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, Body::None, Patience::Short).await
    }

    /// Asks for something to be gone.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::DELETE, path, Body::None, Patience::Long).await
    }

    /// Asks for something to be done.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
        patience: Patience,
    ) -> anyhow::Result<T> {
        self.ask(Method::POST, path, Body::Json(body), patience).await
    }

    /// Has a component looked at.
    pub async fn post_component<T: DeserializeOwned>(
        &self,
        path: &str,
        wasm: Bytes,
        header: Option<(&'static str, String)>,
    ) -> anyhow::Result<T> {
        self.ask(Method::POST, path, Body::Component(wasm, header), Patience::Long).await
    }

    /// Brings a component.
    pub async fn put_component<T: DeserializeOwned>(
        &self,
        path: &str,
        wasm: Bytes,
        header: Option<(&'static str, String)>,
    ) -> anyhow::Result<T> {
        self.ask(Method::PUT, path, Body::Component(wasm, header), Patience::Long).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
        patience: Patience,
    ) -> anyhow::Result<T> {
        let url = &self.place.url;
        let timeout = match patience {
            Patience::Short => ANSWER_TIMEOUT,
            Patience::Long => LOAD_TIMEOUT,
        };
        let mut request = self.http.request(method, format!("{url}{PREFIX}/{path}")).timeout(timeout);
        request = request.bearer_auth(&self.token);
        request = match body {
            Body::None => request,
            Body::Json(json) => request.header(CONTENT_TYPE, "application/json").body(json),
            Body::Component(wasm, header) => {
                let request = request.header(CONTENT_TYPE, "application/wasm").body(wasm);
                header.into_iter().fold(request, |request, (name, value)| request.header(name, value))
            }
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await.with_context(|| format!("the answer of {url} broke off"))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| {
                anyhow!("what answers at {url} is no Pointsman, or one of another version ({error}); name the gateway with --url")
            });
        }
        match serde_json::from_slice::<Failed>(&bytes) {
            Ok(_) if status == StatusCode::UNAUTHORIZED => bail!(
                "the gateway at {url} does not take the token in {}: it runs with another data folder; name it with --data-dir",
                self.place.token_file().display()
            ),
            Ok(failed) => bail!("{}", failed.error.message),
            Err(_) => {
                bail!("what answers at {url} is no Pointsman (status {status}); name the gateway with --url")
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let url = &self.place.url;
        if error.is_connect() {
            return nobody(url);
        }
        if error.is_timeout() {
            return anyhow!("the gateway at {url} gives no answer; its log says what it is doing");
        }
        anyhow!("{url} cannot be asked: {}", root_cause(error))
    }
}

/// What answers at this place, without a token.
pub async fn presence(url: &str) -> anyhow::Result<Presence> {
    let sent = http_client()?.get(format!("{url}{PREFIX}/status")).timeout(CONNECT_TIMEOUT).send().await;
    let response = match sent {
        Ok(response) => response,
        Err(error) if error.is_connect() => return Ok(Presence::Nothing),
        Err(_) => return Ok(Presence::Stranger),
    };
    // Only a gateway refuses in these words.
    let refused = response.status() == StatusCode::UNAUTHORIZED;
    let body = response.bytes().await.unwrap_or_default();
    let is_ours =
        serde_json::from_slice::<Failed>(&body).is_ok_and(|it| it.error.message.contains("admin API"));
    Ok(if refused && is_ours { Presence::Gateway } else { Presence::Stranger })
}

/// A client without a system proxy, built once per command.
pub(super) fn http_client() -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
    builder.user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION"))).build().context("the HTTP client")
}

/// A text as one segment of a path, or one value of a query.
pub(super) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The last link of an error's chain, which is the one that says what happened.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn nobody(url: &str) -> anyhow::Error {
    anyhow!("no gateway answers at {url}: start one with `pointsman serve`, or name another with --url")
}

/// Why a gateway cannot be asked without its token.
pub(super) fn absent(place: &Place, presence: Presence) -> anyhow::Error {
    let (url, file) = (&place.url, place.token_file());
    match presence {
        Presence::Nothing => nobody(url),
        Presence::Stranger => anyhow!("what answers at {url} is no Pointsman; name the gateway with --url"),
        Presence::Gateway => anyhow!(
            "a gateway runs at {url}, but its admin token is not {}: name its folder of state with --data-dir",
            file.display()
        ),
    }
}

/// The token in the file; none where there is no such file.
fn read_token(file: &Path) -> anyhow::Result<Option<String>> {
    let token = match std::fs::read_to_string(file) {
        Ok(token) => token.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => bail!("the admin token {} cannot be read: {error}", file.display()),
    };
    if token.is_empty() {
        bail!(
            "the admin token {} is empty: delete it and restart the gateway, which makes a new one",
            file.display()
        );
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_urls_one_can_connect_to() {
        let place = |listen: &str| Place::listening(listen.parse().unwrap(), PathBuf::new()).url;
        assert_eq!(place("127.0.0.1:8484"), "http://127.0.0.1:8484");
        assert_eq!(place("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(place("[::]:81"), "http://[::1]:81");
        let named = |url: &str| Place::named(url, PathBuf::new()).url;
        assert_eq!(named("box:8484/"), "http://box:8484");
        assert_eq!(named("https://box"), "https://box");
    }

    #[test]
    fn texts_are_one_segment() {
        assert_eq!(escaped("r1-a"), "r1-a");
        assert_eq!(escaped("../x y"), "..%2Fx%20y");
    }

    #[test]
    fn a_token_that_is_not_there_says_how_to_get_one() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::named("http://x", folder.path().to_path_buf());
        let file = place.token_file();
        assert_eq!(read_token(&file).unwrap(), None);
        for (presence, part) in [
            (Presence::Nothing, "pointsman serve"),
            (Presence::Stranger, "--url"),
            (Presence::Gateway, "--data-dir"),
        ] {
            let error = absent(&place, presence).to_string();
            assert!(error.contains(part), "{error}");
        }
        std::fs::write(&file, " \n").unwrap();
        assert!(read_token(&file).unwrap_err().to_string().contains("is empty"));
        std::fs::write(&file, "pm-1\n").unwrap();
        assert_eq!(read_token(&file).unwrap().as_deref(), Some("pm-1"));
    }
}

//! One model server's HTTP: requests with its key, answers read whole, and what an answer that is none becomes.
//!
//! Bounded by [`ANSWER_MAX`] an answer and [`CONNECT_TIMEOUT`] a connection; how long an answer may take is for whoever
//! asks to say. Its key goes into the `Authorization` header and nowhere else: where a server repeats it in an error,
//! it is taken out.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use crate::wire::fault;

/// A server and how to reach it.
pub(super) struct Server {
    root: String,
    key: Option<String>,
    client: Client,
    refusal: Refusal,
}

/// What an answer says is wrong, by its status and its body; none where it is what was asked for.
pub(super) type Refusal = fn(u16, &[u8]) -> Option<Error>;

/// The client for this server could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client")]
pub struct ConnectError(#[from] reqwest::Error);

/// Idle connections are given up before the server does, at 5 s (Node's keep-alive, and so LM Studio's).
const POOL_IDLE: Duration = Duration::from_secs(4);

/// How long a connection may take; the server is on this machine or beside it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer: a list of a thousand models is under one MiB.
const ANSWER_MAX: usize = 8 * 1024 * 1024;

/// Characters of an unreadable error that are shown.
const EXCERPT_MAX: usize = 200;

/// A call that got no usable answer.
enum Failure {
    /// The connection broke after it was made and before any answer: it may have been a stale one.
    Broken(String),
    Said(Error),
}

// === impl Server ===

impl Server {
    /// The server at `root`, which has no slash at its end.
    pub(super) fn new(root: &str, key: Option<String>, refusal: Refusal) -> Result<Self, ConnectError> {
        let client = Client::builder()
            .no_proxy()
            .pool_idle_timeout(POOL_IDLE)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        let key = key.filter(|key| !key.is_empty());
        Ok(Self { root: root.to_owned(), key, client, refusal })
    }

    /// Where it is.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Asks for a list or the like, once more where the connection broke before any answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let body = twice(|| self.send(self.request(Method::GET, path))).await?;
        read(&body)
    }

    /// Sends an effect that must not be sent again.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Vec<u8>, Error> {
        let request = self.request(Method::POST, path).json(body);
        self.send(request).await.map_err(Failure::into_error)
    }

    /// Sends an effect that may be sent again, once more where the connection broke before any answer.
    pub(super) async fn post_again(&self, path: &str, body: &impl Serialize) -> Result<Vec<u8>, Error> {
        twice(|| self.send(self.request(Method::POST, path).json(body))).await
    }

    /// Opens a stream; whoever reads it bounds it.
    pub(super) async fn open(&self, path: &str) -> reqwest::Result<Response> {
        self.request(Method::GET, path).send().await?.error_for_status()
    }

    /// What is at a path, whatever the server means by it: the status and the body.
    pub(super) async fn look(&self, path: &str) -> Result<(u16, Vec<u8>), Error> {
        let (status, body) = twice(|| self.whole(self.request(Method::GET, path))).await?;
        Ok((status, self.without_key(&body).into_owned()))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.root));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request and reads the whole answer; anything that says error is one, whatever its status.
    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        let (status, body) = self.whole(request).await?;
        match (self.refusal)(status, &self.without_key(&body)) {
            None => Ok(body),
            Some(error) => Err(Failure::Said(error)),
        }
    }

    async fn whole(&self, request: RequestBuilder) -> Result<(u16, Vec<u8>), Failure> {
        let mut response = request.send().await.map_err(|error| {
            let message = chain(&error);
            if error.is_connect() {
                Failure::Said(Error::Unreachable(message))
            } else {
                Failure::Broken(message)
            }
        })?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let broke = |error: reqwest::Error| Failure::Said(Error::Unreachable(chain(&error)));
        while let Some(chunk) = response.chunk().await.map_err(broke)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(Failure::Said(Error::Malformed("longer than any list".to_owned())));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    fn without_key<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.key {
            Some(key) if memchr::memmem::find(body, key.as_bytes()).is_some() => {
                Cow::Owned(String::from_utf8_lossy(body).replace(key.as_str(), "…").into_bytes())
            }
            _ => Cow::Borrowed(body),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("root", &self.root).finish_non_exhaustive()
    }
}

// === impl Failure ===

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Broken(message) => Error::Unreachable(message),
            Self::Said(error) => error,
        }
    }
}

/// What an answer says is wrong, where it says so in one of the usual shapes or by its status alone.
pub(super) fn complaint(status: u16, body: &[u8]) -> Option<String> {
    let excerpt = || {
        let text: String = String::from_utf8_lossy(body).chars().take(EXCERPT_MAX).collect();
        if text.trim().is_empty() { format!("status {status}") } else { text.trim().to_owned() }
    };
    let is_success = (200..300).contains(&status);
    fault::message_in(body).or_else(|| (!is_success).then(excerpt))
}

/// What a refusal means by its status alone, where its text says nothing more.
pub(super) fn refused(status: u16, message: String) -> Error {
    match status {
        401 | 403 => Error::Unauthorised(message),
        404 | 405 => Error::Unsupported(message),
        status => Error::Refused { status, message },
    }
}

/// Makes a call that may be repeated, and repeats it once if its connection broke.
async fn twice<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failure>>,
{
    match call().await {
        Err(Failure::Broken(_)) => call().await.map_err(Failure::into_error),
        result => result.map_err(Failure::into_error),
    }
}

/// An answer as what was asked for.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Malformed(error.to_string()))
}

/// The error with its causes: the outermost text alone says nothing of use.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

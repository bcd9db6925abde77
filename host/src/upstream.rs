//! The data path's HTTP client: hyper-util's pooled one, which costs 15 µs a request less than the client built on it that
//! serves everything else. It sends a body in pieces and hands the answer over as it comes.
//!
//! LM Studio closes idle connections after 5 s, so ours are given up after 4. The client repeats a request by itself only
//! where a pooled connection was closed before anything was sent on it.

pub mod outgoing;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::wire::edit::Pieces;
use outgoing::Outgoing;

/// How long an idle connection is kept: below LM Studio's 5 s.
const IDLE: Duration = Duration::from_secs(4);

/// How long a connection may take to be made. Model servers are on this machine or near it.
const CONNECT: Duration = Duration::from_secs(5);

/// The header by which a request that comes back to this gateway is known.
pub const HOP: HeaderName = HeaderName::from_static("x-pointsman-hop");

/// Headers that concern one connection, or that this gateway decides.
const NOT_FORWARDED: [HeaderName; 14] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::AUTHORIZATION,
    header::ACCEPT_ENCODING,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
    header::CONTENT_TYPE,
];

/// Headers without a constant that do not go upstream either.
const NOT_FORWARDED_TEXT: [&str; 3] = ["x-api-key", "keep-alive", "proxy-connection"];

/// Where one provider's chat requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// `…/v1/chat/completions`.
    pub chat: Uri,
    /// `…/v1/embeddings`.
    pub embeddings: Uri,
    /// The provider's own key, as a header value marked sensitive.
    pub authorization: Option<HeaderValue>,
    /// It may let another model answer than the one that was asked for.
    pub substitutes: Substitutes,
}

/// Whether another model's name in an answer means that another model answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Substitutes {
    /// As LM Studio does, which names the instance that served.
    Perhaps,
    /// Names are the server's own business: an alias is answered by what it stands for.
    Never,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nobody listens there.
    #[error("cannot connect to {authority}: {cause}")]
    Connect {
        /// Host and port.
        authority: String,
        /// What the system says.
        cause: String,
    },
    /// The connection broke before an answer.
    #[error("the connection to {authority} broke before an answer: {cause}")]
    Broken {
        /// Host and port.
        authority: String,
        /// What the client saw.
        cause: String,
    },
    /// The configuration names no such provider.
    #[error("no provider is called {0:?}")]
    NoProvider(String),
}

/// The client and where it may go.
#[derive(Debug)]
pub struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Outgoing>,
    targets: ArcSwap<Targets>,
    hop: HeaderValue,
}

/// Where requests go, by provider.
#[derive(Debug, Default)]
struct Targets {
    configured: BTreeMap<String, Target>,
    /// Of providers that the configuration does not name any more: whoever was granted one of their models before finds
    /// the way. No model of theirs is granted anew.
    former: BTreeMap<String, Target>,
}

// === impl Upstream ===

impl Upstream {
    /// A client for these providers; `hop` names this gateway.
    pub fn new(targets: BTreeMap<String, Target>, hop: HeaderValue) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        let https = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(https);
        let targets = ArcSwap::from_pointee(Targets { configured: targets, ..Targets::default() });
        Self { client, targets, hop }
    }

    /// Servers of which nothing was known can be sent to from now on; where requests to all others go stays as it is.
    pub fn introduce(&self, targets: &BTreeMap<String, Target>) {
        let before = self.targets.load();
        let mut configured = before.configured.clone();
        let new = targets.iter().filter(|(name, _)| before.find(name).is_none());
        configured.extend(new.map(|(name, target)| (name.clone(), target.clone())));
        self.targets.store(Arc::new(Targets { configured, former: before.former.clone() }));
    }

    /// Where requests go from now on; those that are under way go on as they were sent.
    pub fn reconfigure(&self, targets: BTreeMap<String, Target>) {
        let before = self.targets.load();
        let mut former = before.former.clone();
        former.extend(before.configured.iter().map(|(name, target)| (name.clone(), target.clone())));
        former.retain(|name, _| !targets.contains_key(name));
        self.targets.store(Arc::new(Targets { configured: targets, former }));
    }

    /// Sends a chat request to a provider with the client's headers, less those that are not for it.
    pub async fn chat(
        &self,
        provider: &str,
        headers: &HeaderMap,
        body: Pieces,
    ) -> Result<Response<Incoming>, SendError> {
        let target = self.target(provider)?;
        self.send(&target.chat, self.forwarded(headers, &target), body).await
    }

    /// Asks a provider for embeddings, in this gateway's own name.
    pub async fn embeddings(&self, provider: &str, body: Pieces) -> Result<Response<Incoming>, SendError> {
        let target = self.target(provider)?;
        self.send(&target.embeddings, self.forwarded(&HeaderMap::new(), &target), body).await
    }

    fn target(&self, provider: &str) -> Result<Target, SendError> {
        let targets = self.targets.load();
        targets.find(provider).cloned().ok_or_else(|| SendError::NoProvider(provider.to_owned()))
    }

    async fn send(
        &self,
        uri: &Uri,
        headers: HeaderMap,
        body: Pieces,
    ) -> Result<Response<Incoming>, SendError> {
        let mut request = Request::new(Outgoing::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        self.client.request(request).await.map_err(|error| {
            let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
            let cause = root_cause(&error);
            match error.is_connect() {
                true => SendError::Connect { authority, cause },
                false => SendError::Broken { authority, cause },
            }
        })
    }

    /// Whether the provider may let another model answer than the one that was asked for.
    pub fn substitutes(&self, provider: &str) -> Substitutes {
        self.targets.load().find(provider).map_or(Substitutes::Never, |target| target.substitutes)
    }

    fn forwarded(&self, headers: &HeaderMap, target: &Target) -> HeaderMap {
        let mut sent = HeaderMap::with_capacity(headers.len() + 3);
        let for_this_hop = named_by_connection(headers);
        for (name, value) in headers {
            if !NOT_FORWARDED.contains(name)
                && !NOT_FORWARDED_TEXT.contains(&name.as_str())
                && !for_this_hop.contains(name)
            {
                sent.append(name.clone(), value.clone());
            }
        }
        sent.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        sent.append(HOP, self.hop.clone());
        if let Some(authorization) = &target.authorization {
            sent.insert(header::AUTHORIZATION, authorization.clone());
        }
        sent
    }

    /// The request has passed through this very gateway before.
    pub fn is_loop(&self, headers: &HeaderMap) -> bool {
        headers.get_all(HOP).iter().any(|hop| *hop == self.hop)
    }
}

// === impl Targets ===

impl Targets {
    fn find(&self, provider: &str) -> Option<&Target> {
        self.configured.get(provider).or_else(|| self.former.get(provider))
    }
}

/// Headers that `Connection` names are for this hop alone (RFC 9110, 7.6.1).
fn named_by_connection(headers: &HeaderMap) -> HashSet<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// The innermost cause of an error: the outer ones only say that there is one.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// An answer's headers, less those that concern one connection.
pub fn answer_headers(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len() + 4);
    let for_this_hop = named_by_connection(headers);
    for (name, value) in headers {
        let dropped = [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::TRAILER,
            header::UPGRADE,
            header::DATE,
            header::SET_COOKIE,
        ];
        let cors = name.as_str().starts_with("access-control-");
        if !dropped.contains(name)
            && !cors
            && name.as_str() != "keep-alive"
            && name.as_str() != "x-powered-by"
            && !for_this_hop.contains(name)
        {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_key_never_goes_upstream() {
        let target = Target {
            chat: Uri::from_static("http://127.0.0.1:1/v1/chat/completions"),
            embeddings: Uri::from_static("http://127.0.0.1:1/v1/embeddings"),
            authorization: Some(HeaderValue::from_static("Bearer ours")),
            substitutes: Substitutes::Never,
        };
        let upstream = Upstream::new(BTreeMap::new(), HeaderValue::from_static("me"));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer theirs"),
            ("x-api-key", "theirs"),
            ("cookie", "c"),
            ("connection", "close, X-Mine"),
            ("x-mine", "for the gateway"),
            ("accept-encoding", "gzip"),
            ("content-type", "text/json"),
            ("traceparent", "00-1"),
            ("user-agent", "x"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let sent = upstream.forwarded(&headers, &target);
        let names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["traceparent", "user-agent", "content-type", "x-pointsman-hop", "authorization"]);
        assert_eq!(sent["authorization"], "Bearer ours");
        assert!(upstream.is_loop(&sent) && !upstream.is_loop(&headers));
    }

    #[test]
    fn who_was_granted_a_model_finds_a_provider_that_is_not_configured_any_more() {
        let at = |port: u16| Target {
            chat: format!("http://127.0.0.1:{port}/v1/chat/completions").parse().unwrap(),
            embeddings: format!("http://127.0.0.1:{port}/v1/embeddings").parse().unwrap(),
            authorization: None,
            substitutes: Substitutes::Never,
        };
        let targets = |named: &[(&str, u16)]| -> BTreeMap<String, Target> {
            named.iter().map(|(name, port)| ((*name).to_owned(), at(*port))).collect()
        };
        let upstream = Upstream::new(targets(&[("p", 1), ("q", 2)]), HeaderValue::from_static("me"));
        let port = |name: &str| upstream.target(name).ok().and_then(|target| target.chat.port_u16());
        upstream.introduce(&targets(&[("q", 3), ("r", 9)]));
        let before = (port("p"), port("q"), port("r"));
        assert_eq!(before, (Some(1), Some(2), Some(9)), "only who is new is known by introduction");
        upstream.reconfigure(targets(&[("q", 3), ("r", 9)]));
        upstream.introduce(&targets(&[("p", 8)]));
        assert_eq!(port("p"), Some(1), "whoever is inside there still finds the way");
        let upstream = Upstream::new(targets(&[("p", 1), ("q", 2)]), HeaderValue::from_static("me"));
        let port = |name: &str| upstream.target(name).ok().and_then(|target| target.chat.port_u16());
        upstream.reconfigure(targets(&[("q", 3)]));
        assert_eq!((port("p"), port("q"), port("r")), (Some(1), Some(3), None));
        upstream.reconfigure(targets(&[("p", 4)]));
        assert_eq!((port("p"), port("q")), (Some(4), Some(3)), "what is configured goes before what was");
    }

    #[test]
    fn an_answer_keeps_what_is_for_the_client() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "for the gateway"),
            ("access-control-allow-origin", "*"),
            ("set-cookie", "c"),
            ("retry-after", "9"),
            ("content-type", "application/json"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let kept = answer_headers(&headers);
        assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["retry-after", "content-type"]);
    }
}

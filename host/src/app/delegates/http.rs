//! What skills' `http` reaches: the hosts that were granted, checked by name before the request, by address once the name
//! was resolved, and again for each redirect.
//!
//! A granted name may lead to public addresses only: a name is no consent to reach into the user's own network. Who means
//! an address there grants that address itself (`http=192.168.1.7:8080`). Bounded by the capability's limits; no cookies,
//! no proxies, no credentials of the gateway's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, redirect};

use crate::capability::http::{BODY_BYTES_MAX, Http, Request, Response};
use crate::capability::{Code, Error};

/// Sends skills' requests.
#[derive(Clone)]
pub(super) struct Client(reqwest::Client);

/// Resolves names to public addresses alone.
struct PublicOnly;

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 5;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Headers that the client sets itself, or that are about one connection.
const FORBIDDEN: [&str; 7] =
    ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "proxy-authorization"];

#[derive(Debug, thiserror::Error)]
#[error("{0} leads into a private network, where only addresses that were granted themselves may be reached")]
struct Private(String);

// === impl Client ===

impl Client {
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(PublicOnly))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self(client))
    }

    async fn exchange(&self, request: Request) -> Result<Response, Error> {
        let method = Method::from_bytes(request.method.to_ascii_uppercase().as_bytes());
        let mut method = method.map_err(|_| invalid(format!("{:?} is no method", request.method)))?;
        let headers = headers(&request.headers)?;
        let mut url =
            Url::parse(&request.url).map_err(|error| invalid(format!("{:?}: {error}", request.url)))?;
        let (mut body, mut headers) = (request.body, headers);
        for _ in 0..=REDIRECTS_MAX {
            check_host(&url, &request.hosts)?;
            let sent =
                self.0.request(method.clone(), url.clone()).headers(headers.clone()).body(body.clone());
            let response = sent.send().await.map_err(|error| unavailable(&error))?;
            let Some(next) = redirected(&url, &response) else { return answer(response).await };
            // As browsers do (RFC 9110, 15.4): what was posted is not posted elsewhere.
            if !matches!(response.status().as_u16(), 307 | 308) && method != Method::HEAD {
                (method, body) = (Method::GET, Vec::new());
            }
            if next.host_str() != url.host_str()
                || next.port_or_known_default() != url.port_or_known_default()
            {
                for secret in ["authorization", "cookie", "x-api-key"] {
                    headers.remove(secret);
                }
            }
            url = next;
        }
        Err(Error::new(Code::Unavailable, format!("more than {REDIRECTS_MAX} redirects")))
    }
}

impl Http for Client {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, Error>> {
        let client = self.clone();
        async move {
            let timeout = request.timeout;
            let late = || Err(Error::passing(Code::Unavailable, format!("no answer in {timeout:?}")));
            tokio::time::timeout(timeout, client.exchange(request)).await.unwrap_or_else(|_| late())
        }
        .boxed()
    }
}

fn invalid(message: String) -> Error {
    Error::new(Code::Invalid, message)
}

fn unavailable(error: &reqwest::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if cause.is::<Private>() {
        return Error::new(Code::Denied, cause.to_string());
    }
    Error::passing(Code::Unavailable, cause.to_string())
}

fn headers(written: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let name = HeaderName::try_from(name).map_err(|_| invalid(format!("{name:?} is no header")))?;
        let value =
            HeaderValue::try_from(value).map_err(|_| invalid(format!("the value of {name} is none")))?;
        if FORBIDDEN.contains(&name.as_str()) {
            return Err(invalid(format!("the header {name} is the gateway's own")));
        }
        headers.append(name, value);
    }
    Ok(headers)
}

/// The address is one of a host that was granted; one that is a private address was granted as such.
fn check_host(url: &Url, hosts: &[String]) -> Result<(), Error> {
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("only http and https, without user or password".to_owned()));
    }
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    // A host without a port means the ports of its schemes.
    let is_it = |granted: &String| *granted == with_port || (url.port().is_none() && *granted == host);
    if hosts.iter().any(is_it) {
        return Ok(());
    }
    Err(Error::new(Code::Denied, format!("`http={host}` is not granted")))
}

fn redirected(from: &Url, response: &reqwest::Response) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(reqwest::header::LOCATION)?.to_str().ok()?;
    from.join(location).ok()
}

async fn answer(mut response: reqwest::Response) -> Result<Response, Error> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let named = response.headers().iter();
    let headers = named.filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unavailable(&error))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Error::new(Code::Limit, format!("the answer is longer than {BODY_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status: response.status().as_u16(), headers, body })
}

// === impl PublicOnly ===

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|it| is_public(it.ip())).collect();
            if public.is_empty() {
                return Err(Private(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Reached over the internet, and not within this machine or its network; an IPv4 address in IPv6 is what it holds.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => {
            let [first, second, third, _] = it.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            let is_protocols = first == 192 && second == 0 && (third == 0 || third == 2);
            let is_benchmarks = first == 198 && (18..20).contains(&second);
            let is_special = first == 0 || first >= 240 || is_protocols || is_benchmarks || is_shared;
            let is_near = it.is_private() || it.is_loopback() || it.is_link_local();
            !(is_near || is_special || it.is_multicast() || it.is_broadcast())
        }
        IpAddr::V6(it) => {
            let first = it.segments().first().copied().unwrap_or_default();
            // 2000::/3 is what is routed, less the tunnels that hold other addresses.
            let is_routed = first & 0xe000 == 0x2000;
            is_routed && first != 0x2002 && !(first == 0x2001 && it.segments().get(1) == Some(&0))
        }
    }
}

#[cfg(test)]
mod tests;

//! The capability `http`: requests to the hosts that the user granted, and to no others. Where a name leads is checked
//! after it was resolved, and again for each redirect; that is the delegate's, which makes the connection.
//!
//! Bounded per request, over all skills that are asked about it: [`CALLS_MAX`].

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::bindings::{http, types};
use super::{Code, Error, Sandbox};
use crate::grant::Capability;

/// Sends requests.
pub trait Http: Send + Sync {
    /// Sends one request to one of its hosts.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, Error>>;
}

/// A request that a skill makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// As the skill named it.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: Vec<u8>,
    /// For the whole exchange.
    pub timeout: Duration,
    /// The hosts that were granted, as written: `api.example.com`, `127.0.0.1:8080`.
    pub hosts: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Names and values; what is no text is left out.
    pub headers: Vec<(String, String)>,
    /// At most [`BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// Bytes of an answer's body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Requests that all skills together may send about one request.
const CALLS_MAX: u32 = 16;

/// Bytes of a request's address, headers and body.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// How long one exchange may take; a hook's own time ends sooner or later.
const TIMEOUT_MOST: Duration = Duration::from_secs(10);

impl http::Host for Sandbox {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, types::Error>> {
        self.enter()?;
        let sent = match self.outgoing(request) {
            Ok(request) => {
                let answer = self.delegates.http.send(request);
                self.wait(answer).await
            }
            Err(error) => Err(error),
        };
        let record = |it: Response| http::Response { status: it.status, headers: it.headers, body: it.body };
        Ok(sent.map(record).map_err(Error::into_record))
    }
}

impl Sandbox {
    fn outgoing(&self, request: http::Request) -> Result<Request, Error> {
        self.check(Capability::Http)?;
        if self.is_setup() {
            return Err(Error::new(Code::Unavailable, "requests are sent only from hooks"));
        }
        let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = request.url.len() + headers + request.body.len();
        if request.headers.len() > HEADERS_MAX || bytes > REQUEST_BYTES_MAX {
            let message =
                format!("a request has at most {HEADERS_MAX} headers and {REQUEST_BYTES_MAX} bytes");
            return Err(Error::new(Code::Limit, message));
        }
        if self.subject().is_some_and(|subject| !subject.budget.take_http(CALLS_MAX)) {
            let message = format!("skills have sent {CALLS_MAX} requests about this request");
            return Err(Error::new(Code::Limit, message));
        }
        let timeout = Duration::from_millis(request.timeout_ms.into());
        Ok(Request {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body,
            timeout: if timeout.is_zero() { TIMEOUT_MOST } else { timeout.min(TIMEOUT_MOST) },
            hosts: self.identity.rights.http_hosts().map(str::to_owned).collect(),
        })
    }
}

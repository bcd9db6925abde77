//! THE DATA PATH. One request, from its bytes to its answer: *read, attach, decide, acquire, send, splice, respond,
//! finish*. Each step's output is the next step's argument.
//!
//! There is no task per request. While a client waits, its future is polled by its connection; once its stream is open,
//! its body is. Dropping either leaves the queue or closes the upstream, and the lease is given back exactly once.

mod attempt;
mod decide;
mod job;
mod respond;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::error::{Error, Fault};
use crate::id::RequestId;
use crate::residency::Residency;
use crate::route;
use crate::session::{key, table};
use crate::skill::Skills;
use crate::splice::body::ResponseBody;
use crate::telemetry::{Record, Ring};
use crate::upstream::Upstream;
use crate::wire::chat;
use decide::Decided;
use job::Job;
pub use respond::error_in_full;

/// What every exchange shares.
pub struct Gateway {
    /// How requests are routed where no skill says.
    pub routes: route::Config,
    /// Bounds of one exchange.
    pub limits: Limits,
    /// Who decides.
    pub skills: Arc<Skills>,
    /// Who looks after the models in memory.
    pub residency: Residency,
    /// The way to the providers.
    pub upstream: Upstream,
    /// What is remembered of conversations.
    pub sessions: Mutex<table::Table>,
    /// What `why` reads.
    pub ring: Arc<Ring>,
    /// Numbers requests.
    pub counter: AtomicU64,
}

/// Bounds of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a stream's headers are held back while a model loads.
    pub stream_grace: Duration,
    /// How long a provider may take to its first frame (or its whole answer, where it is not streamed).
    pub answer_timeout: Duration,
    /// Bytes of an answer that is not streamed.
    pub answer_bytes_max: usize,
}

/// A request as it came in.
#[derive(Debug)]
pub struct Inbound {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole and decompressed.
    pub body: Bytes,
    /// The configured name of the client's key, where keys are in use.
    pub client: Option<String>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            stream_grace: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(600),
            answer_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// Serves one chat request.
pub async fn chat(gateway: &Arc<Gateway>, inbound: Inbound) -> Response<ResponseBody> {
    let id = gateway.next_request();
    let mut record = Record { request: id.to_string(), ..Record::default() };
    match serve(gateway, inbound, id, &mut record).await {
        Ok(response) => response,
        Err(error) => respond::refused(gateway, record, &error),
    }
}

async fn serve(
    gateway: &Arc<Gateway>,
    inbound: Inbound,
    id: RequestId,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Error> {
    if gateway.upstream.is_loop(&inbound.headers) {
        let message = "this request has come through this gateway before: a provider's url points back at it";
        return Err(Error::new(Fault::Client, 508, "loop", message));
    }
    let request = chat::Request::read(inbound.body).map_err(|error| Error::bad_request(error.to_string()))?;
    let standing = decide::attach(gateway, &inbound.headers, &request, record);
    let directory = gateway.residency.directory();
    let due = decide::due(gateway, &request.model, &directory).await;
    let current = route::current(&request.model, &gateway.routes, &directory, due.as_ref());
    let turn = decide::turn(gateway, &request, &id, &current, inbound.client, record);
    let decided = decide::decide(gateway, &turn, &standing, &current, &directory, record).await?;
    let (plan, patches) = match decided {
        Decided::Serve { plan, patches } => (plan, patches),
        Decided::Reply(text) => {
            return Ok(respond::reply(gateway, std::mem::take(record), &id, &turn, &text));
        }
    };
    let job =
        Job::new(gateway, request, inbound.headers, turn, plan, patches, &standing, std::mem::take(record));
    respond::respond(job).await
}

// === impl Gateway ===

impl Gateway {
    fn next_request(&self) -> RequestId {
        RequestId::new(format!("r{:x}", self.counter.fetch_add(1, Ordering::Relaxed)))
    }

    fn session_hints<'a>(&self, headers: &'a HeaderMap, request: &'a chat::Request) -> key::Hints<'a> {
        key::Hints {
            headers,
            cache_key: request.cache_key.as_deref(),
            user_id: request.user_id.as_deref(),
            first_user_text: request.first_user_text(),
            api_key: headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok()),
        }
    }
}

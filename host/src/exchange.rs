//! THE DATA PATH. One request, from its bytes to its answer: *read, attach, decide, acquire, send, splice, respond,
//! finish*. Each step's output is the next step's argument.
//!
//! There is no task per request. While a client waits, its future is polled by its connection; once its stream is open,
//! its body is. Dropping either leaves the queue or closes the upstream, and the lease is given back exactly once.

mod account;
mod attempt;
mod calls;
mod conversation;
mod decide;
mod failed;
pub mod infer;
mod job;
mod respond;
mod write;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::error::{Error, Fault};
use crate::id::RequestId;
use crate::residency::Residency;
use crate::route;
use crate::session::table;
use crate::skill::Skills;
use crate::splice::body::ResponseBody;
use crate::telemetry::Ring;
use crate::upstream::Upstream;
use crate::wire::chat;
use account::{Account, Finish};
pub use conversation::conversation_of;
use decide::{Attached, Case, Decided};
use job::Job;
use respond::Reply;
pub use respond::error_in_full;

/// What every exchange shares.
pub struct Gateway {
    /// What the user says; an exchange reads it once, when it begins.
    pub settings: ArcSwap<Settings>,
    /// Who decides.
    pub skills: Arc<Skills>,
    /// Who looks after the models in memory.
    pub residency: Residency,
    /// The way to the providers.
    pub upstream: Arc<Upstream>,
    /// What is remembered of conversations.
    pub sessions: Arc<Mutex<table::Table>>,
    /// What `why` reads.
    pub ring: Arc<Ring>,
    /// Numbers requests.
    pub counter: AtomicU64,
}

/// What the user says of exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How requests are routed where no skill says.
    pub routes: route::Config,
    /// Bounds of one exchange.
    pub limits: Limits,
    /// What chat commands begin with.
    pub command_prefix: String,
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
    /// How long the tool calls of one message may take to be written by other models, loading them included.
    pub reroute_timeout: Duration,
    /// Bytes of tool calls that are held back of one answer.
    pub hold_bytes_max: usize,
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
            reroute_timeout: Duration::from_secs(60),
            hold_bytes_max: 1024 * 1024,
        }
    }
}

/// Serves one chat request.
pub async fn chat(gateway: &Arc<Gateway>, inbound: Inbound) -> Response<ResponseBody> {
    let Inbound { headers, body, client } = inbound;
    let account = Account::open(gateway, client);
    let finish = Finish::new(account.clone());
    match prepare(&account, headers, body).await {
        Ok(Prepared::Serve(job)) => respond::serve(job, finish).await,
        Ok(Prepared::Reply(reply)) => respond::reply(&account, &reply, finish),
        Err(error) => respond::refuse(&account, &error, finish),
    }
}

/// What is to be done with a request, with all that doing it takes.
enum Prepared {
    Serve(Arc<Job>),
    Reply(Reply),
}

/// Read, attach, decide.
async fn prepare(account: &Arc<Account>, headers: HeaderMap, body: Bytes) -> Result<Prepared, Error> {
    let gateway = &account.gateway;
    if gateway.upstream.is_loop(&headers) {
        let message = "this request has come through this gateway before: a provider's url points back at it";
        return Err(Error::new(Fault::Client, 508, "loop", message));
    }
    let request = chat::Request::read(body).map_err(|error| Error::bad_request(error.to_string()))?;
    let request = Arc::new(request);
    let Attached { session, agent, standing, picked } = decide::attach(account, &headers, &request);
    let directory = gateway.residency.directory();
    let held = standing.held().map(|held| &*held.route);
    let routes = &account.settings.routes;
    let current = route::current(&request.model, picked.as_ref(), held, routes, &directory);
    let case = Case {
        request: &request,
        session: &session,
        agent: agent.as_deref(),
        standing: &standing,
        current: &current,
        directory: &directory,
    };
    let (plan, patches, weight, hearing) = match decide::decide(account, &case).await? {
        Decided::Serve { plan, patches, weight, hearing } => (plan, patches, weight, hearing),
        Decided::Reply(text) => {
            let (streaming, model) = (request.stream, request.model.clone());
            return Ok(Prepared::Reply(Reply { streaming, model, text }));
        }
    };
    let (account, progress) = (account.clone(), Arc::default());
    let told = Vec::new();
    let job = Job { account, request, headers, session, plan, patches, weight, hearing, told, progress };
    Ok(Prepared::Serve(Arc::new(job)))
}

// === impl Gateway ===

impl Gateway {
    fn next_request(&self) -> RequestId {
        RequestId::new(format!("r{:x}", self.counter.fetch_add(1, Ordering::Relaxed)))
    }
}

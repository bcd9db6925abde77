//! One request's life in the log: opened when it was read, closed exactly once, also when the client left.
//!
//! Every path to an answer goes through here, so no request is forgotten.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use crate::fault::{Met, Route, Stage};
use crate::listener::Link;
use crate::log::{Event, RequestSeen};
use crate::reply::{Reply, common_headers};
use crate::shared::Shared;

/// One request.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u64,
    pub(crate) route: Route,
    /// What serves it, once something does.
    pub(crate) instance: Option<Arc<str>>,
    closing: bool,
    open: bool,
}

// === impl Exchange ===

impl Exchange {
    /// Notes the request.
    pub(crate) fn open(shared: Arc<Shared>, route: Route, parts: &Parts, body: &Bytes) -> Self {
        let number = shared.next_number();
        if shared.log.records_requests() {
            shared.log.note(Event::Request(RequestSeen {
                request: number,
                route,
                method: parts.method.clone(),
                path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
                headers: parts.headers.clone(),
                body: body.clone(),
                status: None,
            }));
        }
        let closing = parts
            .headers
            .get(CONNECTION)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        Self { shared, number, route, instance: None, closing, open: true }
    }

    /// The fault this request meets at a stage.
    pub(crate) fn meet(&self, stage: Stage, names: &[&str]) -> Option<Met> {
        self.shared.meet(stage, self.route, self.number, names)
    }

    /// Hangs in a fault until it is released.
    pub(crate) async fn hold(&self, met: &mut Met) {
        self.shared.log.note(Event::FaultHolds { request: self.number, fault: met.name.clone() });
        met.released().await;
    }

    /// The headers its answer has.
    pub(crate) fn headers(&self) -> HeaderMap {
        common_headers(&self.shared.server(), self.closing)
    }

    /// Answers with a whole body.
    pub(crate) fn reply(mut self, reply: Reply) -> Response {
        self.finish(reply.status);
        reply.into_response(self.headers())
    }

    /// The last byte was handed over. Later calls do nothing.
    pub(crate) fn finish(&mut self, status: StatusCode) {
        self.close(Some(status.as_u16()));
    }

    /// Resets the connection; never comes back.
    pub(crate) async fn reset(mut self, link: &Link) -> Response {
        self.close(None);
        link.reset();
        std::future::pending().await
    }

    fn close(&mut self, status: Option<u16>) {
        if std::mem::replace(&mut self.open, false) {
            self.shared.log.finished(self.number, status, self.instance.clone());
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.open {
            let event = Event::ClientDisconnected { request: self.number, instance: self.instance.clone() };
            self.shared.log.note(event);
        }
    }
}

//! HTTP to a child: is it healthy, a question with a whole answer, a question with a stream of events.
//!
//! Every request has a connection of its own, so that none meets one that is just being closed. Knows nothing of what
//! is asked.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Bytes one event of a child may have.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A child did not answer, or not to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine is gone")]
pub(crate) struct EngineGone;

/// What children are spoken to with.
#[derive(Debug, Clone)]
pub(crate) struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

/// The events of one answer.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    buffer: BytesMut,
}

// === impl Client ===

impl Client {
    pub(crate) fn new() -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        Self(builder.pool_max_idle_per_host(0).build_http())
    }

    /// Its model is loaded.
    pub(crate) async fn is_healthy(&self, address: SocketAddr) -> bool {
        let request = Request::get(format!("http://{address}/health")).body(Full::default());
        let Ok(request) = request else {
            return false;
        };
        self.0.request(request).await.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    /// Sends a question and waits for the head of its answer.
    pub(crate) async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        body: &Value,
    ) -> Result<Response<Incoming>, EngineGone> {
        let body = Full::from(body.to_string());
        let request = Request::post(format!("http://{address}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|_| EngineGone)?;
        self.0.request(request).await.map_err(|_| EngineGone)
    }

    /// Sends a question and waits for its whole answer.
    pub(crate) async fn ask(
        &self,
        address: SocketAddr,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value), EngineGone> {
        let response = self.post(address, path, body).await?;
        let status = response.status();
        Ok((status, read(response).await?))
    }
}

/// The whole body; what is no JSON becomes a string.
pub(crate) async fn read(response: Response<Incoming>) -> Result<Value, EngineGone> {
    let bytes = response.into_body().collect().await.map_err(|_| EngineGone)?.to_bytes();
    Ok(serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())))
}

// === impl Events ===

impl Events {
    pub(crate) fn of(response: Response<Incoming>) -> Self {
        Self { body: response.into_body(), buffer: BytesMut::new() }
    }

    /// The data of the next event; none at the end of the stream. What follows the last blank line is nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, EngineGone> {
        loop {
            while let Some(event) = self.take() {
                if let Some(data) = data_of(&event) {
                    return Ok(Some(data));
                }
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            if let Ok(bytes) = frame.map_err(|_| EngineGone)?.into_data() {
                self.buffer.extend_from_slice(&bytes);
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(EngineGone);
            }
        }
    }

    /// The first whole event that has arrived.
    fn take(&mut self) -> Option<BytesMut> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        Some(self.buffer.split_to(end + 2))
    }
}

fn data_of(event: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(event);
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start);
    let first = lines.next()?.to_owned();
    Some(lines.fold(first, |all, line| all + "\n" + line))
}

//! The news of one model, heard from a router's event stream while a call lasts.
//!
//! Nothing is believed that a list does not show, but for one thing: that the model was seen to go. The stream is heard
//! beside the call's own work, in the same future, so it ends with it; that it does not open, breaks off or says nothing
//! costs only time.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::super::POLL_EVERY;
use super::super::server::Server;
use crate::wire::llama_server::{self as wire, State};
use crate::wire::sse::Decoder;

/// What is heard of a model.
pub(super) struct News<'a> {
    model: &'a str,
    changed: Notify,
    has_gone: AtomicBool,
}

// === impl News ===

impl<'a> News<'a> {
    pub(super) fn of(model: &'a str) -> Self {
        Self { model, changed: Notify::new(), has_gone: AtomicBool::new(false) }
    }

    /// Does the work while the server's stream is heard.
    pub(super) async fn heard_beside<T>(&self, server: &Server, work: impl Future<Output = T>) -> T {
        let hear = async {
            self.hear(server).await;
            // From now on the work has to do with polling.
            std::future::pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            done = work => done,
            never = hear => match never {},
        }
    }

    /// Waits for news, or for as long as one should wait before looking again.
    pub(super) async fn wait(&self) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = tokio::time::sleep(POLL_EVERY) => {}
        }
    }

    /// The stream said that the model's process ended.
    pub(super) fn saw_it_go(&self) -> bool {
        self.has_gone.load(Ordering::Relaxed)
    }

    async fn hear(&self, server: &Server) {
        let Ok(mut stream) = server.open("/models/sse").await else { return };
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        while let Ok(Some(chunk)) = stream.chunk().await {
            if decoder.feed(chunk, &mut frames).is_err() {
                return;
            }
            for frame in frames.drain(..) {
                let news = frame.data().and_then(|data| serde_json::from_slice::<wire::News>(data).ok());
                self.take(news.as_ref());
            }
        }
    }

    /// Progress is no reason to look: it says many times that nothing is over yet.
    fn take(&self, news: Option<&wire::News>) {
        let ours = news.filter(|news| news.model.as_deref().is_none_or(|model| model == self.model));
        let Some(status) = ours.and_then(wire::News::status) else { return };
        if status == State::Loading {
            return;
        }
        let is_named = ours.is_some_and(|news| news.model.is_some());
        if status == State::Unloaded && is_named {
            self.has_gone.store(true, Ordering::Relaxed);
        }
        self.changed.notify_one();
    }
}

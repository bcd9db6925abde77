//! Connections: accepted up to a bound, served over HTTP/1.1, drained at shutdown. One task per connection, each known to
//! the graceful shutdown.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::routes::Front;

/// How long a client may take to send a request's headers.
const HEADERS: Duration = Duration::from_secs(30);

/// Bytes that a connection reads ahead; large enough that an agent's request comes in a few reads.
const BUFFER_BYTES: usize = 256 * 1024;

/// How long to wait after the system refused a connection, for want of file descriptors mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is over, then lets running requests end.
pub async fn run(
    listener: TcpListener,
    front: Front,
    connections_max: usize,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(connections_max));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER_BYTES)
        .pipeline_flush(false);
    let mut stop = std::pin::pin!(stop);
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => serve(&http, &graceful, stream, front.clone(), place),
            Err(error) => {
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

fn serve(
    http: &http1::Builder,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    front: Front,
    place: tokio::sync::OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {error}");
    }
    let service = service_fn(move |request| front.clone().serve(request));
    let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
    #[expect(clippy::disallowed_methods, reason = "the graceful shutdown knows every connection")]
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection ended: {error}");
        }
        drop(place);
    });
}

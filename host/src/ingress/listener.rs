//! Connections: accepted up to a bound, served over HTTP/1.1, drained at shutdown. One task per connection, each known to
//! the graceful shutdown.

use std::future::Future;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

use super::entrance::{Entrance, Place};
use super::routes::Front;

/// How long a client may take to send a request's headers.
const HEADERS: Duration = Duration::from_secs(30);

/// Bytes that a connection reads ahead; large enough that an agent's request comes in a few reads.
const BUFFER_BYTES: usize = 256 * 1024;

/// How long to wait after the system refused a connection, for want of file descriptors mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is over, then lets running requests end.
pub async fn run(listener: TcpListener, front: Front, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let entrance = front.entrance();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER_BYTES)
        .pipeline_flush(false);
    let mut stop = std::pin::pin!(stop);
    loop {
        let (place, accepted) = tokio::select! {
            next = next(&listener, &entrance) => next,
            () = &mut stop => break,
        };
        match accepted {
            Ok(stream) => serve(&http, &graceful, stream, front.clone(), place),
            Err(error) => {
                tracing::warn!("a connection was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

/// The next connection, once there is a place for it. Waiting for either can be given up without a loss.
async fn next(listener: &TcpListener, entrance: &Entrance) -> (Place, std::io::Result<TcpStream>) {
    let place = entrance.place().await;
    (place, listener.accept().await.map(|(stream, _)| stream))
}

fn serve(http: &http1::Builder, graceful: &GracefulShutdown, stream: TcpStream, front: Front, place: Place) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::Config;

    #[tokio::test]
    async fn waiting_for_a_place_can_be_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let entrance = Entrance::new(Config { connections_max: 1, ..Config::default() });
        let only = entrance.place().await;
        let given_up = tokio::select! {
            biased;
            _ = next(&listener, &entrance) => false,
            () = std::future::ready(()) => true,
        };
        assert!(given_up);
        drop(only);
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_place, accepted) = next(&listener, &entrance).await;
        assert_eq!(accepted.unwrap().peer_addr().unwrap(), client.local_addr().unwrap());
    }
}

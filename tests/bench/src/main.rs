//! `floor body [stream]` writes the request that everything is measured with; `floor stub PORT` is a model server that
//! answers at once; `floor proxy PORT UPSTREAM` forwards requests with the gateway's own server and client and no logic at
//! all. The difference between `proxy` and the gateway is what the gateway's own work costs.
//!
//! For measurements on one machine only: any fault ends the connection, or the program.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

/// The header by which a request asks the stub for a stream whose chunks come one by one.
const ONE_BY_ONE: &str = "x-one-by-one";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["body"] => Ok(std::io::stdout().write_all(&pointsman_bench::request(false))?),
        ["body", "stream"] => Ok(std::io::stdout().write_all(&pointsman_bench::request(true))?),
        ["stub", port] => stub(port.parse()?).await,
        ["proxy", port, upstream] => proxy(port.parse()?, upstream).await,
        _ => Err("usage: floor body [stream] | stub PORT | proxy PORT UPSTREAM".into()),
    }
}

/// Serves each connection in a task of its own, as the gateway does.
async fn serve<F, S, B>(port: u16, service: S) -> Result<(), Failure>
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Failure>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Failure>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).max_buf_size(256 * 1024);
        let connection = http.serve_connection(TokioIo::new(stream), service_fn(service.clone()));
        #[expect(clippy::disallowed_methods, reason = "this program lives as long as its measurement")]
        tokio::spawn(async move {
            // A client that leaves ends its connection; there is nobody to tell.
            let _ = connection.await;
        });
    }
}

// === proxy ===

async fn proxy(port: u16, upstream: &str) -> Result<(), Failure> {
    let uri: Uri = format!("{upstream}/v1/chat/completions").parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(4))
        .pool_timer(TokioTimer::new())
        .build::<_, Full<Bytes>>(connector);
    serve(port, move |request: Request<Incoming>| {
        let (client, uri) = (client.clone(), uri.clone());
        async move {
            let (mut head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            head.uri = uri;
            head.headers.remove(header::HOST);
            Ok(client.request(Request::from_parts(head, Full::new(body))).await?)
        }
    })
    .await
}

// === stub ===

/// What the stub says, made once.
struct Answers {
    models: Bytes,
    whole: Bytes,
    stream: Bytes,
    frames: Vec<Bytes>,
}

/// A stream whose frames are sent one by one: between two it lets everything else run, so each is a write of its own.
struct Paced {
    answers: Arc<Answers>,
    next: usize,
    rested: bool,
}

async fn stub(port: u16) -> Result<(), Failure> {
    let frames: Vec<Bytes> = pointsman_bench::frames().into_iter().map(Bytes::from).collect();
    let answers = Arc::new(Answers {
        models: pointsman_bench::models().into(),
        whole: pointsman_bench::answer().into(),
        stream: frames.concat().into(),
        frames,
    });
    serve(port, move |request: Request<Incoming>| answer(answers.clone(), request)).await
}

async fn answer(
    answers: Arc<Answers>,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Paced>>, Failure> {
    let paced = request.headers().contains_key(ONE_BY_ONE);
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let whole = |bytes: &Bytes| Either::Left(Full::new(bytes.clone()));
    let streamed = memchr::memmem::find(&body, br#""stream":true"#).is_some();
    let (kind, body) = match path.as_str() {
        "/api/v1/models" => ("application/json", whole(&answers.models)),
        "/v1/chat/completions" if streamed && paced => {
            ("text/event-stream", Either::Right(Paced { answers, next: 0, rested: true }))
        }
        "/v1/chat/completions" if streamed => ("text/event-stream", whole(&answers.stream)),
        "/v1/chat/completions" => ("application/json", whole(&answers.whole)),
        _ => {
            let mut response = Response::new(whole(&Bytes::new()));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

// === impl Paced ===

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.rested = !self.rested;
        if self.rested {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = self.answers.frames.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(frame.map(|frame| Ok(Frame::data(frame))))
    }
}

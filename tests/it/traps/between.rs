//! What stands between the gateway and LM Studio and changes requests on their way, for versions of LM Studio that took
//! no notice of what they were asked.
//!
//! One request a connection, whole bodies both ways: streams arrive all at once. The address that a request is for
//! follows its own in the path, so that it need not be known before. Dropping it closes it.

use std::net::{Ipv4Addr, SocketAddr};

use pointsman_tests::world::beside;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Changes the body of a load.
pub(super) type Change = fn(&mut Value);

/// A listening one.
pub(super) struct Between {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// A request as it came.
struct Asked {
    method: reqwest::Method,
    /// Where it is for, with path and query.
    url: String,
    body: Vec<u8>,
}

// === impl Between ===

impl Between {
    /// Changes every load in this way.
    pub(super) async fn changing_loads(change: Change) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = beside(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                beside(pass(stream, change));
            }
        });
        Self { address, task }
    }

    /// The configuration of a gateway that talks through it.
    pub(super) fn provider(&self) -> String {
        format!("[providers.lmstudio]\nkind = \"lmstudio\"\nurl = \"http://{}/{{url}}\"\n", self.address)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes one request on and its answer back.
async fn pass(mut stream: TcpStream, change: Change) {
    let Some(mut asked) = read(&mut stream).await else { return };
    if asked.url.ends_with("/models/load") {
        let mut body = serde_json::from_slice(&asked.body).unwrap();
        change(&mut body);
        asked.body = serde_json::to_vec(&body).unwrap();
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.request(asked.method, asked.url).header("content-type", "application/json");
    let answer = request.body(asked.body).send().await.unwrap();
    let kind =
        answer.headers().get("content-type").map_or("text/plain", |it| it.to_str().unwrap()).to_owned();
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap();
    let head = format!(
        "HTTP/1.1 {status} .\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A gateway that has left wants no answer.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
}

/// A whole request; none where the gateway left.
async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let (head, rest) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            break (head.to_owned(), bytes.split_off(head.len() + 4));
        }
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = rest;
    while body.len() < length.unwrap_or(0) {
        stream.read_buf(&mut body).await.ok().filter(|read| *read > 0)?;
    }
    let mut words = head.split(' ');
    let method = words.next()?.parse().ok()?;
    let url = words.next()?.trim_start_matches('/').to_owned();
    Some(Asked { method, url, body })
}

//! Answers that are read as they come, and a client that reads nothing at all.
//!
//! Dropping either closes its connection, which is how a client leaves. Nothing here waits for time to pass.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::world::Answer;

/// An answer whose headers are there.
pub struct Live {
    response: reqwest::Response,
    read: Vec<u8>,
}

/// A client that has sent its request and reads nothing of the answer until it is told to.
pub struct Deaf(TcpStream);

/// Bytes that a deaf client's system takes in for it.
const RECEIVE_BYTES: u32 = 4096;

// === impl Live ===

impl Live {
    /// The rest of this response.
    pub fn new(response: reqwest::Response) -> Self {
        Self { response, read: Vec::new() }
    }

    /// Reads until `part` has come, and returns all that has.
    ///
    /// # Panics
    /// Where the answer ends before.
    pub async fn until(&mut self, part: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if text.contains(part) {
                return text;
            }
            let chunk = self.response.chunk().await.unwrap();
            let Some(chunk) = chunk else { panic!("the answer ended before {part:?} came: {text}") };
            self.read.extend_from_slice(&chunk);
        }
    }

    /// Reads to the end.
    ///
    /// # Panics
    /// Where the answer breaks off.
    pub async fn finish(mut self) -> Answer {
        while let Some(chunk) = self.response.chunk().await.unwrap() {
            self.read.extend_from_slice(&chunk);
        }
        let (status, headers) = (self.response.status().as_u16(), self.response.headers().clone());
        Answer { status, headers, body: String::from_utf8(self.read).unwrap() }
    }
}

// === impl Deaf ===

impl Deaf {
    /// Sends a chat request of this session.
    ///
    /// # Panics
    /// Where the gateway cannot be reached.
    pub async fn ask(gateway: SocketAddr, session: &str, body: &Value) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
        let mut stream = socket.connect(gateway).await.unwrap();
        let body = body.to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {gateway}\r\nx-session-id: {session}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Reads after all, to the end or to where it breaks off.
    pub async fn hear(mut self) -> String {
        let mut bytes = Vec::new();
        // An answer that was broken off may end in a reset: what came before is what is looked at.
        let _ = self.0.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

//! What a server of another make writes: where it listens, and the last lines for a test that fails.
//!
//! A thread reads it to its end, because a full pipe would hold the server up. The lines that are kept are bounded.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// What stands before the address in the line that says it.
const BEFORE_ADDRESS: &str = "listening on ";

/// Lines that are kept.
const LINES_MAX: usize = 200;

/// A server's last lines, which grow as it writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<VecDeque<String>>>);

// === impl Log ===

impl Log {
    /// Reads what a server writes, to its end. The address comes once it listens, and nothing if it never does.
    pub(crate) fn follow(from: impl Read + Send + 'static) -> (Self, oneshot::Receiver<String>) {
        let (log, (address, listens)) = (Self::default(), oneshot::channel());
        let kept = log.clone();
        thread::spawn(move || kept.read(from, address));
        (log, listens)
    }

    /// The last lines.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }

    fn read(&self, from: impl Read, address: oneshot::Sender<String>) {
        let mut address = Some(address);
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some((_, rest)) = line.split_once(BEFORE_ADDRESS)
                && let Some(address) = address.take()
            {
                let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
                // A test that waits no longer needs no address.
                let _ = address.send(rest[..end].to_owned());
            }
            self.keep(line);
        }
    }

    fn keep(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, Log};

    #[tokio::test]
    async fn the_address_comes_and_the_last_lines_stay() {
        let lines: String = (0..2 * LINES_MAX).map(|line| format!("line {line}\n")).collect();
        let text = format!(
            "starting\nsrv  main: listening on http://127.0.0.1:4711 \nlistening on nothing\n{lines}"
        );
        let (log, address) = Log::follow(std::io::Cursor::new(text.into_bytes()));
        assert_eq!(address.await.unwrap(), "http://127.0.0.1:4711");
        let last = format!("line {}\n", 2 * LINES_MAX - 1);
        while !log.text().ends_with(&last) {
            tokio::task::yield_now().await;
        }
        assert_eq!(log.text().lines().count(), LINES_MAX);
    }

    #[tokio::test]
    async fn an_address_ends_where_a_quote_does() {
        let line = "level=info msg=\"listening on 127.0.0.1:4711\" go.version=go1.26\n";
        assert_eq!(Log::follow(line.as_bytes()).1.await.unwrap(), "127.0.0.1:4711");
    }

    #[tokio::test]
    async fn what_never_listens_has_no_address() {
        let (_log, address) = Log::follow(&b"no such option\n"[..]);
        assert!(address.await.is_err());
    }
}

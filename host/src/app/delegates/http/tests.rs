//! Real sockets on loopback, where a granted address leads and a granted name must not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that answers every request with this; says where it listens.
async fn server(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    #[expect(clippy::disallowed_methods, reason = "the test's own server")]
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = socket.read(&mut head).await.unwrap_or(0);
            let answer = answer(&String::from_utf8_lossy(&head[..read]));
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nx-it: yes\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn get(url: &str, hosts: &[&str]) -> Request {
    Request {
        method: "get".to_owned(),
        url: url.to_owned(),
        headers: vec![("authorization".to_owned(), "Bearer secret".to_owned())],
        body: Vec::new(),
        timeout: Duration::from_secs(10),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
    }
}

async fn send(request: Request) -> Result<Response, Error> {
    Client::new().unwrap().send(request).await
}

#[tokio::test]
async fn a_granted_address_answers() {
    let at = server(|_| ok("hello")).await;
    let response = send(get(&format!("http://{at}/x"), &[&at])).await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (200, &b"hello"[..]));
    assert!(response.headers.contains(&("x-it".to_owned(), "yes".to_owned())));
}

#[tokio::test]
async fn what_was_not_granted_is_not_reached() {
    let at = server(|_| ok("hello")).await;
    let port = at.rsplit(':').next().unwrap().to_owned();
    let local = format!("localhost:{port}");
    for (url, granted) in [
        (format!("http://{at}/"), "api.example.com".to_owned()),
        (format!("http://{at}/"), "127.0.0.1".to_owned()),
        (format!("http://{at}/"), "127.0.0.1:1".to_owned()),
        (format!("http://user@{at}/"), at.clone()),
        (format!("ftp://{at}/"), at.clone()),
        // The name was granted, and leads into the machine itself.
        (format!("http://{local}/"), local),
    ] {
        let error = send(get(&url, &[&granted])).await.unwrap_err();
        assert!(matches!(error.code, Code::Denied | Code::Invalid), "{url} with {granted}: {error:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_checked_like_a_request() {
    let other =
        server(|head| ok(if head.to_lowercase().contains("authorization") { "told" } else { "not told" }))
            .await;
    let to = other.clone();
    let at = server(move |_| {
        format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{to}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    })
    .await;
    let url = format!("http://{at}/");
    let denied = send(get(&url, &[&at])).await.unwrap_err();
    assert_eq!(denied.code, Code::Denied);
    let followed = send(get(&url, &[&at, &other])).await.unwrap();
    assert_eq!(followed.body, b"not told", "secrets stay with the host they were for");
    let here = server(|head| {
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
        format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{host}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    })
    .await;
    let endless = send(get(&format!("http://{here}/"), &[&here])).await.unwrap_err();
    assert!(endless.message.contains("redirects"), "{endless:?}");
}

#[tokio::test]
async fn a_long_answer_is_not_read_to_its_end() {
    let at = server(|_| ok(&"x".repeat(BODY_BYTES_MAX + 1))).await;
    assert_eq!(send(get(&format!("http://{at}/"), &[&at])).await.unwrap_err().code, Code::Limit);
}

#[tokio::test]
async fn headers_of_the_gateways_own_are_refused() {
    let mut request = get("http://127.0.0.1:1/", &["127.0.0.1:1"]);
    request.headers = vec![("Host".to_owned(), "elsewhere".to_owned())];
    assert_eq!(send(request.clone()).await.unwrap_err().code, Code::Invalid);
    request.headers = vec![("x-a".to_owned(), "b\r\nx-c: d".to_owned())];
    assert_eq!(send(request).await.unwrap_err().code, Code::Invalid);
}

#[test]
fn private_addresses_are_told_apart() {
    let public = ["8.8.8.8", "1.1.1.1", "192.0.66.2", "2606:4700::1111", "::ffff:8.8.8.8"];
    let private = [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.5.5",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "2001:0:1::",
        "64:ff9b::7f00:1",
    ];
    for (addresses, expected) in [(&public[..], true), (&private[..], false)] {
        for address in addresses {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}

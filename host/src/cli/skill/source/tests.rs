//! Sources as people write them, and servers that answer in odd ways.

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use super::*;
use crate::cli::output::Format;
use crate::shelf::Digest;

fn source(text: &str) -> Source {
    text.parse().unwrap()
}

/// A server with these routes, for as long as it is kept; its address.
async fn served(routes: Router) -> (JoinSet<()>, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async { axum::serve(listener, routes).await.unwrap() });
    (tasks, format!("http://{address}"))
}

async fn fetched(address: &str) -> Result<Fetched, String> {
    let mut output = Output::to(Format::Json, std::io::sink());
    source(address).fetch(&mut output).await.map_err(|error| format!("{error:#}"))
}

/// Somebody's signature; whether it holds is not looked at where it is fetched.
pub(super) fn signature() -> Signature {
    let key = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let (digest, zeros) = (Digest::of(b"component"), "A".repeat(86));
    let text = format!(
        "key = {key:?}\nname = \"x\"\nversion = \"1.0.0\"\ndigest = \"{digest}\"\nsignature = \"{zeros}==\"\n"
    );
    text.parse().unwrap()
}

#[test]
fn sources_are_files_or_addresses() {
    for (text, stem) in [
        ("x.wasm", "x"),
        ("/a/b/tool-router.wasm", "tool-router"),
        ("dir/x", "x"),
        ("C:\\x.wasm", "C:\\x"),
        ("https://example.com/a/b.wasm?c=d.wasm", "b"),
        ("http://example.com/", ""),
        ("oci://example.com/a/tool-router:1.2", "tool-router"),
        ("OCI://example.com/tool-router", "tool-router"),
    ] {
        assert_eq!(source(text).stem(), stem, "{text}");
    }
    for (text, part) in
        [("ftp://example.com/x", "oci://"), ("file:///x", "file://"), ("https://", "no address")]
    {
        let error = text.parse::<Source>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert_eq!(
        http::shown(&"https://me:secret@example.com/x.wasm?token=t#f".parse().unwrap()),
        "https://example.com/x.wasm"
    );
}

#[tokio::test]
async fn what_lies_beside_a_file_comes_along() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    let text = file.to_str().unwrap().to_owned();
    assert!(fetched(&text).await.unwrap_err().contains("cannot be read"));
    std::fs::write(&file, b"bytes").unwrap();
    let found = fetched(&text).await.unwrap();
    assert!(found.wasm == b"bytes" && found.signature.is_none());
    std::fs::write(folder.path().join("x.wasm.sig"), b"nonsense").unwrap();
    assert!(fetched(&text).await.unwrap_err().contains("is no signature"));
    assert!(fetched(folder.path().to_str().unwrap()).await.unwrap_err().contains("is a folder"));
}

#[tokio::test]
async fn an_address_is_followed_and_bounded() {
    let routes = Router::new()
        .route("/x.wasm", get(|| async { "component" }))
        .route("/moved.wasm", get(|| async { Redirect::temporary("/x.wasm") }))
        .route("/round.wasm", get(|| async { Redirect::temporary("/round.wasm") }))
        .route("/signed.wasm", get(|| async { "component" }))
        .route("/signed.wasm.sig", get(|| async { signature().to_text() }))
        .route("/odd.wasm", get(|| async { "component" }))
        .route("/odd.wasm.sig", get(|| async { "nonsense" }))
        .route("/broken.wasm", get(|| async { "component" }))
        .route("/broken.wasm.sig", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/long.wasm", get(|| async { "component" }))
        .route("/long.wasm.sig", get(|| async { "x".repeat(5_000) }));
    let (_serving, url) = served(routes).await;
    for path in ["x.wasm", "moved.wasm"] {
        let found = fetched(&format!("{url}/{path}")).await.unwrap();
        assert!(found.wasm == b"component" && found.signature.is_none(), "{path}");
    }
    let found = fetched(&format!("{url}/signed.wasm")).await.unwrap();
    assert_eq!((found.signature, found.from), (Some(signature()), format!("{url}/signed.wasm")));
    for (path, part) in [
        ("nothing.wasm", "404"),
        ("round.wasm", "redirects too often"),
        ("odd.wasm", "is no signature"),
        ("broken.wasm", "whether there is a signature"),
        ("long.wasm", "more than 4096 bytes"),
    ] {
        let error = fetched(&format!("{url}/{path}")).await.unwrap_err();
        assert!(error.contains(part), "{path}: {error}");
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_comes_or_in_the_middle() {
    let too_long = COMPONENT_BYTES_MAX + 1;
    let said = move || async move {
        // It says so, and gives nothing: nothing is waited for.
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        Response::builder().header("content-length", too_long).body(Body::from_stream(never)).unwrap()
    };
    let endless = || async {
        let chunk = Bytes::from(vec![0; 1 << 20]);
        Body::from_stream(futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone())))
    };
    let routes = Router::new().route("/said.wasm", get(said)).route("/endless.wasm", get(endless));
    let (_serving, url) = served(routes).await;
    for path in ["said.wasm", "endless.wasm"] {
        let error = fetched(&format!("{url}/{path}")).await.unwrap_err();
        assert!(error.contains(&format!("has more than {COMPONENT_BYTES_MAX} bytes")), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_is_no_component() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/x.wasm", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Its request is read to the end: what is left unread would break the connection before the answer is seen.
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut seen).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncomp").await.unwrap();
    });
    let error = fetched(&address).await.unwrap_err();
    assert!(error.contains("broke off"), "{error}");
}

//! Sources as people write them, and servers that answer in odd ways.

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use tokio::task::JoinSet;

use super::*;
use crate::cli::output::Format;

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

#[test]
fn sources_are_files_or_addresses() {
    for (text, stem) in [
        ("x.wasm", "x"),
        ("/a/b/tool-router.wasm", "tool-router"),
        ("dir/x", "x"),
        ("C:\\x.wasm", "C:\\x"),
        ("https://example.com/a/b.wasm?c=d.wasm", "b"),
        ("http://example.com/", ""),
    ] {
        assert_eq!(source(text).stem(), stem, "{text}");
    }
    for (text, part) in
        [("oci://example.com/x", "https://"), ("file:///x", "file://"), ("https://", "no address")]
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

//! Against servers with a fixed list.

use serde_json::json;

use super::super::tests::{Stub, load_of, of};
use super::*;

#[tokio::test]
async fn every_model_is_always_there() {
    let list = json!({"data": [
        {"id": "a/chat", "context_length": 200_000, "supported_parameters": ["tools"],
         "architecture": {"input_modalities": ["text", "image"]}},
        {"id": "text-embedding-3-small"},
    ]});
    let stub = Stub::saying([("/api/v1/models", list)]).await;
    let url = format!("{}/api/v1/", stub.url);
    let provider = OpenAi::new("cloud", &url, None, Locality::Remote).unwrap();
    assert_eq!((provider.name(), provider.control()), ("cloud", Control::ListOnly));
    let listed = provider.list().await.unwrap();
    let chat = of(&listed, "a/chat");
    assert!(chat.vision && chat.tool_use && !chat.reasoning && !chat.local);
    assert_eq!((chat.kind, chat.max_context), (Kind::Language, Some(200_000)));
    assert_eq!(chat.instances[0].id.as_str(), "a/chat");
    assert_eq!(chat.instances[0].settings.context_length, Some(200_000));
    assert_eq!(of(&listed, "text-embedding-3-small").kind, Kind::Embedding);

    drop(stub);
    // Nobody needs to be asked.
    let loaded = provider.load(load_of("a/chat", Some(8192))).await.unwrap();
    assert_eq!((loaded.instance.as_str(), loaded.settings), ("a/chat", Settings::default()));
    provider.unload(loaded.instance).await.unwrap();
}

#[tokio::test]
async fn what_is_no_list_is_an_error() {
    let cases = [
        (json!({"object": "list"}), "something else"),
        (json!({"error": {"message": "no credit", "type": "billing"}}), "no credit"),
    ];
    for (answer, expected) in cases {
        let stub = Stub::saying([("/v1/models", answer)]).await;
        let error = OpenAi::new("p", &stub.url, None, Locality::Local).unwrap().list().await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let nothing = Stub::saying([]).await;
    let provider = OpenAi::new("p", &nothing.url, None, Locality::Local).unwrap();
    assert_eq!(provider.list().await, Err(Error::Unsupported("status 404".to_owned())));
}

#[tokio::test]
async fn a_list_has_a_limit() {
    let models: Vec<_> = (0..LISTED_MAX + 7).map(|number| json!({"id": number.to_string()})).collect();
    let stub = Stub::saying([("/v1/models", json!({"data": models}))]).await;
    let provider = OpenAi::new("p", &stub.url, None, Locality::Local).unwrap();
    assert_eq!(provider.list().await.unwrap().len(), LISTED_MAX);
}

//! What clients are told of models: the lists that the gateway serves, and their own configuration files, written by the
//! program itself as a shell starts it, against a running gateway.

#![cfg(test)]

use std::process::Stdio;

use lmstudio_emulator::Config as LmStudio;
use pointsman_tests::world::{Answer, GENERAL, GENERAL_ID, World, lmstudio};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::binary::program;

/// How a run of the program ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `pointsman models export` in the world's folder, with none of this machine's settings.
async fn export(world: &World, url: &str, arguments: &[&str]) -> Ended {
    let folder = world.folder();
    let mut command = Command::new(program("pointsman"));
    command.args(["models", "export"]).args(arguments);
    command.current_dir(folder).env_clear().env("HOME", folder).env("POINTSMAN_URL", url);
    command.env("POINTSMAN_DATA_DIR", folder.join("data")).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Reads a path of the gateway.
async fn get(world: &World, path: &str) -> Value {
    let url = format!("{}{path}", world.gateway.url());
    let answer = Answer::read(world.http.get(url).send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_says_what_clients_ask_of_models() {
    let world = World::start(lmstudio()).await;
    let list = get(&world, "/v1/models").await;
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    for model in models {
        let id = model["id"].as_str().unwrap();
        assert_eq!((&model["object"], &model["created"]), (&json!("model"), &json!(0)), "{id}");
        assert!(model["owned_by"].is_string() && model["name"].is_string(), "{model}");
        let context = model["context_length"].as_u64().unwrap();
        assert!(context > 0, "{model}");
        // OpenClaw's discovery reads the second where the first is missing, vLLM's clients the third.
        assert_eq!((&model["context_window"], &model["max_model_len"]), (&json!(context), &json!(context)));
        assert_eq!(model["input_modalities"][0], "text");
        // What is listed can be asked for, slashes in its name or not.
        assert_eq!(get(&world, &format!("/v1/models/{id}")).await, *model, "{id}");
    }
    let auto = &models[0];
    assert_eq!((&auto["id"], &auto["owned_by"]), (&json!("auto"), &json!("pointsman")));
    assert_eq!(auto["capabilities"], json!(["vision", "tool_use"]));
    let is_language = |model: &&Value| model["type"] == "language" && model["id"] != "auto";
    let contexts = models.iter().filter(is_language).map(|model| model["context_length"].as_u64());
    assert_eq!(auto["context_length"].as_u64(), contexts.max().unwrap());
    for name in [GENERAL_ID, "OpenAI/GPT-OSS-20B", "openai%2Fgpt-oss-20b"] {
        let one = get(&world, &format!("/v1/models/{name}")).await;
        assert_eq!((&one["id"], &one["loaded"]), (&json!(GENERAL), &json!(true)), "{name}");
        assert_eq!(one["fallback"], json!(["max_output_tokens", "cost"]), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_file_is_written_once_and_again_when_something_changed() {
    let world = World::start(lmstudio()).await;
    let url = world.gateway.url();
    let file = world.folder().join("openclaw.json");
    let mine =
        "// mine\n{\n    \"agents\": {\"defaults\": {\"model\": \"pointsman/auto\"}}, // one line\n}\n";
    std::fs::write(&file, mine).unwrap();
    let write = ["--format", "openclaw", "--write", "openclaw.json", "--json"];

    let ended = export(&world, &url, &write).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&said["changed"], &said["base_url"]), (&json!(true), &json!(format!("{url}/v1"))));
    let written = std::fs::read_to_string(&file).unwrap();
    for part in [
        "// mine\n",
        "    \"agents\": {\"defaults\": {\"model\": \"pointsman/auto\"}}, // one line\n",
        GENERAL,
    ] {
        assert!(written.contains(part), "{part}: {written}");
    }

    let ended = export(&world, &url, &write).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &said["changed"]), (Some(0), &json!(false)), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);

    // A key that the user sets stays; a model that the user spoils is put right.
    let spoilt = written.replace("\"local\"", "\"${MY_KEY}\"").replace(GENERAL, "nobody/nothing");
    std::fs::write(&file, &spoilt).unwrap();
    let ended = export(&world, &url, &write[..4]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written.replace("\"local\"", "\"${MY_KEY}\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_what_the_gateway_lists() {
    let world = World::start(lmstudio()).await;
    let url = world.gateway.url();
    let list = get(&world, "/v1/models").await;
    let listed = |id: &Value| list["data"].as_array().unwrap().iter().find(|it| it["id"] == *id).unwrap();
    let print = async |format: &str| {
        let ended = export(&world, &url, &["--format", format]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str::<Value>(&ended.out).unwrap()
    };
    let json = print("json").await;
    let models = json["models"].as_array().unwrap();
    assert_eq!(models.len(), list["data"].as_array().unwrap().len());
    for model in models {
        assert_eq!(model["context_length"], listed(&model["id"])["context_length"], "{model}");
    }
    let openclaw = &print("openclaw").await["models"]["providers"]["pointsman"];
    assert_eq!(openclaw["models"][0]["id"], "auto");
    for row in openclaw["models"].as_array().unwrap() {
        let listed = listed(&row["id"]);
        assert_eq!(
            (&row["contextWindow"], &row["input"]),
            (&listed["context_length"], &listed["input_modalities"])
        );
        assert_eq!(listed["type"], "language");
    }
    let opencode = &print("opencode").await["provider"]["pointsman"];
    assert_eq!(opencode["options"]["baseURL"], format!("{url}/v1"));
    assert_eq!(opencode["models"].as_object().unwrap().len(), openclaw["models"].as_array().unwrap().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_changes_nothing_and_says_so_in_one_line() {
    let world = World::start(lmstudio()).await;
    let empty = World::before_lmstudio(LmStudio::default()).await;
    let nobody = "http://127.0.0.1:1".to_owned();
    let write = ["--format", "opencode", "--write", "x.json"];
    for (world, url, text, part) in [
        (&world, world.gateway.url(), "{ not json", "cannot be read as JSON"),
        (&world, world.gateway.url(), "{\"provider\": []}", "`provider` is no object"),
        (&world, world.gateway.url(), "{\"provider\": {\"pointsman\": {/* x */}}}", "comments within"),
        (&world, nobody, "{}", "pointsman serve"),
        // Its models are not gone, they are not known.
        (&empty, empty.gateway.url(), "{}", "knows no model"),
    ] {
        let file = world.folder().join("x.json");
        std::fs::write(&file, text).unwrap();
        let ended = export(world, &url, &write).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains(part) && ended.err.trim().lines().count() == 1, "{ended:?}");
        assert!(ended.out.is_empty(), "{ended:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    for arguments in [&[][..], &["--format", "yaml"]] {
        let ended = export(&world, &world.gateway.url(), arguments).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
}

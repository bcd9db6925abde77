//! The command against a real gateway, and files as they lie around: links, permissions, folders, garbage.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::cli::args::Models;
use crate::cli::demo::stage::{Pace, Stage};
use crate::cli::models;
use crate::cli::output::Format as Form;

async fn command(
    stage: &Stage,
    form: Form,
    format: ExportFormat,
    write: Option<&Path>,
) -> anyhow::Result<String> {
    let data_dir = Some(stage.data_dir().to_path_buf());
    let global = Global { url: Some(stage.gateway.url()), data_dir, json: form == Form::Json };
    let order = Models::Export(Order { format, write: write.map(Path::to_path_buf) });
    let paper = NamedTempFile::new().unwrap();
    models::run(&global, order, &mut Output::to(form, paper.reopen().unwrap())).await?;
    Ok(fs::read_to_string(paper.path()).unwrap())
}

#[tokio::test]
async fn the_gateways_models_are_printed_and_written() {
    let stage = Stage::open(Pace::AtOnce).await.unwrap();
    let folder = TempDir::new().unwrap();
    for (format, form) in [
        (ExportFormat::Openclaw, Form::Text),
        (ExportFormat::Opencode, Form::Json),
        (ExportFormat::Json, Form::Text),
    ] {
        let printed = command(&stage, form, format, None).await.unwrap();
        let document: Value = serde_json::from_str(&printed).unwrap();
        assert!(document.is_object() && printed.contains(&format!("\"{}/v1\"", stage.gateway.url())));
        for id in ["\"auto\"", "\"openai/gpt-oss-20b\""] {
            assert!(printed.contains(id), "{printed}");
        }
        let file = folder.path().join(format!("{format:?}.json"));
        let said = command(&stage, Form::Json, format, Some(&file)).await.unwrap();
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&said["changed"], &said["path"]), (&json!(true), &json!(file)));
        assert_eq!(fs::read_to_string(&file).unwrap(), printed);
        let said = command(&stage, Form::Text, format, Some(&file)).await.unwrap();
        assert!(said.contains("already"), "{said}");
    }
    stage.close().await;
}

fn export() -> Export {
    Export::new(Format::Opencode, cards(&[]), "http://x/v1")
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_permissions_and_a_link_stays_one() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    let folder = TempDir::new().unwrap();
    let (real, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
    fs::write(&real, "{\"model\": \"x\"}").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.json", &link).unwrap();
    assert!(update(&link, &export()).unwrap());
    assert!(link.symlink_metadata().unwrap().is_symlink());
    let written = fs::metadata(&real).unwrap();
    assert_eq!(written.permissions().mode() & 0o777, 0o640);
    assert!(fs::read_to_string(&real).unwrap().contains("\"pointsman\""));
    // A second time there is nothing to do, and the file is not even touched.
    assert!(!update(&link, &export()).unwrap());
    assert_eq!(fs::metadata(&real).unwrap().ino(), written.ino());
    let new = folder.path().join("new.json");
    assert!(update(&new, &export()).unwrap());
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path()), ["link.json", "new.json", "real.json"]);
}

#[test]
fn what_is_no_configuration_is_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::write(place("garbage"), "garbage").unwrap();
    fs::write(place("binary"), [0xff, 0xfe, 0]).unwrap();
    fs::create_dir(place("folder")).unwrap();
    let large = File::create(place("large")).unwrap();
    large.set_len(FILE_BYTES_MAX + 1).unwrap();
    for (name, part) in [
        ("garbage", "cannot be read as JSON"),
        ("binary", "UTF-8"),
        ("folder", "no file"),
        ("large", "bytes"),
        ("nowhere/x.json", "no folder"),
    ] {
        let error = update(&place(name), &export()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("is left as it is"), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert_eq!(fs::read(place("garbage")).unwrap(), b"garbage");
    assert_eq!(names(folder.path()), ["binary", "folder", "garbage", "large"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_not_written_over() {
    let folder = TempDir::new().unwrap();
    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink("gone.json", &link).unwrap();
    let error = update(&link, &export()).unwrap_err().to_string();
    assert!(error.contains("link to nothing"), "{error}");
    assert_eq!(names(folder.path()), ["link.json"]);
}

#[test]
fn somebody_elses_change_is_not_written_over() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.json");
    fs::write(&path, "{\"model\": \"mine\"}").unwrap();
    let found = Found { path: path.clone(), text: Some("{}".to_owned()) };
    let error = replace(&found, "{\"new\": 1}").unwrap_err().to_string();
    assert!(error.contains("somebody else"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"model\": \"mine\"}");
    assert_eq!(names(folder.path()), ["x.json"]);
}

#[test]
fn what_the_gateway_says_of_a_model_is_what_is_known_of_it() {
    let instance = |state: &str| view::Instance {
        id: "x".to_owned(),
        state: state.to_owned(),
        context_length: Some(4_096),
        in_flight: 0,
        queued: 0,
    };
    let said = view::Model {
        id: "lmstudio/acme/otter".to_owned(),
        display_name: "Otter".to_owned(),
        kind: "embedding".to_owned(),
        vision: true,
        tool_use: true,
        reasoning: true,
        local: true,
        max_context: Some(1),
        size_bytes: Some(2),
        load_seconds: Some(3.0),
        input_cost: Some(0.5),
        output_cost: None,
        instances: vec![instance("ready"), instance("of a later version")],
    };
    let known = model(&said).unwrap();
    assert_eq!((known.id.key(), known.kind), ("acme/otter", Kind::Embedding));
    assert!(known.vision && known.tool_use && known.reasoning && known.local && known.is_resident());
    assert_eq!((known.max_context, known.size_bytes, known.load_seconds), (Some(1), Some(2), Some(3.0)));
    assert_eq!(known.instances.len(), 1);
    assert!(model(&view::Model { kind: "of a later version".to_owned(), ..said }).is_none());
}

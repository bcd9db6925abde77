//! `pointsman config get|set|reload|schema`: single keys of the configuration's file, what may be written in it, and having the
//! gateway that runs take it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::{ConfigKey, ConfigSet, Global};
use super::client::{Client, Patience, Place, Presence, presence};
use super::output::{BAD, FAINT, GOOD, Output, paint};
use super::{Success, client, configuration, place};
use crate::admin::view::{Configuration, Reloaded};
use crate::config::{Overrides, edit};

/// What `--json` prints of a key.
#[derive(Debug, Serialize)]
struct Written<'a> {
    key: &'a str,
    /// As TOML.
    value: &'a str,
}

/// What `--json` prints of a change.
#[derive(Debug, Serialize)]
struct Changed<'a> {
    key: &'a str,
    file: String,
    /// What the gateway that runs made of it; none where none runs, or one that reads another file.
    gateway: Option<Reloaded>,
}

/// Prints what is written of a key.
pub(super) fn get(args: &ConfigKey, output: &mut Output) -> anyhow::Result<Success> {
    let value = edit::get(args.config.as_deref(), &args.key)?;
    output.value(&Written { key: &args.key, value: &value }, || vec![value.clone()]);
    Ok(Success::Yes)
}

/// Writes a key, or takes it out, and has the gateway that runs take the change.
pub(super) async fn set(global: &Global, args: &ConfigSet, output: &mut Output) -> anyhow::Result<Success> {
    let overrides = Overrides { data_dir: global.data_dir.clone(), ..Overrides::default() };
    let value = args.value.as_deref().filter(|_| !args.unset);
    // Looked for as the file was: the change may be of where it listens.
    let place = configuration(global, args.config.as_deref(), None).map(|config| place(global, &config));
    let file = edit::set(args.config.as_deref(), &args.key, value, &overrides)?;
    let (gateway, says) = match place {
        Ok(place) => told(place, &file).await,
        Err(_) => (None, "a gateway that runs looks at its file every second".to_owned()),
    };
    let is_in_force = gateway.as_ref().is_none_or(|it| it.ok && it.configuration.problems.is_empty());
    let changed = Changed { key: &args.key, file: file.display().to_string(), gateway };
    output.value(&changed, || {
        let what = if value.is_some() { "is written in" } else { "is taken out of" };
        let written = format!("{} `{}` {what} {}", paint(GOOD, "ok"), args.key, changed.file);
        let problems = changed.gateway.iter().flat_map(|it| problems(&it.configuration));
        [written, says].into_iter().chain(problems).collect()
    });
    Ok(if is_in_force { Success::Yes } else { Success::No })
}

/// Has the gateway that runs read its configuration again.
pub(super) async fn reload(global: &Global, output: &mut Output) -> anyhow::Result<Success> {
    let reloaded = ask(&client(global).await?).await?;
    output.value(&reloaded, || lines(&reloaded));
    Ok(if reloaded.ok && reloaded.configuration.problems.is_empty() { Success::Yes } else { Success::No })
}

/// Prints what may be written.
pub(super) fn schema(output: &mut Output) -> Success {
    // The same for people and for programs: editors read it.
    output.json(&edit::schema());
    Success::Yes
}

/// Tells the gateway that runs here, if one does, and if the file is its own; and how to say what came of it.
async fn told(place: Place, file: &Path) -> (Option<Reloaded>, String) {
    let url = place.url.clone();
    if !matches!(presence(&url).await, Ok(Presence::Gateway)) {
        return (None, "no gateway runs; the next one starts with it".to_owned());
    }
    let asked = async { ask(&Client::new(place).await?).await };
    let reloaded: Reloaded = match asked.await {
        Ok(reloaded) => reloaded,
        Err(error) => return (None, format!("the gateway at {url} was not told: {error:#}")),
    };
    let its = reloaded.configuration.file.as_deref().map(Path::new);
    if its.map(same) != Some(same(file)) {
        let its = its.map_or_else(|| "no file".to_owned(), |its| its.display().to_string());
        return (None, format!("the gateway at {url} does not read this file but {its}"));
    }
    let says = match (reloaded.ok, reloaded.configuration.at_next_start.is_empty()) {
        (false, _) => format!("the gateway at {url} goes on with what it had before:"),
        (true, true) => format!("in force at {url}"),
        (true, false) => at_next_start(&reloaded.configuration),
    };
    (Some(reloaded), says)
}

async fn ask(client: &Client) -> anyhow::Result<Reloaded> {
    client.post("config/reload", Vec::new(), Patience::Long).await
}

/// The file itself, by whatever name.
fn same(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn lines(reloaded: &Reloaded) -> Vec<String> {
    let configuration = &reloaded.configuration;
    let file = configuration.file.as_deref().unwrap_or("no file; every value is the default");
    let head = match reloaded.ok {
        true => format!("{} {file} is in force", paint(GOOD, "ok")),
        false => format!("{} nothing has changed: {file}", paint(BAD, "wrong")),
    };
    let changed = reloaded.changed.iter().map(|key| format!("  {} {key}", paint(FAINT, "changed")));
    let late = (!configuration.at_next_start.is_empty()).then(|| at_next_start(configuration));
    [head].into_iter().chain(changed).chain(late).chain(problems(configuration)).collect()
}

fn at_next_start(configuration: &Configuration) -> String {
    let keys: Vec<String> = configuration.at_next_start.iter().map(|key| format!("`{key}`")).collect();
    let takes = if keys.len() == 1 { "takes" } else { "take" };
    format!("{} {takes} effect at the next start; the rest is in force", keys.join(", "))
}

fn problems(configuration: &Configuration) -> Vec<String> {
    configuration.problems.iter().map(|problem| format!("{} {problem}", paint(BAD, "wrong"))).collect()
}

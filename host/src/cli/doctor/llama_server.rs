//! llama-server: a router whose own limits agree with what is configured, or a server of one model. Pure: what it was
//! started with is read here from answers that were asked for elsewhere.
//!
//! Figures are from its documentation and runs of builds b11549 and 0.7.0: a router keeps 4 models unless told otherwise,
//! 0 is no limit; it pushes out the one unused longest by itself, and gives a process that is to end 10 s.

use std::time::Duration;

use serde::Deserialize;

use super::configured::{Configured, has_embedders, in_words};
use super::finding::Finding;
use super::probe::Facts;
use super::provider::{ABOUT, left_to_itself, models};
use crate::provider::Control;

/// How long a process that is to end may go on where no preset says otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The key of a preset for it.
const STOP_TIMEOUT_KEY: &str = "stop-timeout";

/// What a router was started with, as far as it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Models it keeps at most; 0 is no limit.
    pub(super) models_max: Option<u32>,
    /// Requests load what they name.
    pub(super) loads_for_requests: Option<bool>,
    /// The longest time that any model's process is given to end.
    pub(super) stop_timeout: Option<Duration>,
}

/// `GET /props`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Props {
    max_instances: Option<u32>,
    models_autoload: Option<bool>,
}

/// `GET /v1/models`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    data: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
struct Status {
    /// The model's section of the preset, as text.
    #[serde(default)]
    preset: Option<String>,
}

// === impl Settings ===

impl Settings {
    /// Reads them.
    pub(super) fn of(props: &Props, list: &List) -> Self {
        let presets = list.data.iter().filter_map(|entry| entry.status.as_ref()?.preset.as_deref());
        Self {
            models_max: props.max_instances,
            loads_for_requests: props.models_autoload,
            stop_timeout: presets.filter_map(stop_timeout).max(),
        }
    }
}

/// What a preset says of it.
fn stop_timeout(preset: &str) -> Option<Duration> {
    let value = preset.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == STOP_TIMEOUT_KEY).then(|| value.trim())
    });
    value?.parse().ok().map(Duration::from_secs)
}

/// What it means.
pub(super) fn judge(configured: &Configured<'_>, facts: &Facts, settings: &Settings) -> Vec<Finding> {
    let Configured { name, provider, .. } = configured;
    let url = &provider.url;
    if facts.control == Control::ListOnly {
        let message = format!("{name}: a llama-server of one model answers at {url}; it is always in memory");
        let mend = "to have Pointsman swap models, start it as a router: without `-m`, with `--models-dir DIR` or `--models-preset FILE`";
        return vec![Finding::note(ABOUT, message, mend)];
    }
    let answers = format!("{name}: a llama-server router answers at {url} with {}", models(facts));
    let mut findings = vec![Finding::ok(ABOUT, answers)];
    if configured.is_gateways() {
        findings.extend(limit(configured, facts, settings));
        findings.extend(direct(name, settings));
        findings.push(stopping(name, settings));
    } else {
        findings.extend(left_to_itself(configured, facts));
        findings.extend(nobody_loads(name, settings));
    }
    findings
}

/// The router would push out what the gateway means to keep.
fn limit(configured: &Configured<'_>, facts: &Facts, settings: &Settings) -> Option<Finding> {
    let most = settings.models_max.filter(|most| *most > 0)?;
    let name = configured.name;
    let Some(needed) = configured.most_loaded(has_embedders(&facts.models)) else {
        let message = format!(
            "{name}: the router keeps {most} models at most (`--models-max`), whatever `memory` has room for; beyond that it pushes \
             out the one unused longest, without waiting for Pointsman"
        );
        let mend = "start it with `--models-max 0`, so that size alone decides";
        return Some(Finding::warn(ABOUT, message, mend));
    };
    let message = format!(
        "{name}: the router keeps {most} models at most (`--models-max`), and Pointsman up to {needed}: the router would push out \
         models that Pointsman means to keep"
    );
    let mend = format!(
        "start it with `--models-max {needed}` or more (0 is no limit), or lower `max_loaded` or `max_loaded_embeddings` under {}",
        configured.device_table()
    );
    (most < needed).then(|| Finding::warn(ABOUT, message, mend))
}

/// Requests that do not come through the gateway load as well.
fn direct(name: &str, settings: &Settings) -> Option<Finding> {
    let message = format!(
        "{name}: the router loads models for any request: clients that talk to it directly are not protected, and their loads can push \
         out models that are in use"
    );
    let mend = "let every client talk to Pointsman; then start the router with `--no-models-autoload`";
    settings.loads_for_requests.filter(|it| *it).map(|_| Finding::warn(ABOUT, message, mend))
}

/// The gateway does not load, and neither do requests.
fn nobody_loads(name: &str, settings: &Settings) -> Option<Finding> {
    let message =
        format!("{name}: requests load nothing either: only models that are in memory already can answer");
    let mend = "start the router without `--no-models-autoload`, or take out `residency = \"provider\"`";
    settings.loads_for_requests.filter(|it| !*it).map(|_| Finding::warn(ABOUT, message, mend))
}

/// A process that does not end keeps its memory, and is listed as loaded until then.
fn stopping(name: &str, settings: &Settings) -> Finding {
    let time = settings.stop_timeout.unwrap_or(STOP_TIMEOUT);
    let message = format!(
        "{name}: a model that is unloaded while a request that did not come through Pointsman runs on it keeps its memory for up to \
         {} (`{STOP_TIMEOUT_KEY}`)",
        in_words(time)
    );
    let mend = format!("write `{STOP_TIMEOUT_KEY} = 1` into the router's preset to have swaps go on at once");
    if time > STOP_TIMEOUT {
        Finding::warn(ABOUT, message, mend)
    } else {
        Finding::note(ABOUT, message, mend)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::probe::Own;
    use super::super::tests::{at, at_device, embedder, facts, model};
    use super::*;
    use crate::provider::{Listed, ServerKind};

    const LEFT: &str = "residency = \"provider\"";

    fn router(models: Vec<Listed>, settings: Settings) -> Facts {
        facts(ServerKind::LlamaServer, Control::Full, models, Own::LlamaServer(settings))
    }

    fn keeping(models_max: u32) -> Settings {
        Settings { models_max: Some(models_max), ..Settings::default() }
    }

    #[test]
    fn what_it_was_started_with_is_read() {
        let props = r#"{"role":"router","max_instances":2,"models_autoload":true,"more":[1]}"#;
        let list = r#"{"object":"list","data":[{"id":"a","status":{"value":"loaded","preset":"[a]\nc = 4096\nstop-timeout = 3\n"}},
            {"id":"b","status":{"value":"unloaded","preset":"[b]\nstop-timeout=30"}},{"id":"c"}]}"#;
        let settings =
            Settings::of(&serde_json::from_str(props).unwrap(), &serde_json::from_str(list).unwrap());
        let expected = Settings {
            models_max: Some(2),
            loads_for_requests: Some(true),
            stop_timeout: Some(Duration::from_secs(30)),
        };
        assert_eq!(settings, expected);
        assert_eq!(Settings::of(&Props::default(), &List::default()), Settings::default());
    }

    #[test]
    fn its_limit_is_held_against_what_is_configured() {
        let cases = [
            ("", 4, false, None),
            ("", 0, true, None),
            ("", 1, false, None),
            ("", 1, true, Some("--models-max 3")),
            ("max_loaded = 3", 2, false, Some("--models-max 3")),
            ("max_loaded = 2", 4, true, None),
            ("memory = \"24GiB\"", 4, false, Some("--models-max 0")),
            ("memory = \"24GiB\"", 0, false, None),
        ];
        for (device, most, with_embedder, mend) in cases {
            let mut models = vec![model("a"), model("b")];
            models.extend(with_embedder.then(|| embedder("e")));
            let settings = keeping(most);
            let finding = at_device("", device, |it| limit(it, &router(models.clone(), settings), &settings));
            let found = finding.and_then(|it| it.mend);
            match mend {
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|it| it.contains(part)), "{device} {found:?}")
                }
                None => assert_eq!(found, None, "{device} {most}"),
            }
        }
    }

    #[test]
    fn who_loads_is_said_in_both_modes() {
        for (toml, loads, part) in [
            ("", Some(true), Some("not protected")),
            ("", Some(false), None),
            ("", None, None),
            (LEFT, Some(true), None),
            (LEFT, Some(false), Some("load nothing either")),
        ] {
            let settings = Settings { loads_for_requests: loads, ..Settings::default() };
            let findings = at(toml, |it| judge(it, &router(vec![model("a")], settings), &settings));
            let warned: Vec<_> = findings.iter().filter(|it| it.level == Level::Warn).collect();
            assert_eq!(warned.len(), usize::from(part.is_some()), "{findings:?}");
            assert!(part.is_none_or(|part| warned[0].message.contains(part)), "{warned:?}");
        }
    }

    #[test]
    fn a_process_that_may_take_long_to_end_is_worth_a_word() {
        for (seconds, level, part) in
            [(None, Level::Ok, "10s"), (Some(1), Level::Ok, "1s"), (Some(60), Level::Warn, "1m")]
        {
            let settings = Settings { stop_timeout: seconds.map(Duration::from_secs), ..Settings::default() };
            let finding = stopping("llama", &settings);
            assert_eq!(finding.level, level, "{seconds:?}");
            assert!(finding.message.contains(part) && finding.mend.is_some(), "{finding:?}");
        }
    }

    #[test]
    fn a_server_of_one_model_is_in_order_and_could_be_more() {
        let settings = Settings::default();
        let own = Own::LlamaServer(settings);
        let facts = facts(ServerKind::LlamaServer, Control::ListOnly, vec![model("a")], own);
        let findings = at("", |it| judge(it, &facts, &settings));
        assert_eq!((findings.len(), findings[0].level), (1, Level::Ok));
        assert!(findings[0].mend.as_ref().unwrap().contains("router"));
    }
}

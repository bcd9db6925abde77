//! `pointsman config check`: all that is wrong with the configuration at once, each with its key; else what it comes to.

use std::path::Path;

use serde::Serialize;

use super::args::Global;
use super::output::{BAD, FAINT, GOOD, Output, paint};
use super::{Success, configuration};
use crate::config::{Config, Errors};

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Checked {
    ok: bool,
    file: Option<String>,
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    key: Option<String>,
    message: String,
}

/// Reads the configuration as `serve` would.
pub(super) fn run(global: &Global, file: Option<&Path>, output: &mut Output) -> anyhow::Result<Success> {
    match configuration(global, file, None) {
        Ok(config) => {
            let checked = Checked { ok: true, file: shown(config.file.as_deref()), problems: Vec::new() };
            output.value(&checked, || good(&config));
            Ok(Success::Yes)
        }
        Err(errors) => {
            let problems = errors.problems.iter();
            let problems =
                problems.map(|it| Problem { key: it.key.clone(), message: it.message.clone() }).collect();
            let checked = Checked { ok: false, file: shown(errors.file.as_deref()), problems };
            output.value(&checked, || bad(&errors));
            Ok(Success::No)
        }
    }
}

fn good(config: &Config) -> Vec<String> {
    let place =
        shown(config.file.as_deref()).unwrap_or_else(|| "no file; every value is the default".to_owned());
    let mut lines = vec![format!("{} {place}", paint(GOOD, "ok"))];
    lines.push(format!("  {} http://{}", paint(FAINT, "listen   "), config.listen));
    lines.push(format!("  {} {}", paint(FAINT, "data     "), config.data_dir.display()));
    for (name, provider) in &config.providers {
        lines.push(format!("  {} {name} at {}", paint(FAINT, "provider "), provider.url));
    }
    lines
}

fn bad(errors: &Errors) -> Vec<String> {
    let place = shown(errors.file.as_deref()).unwrap_or_else(|| "configuration".to_owned());
    let line = |problem: &crate::config::Problem| {
        let key = problem.key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default();
        format!("{} {place}: {key}{}", paint(BAD, "wrong"), problem.message.replace('\n', "\n      "))
    };
    errors.problems.iter().map(line).collect()
}

fn shown(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

//! `pointsman doctor`: everything between a client and a model looked at once, with what is wrong and how to mend it.
//!
//! Reads and asks; changes nothing, loads nothing into a model server. Works with a running gateway, which it asks, and
//! without one, where it looks for itself. Each part gathers facts (shell) and judges them (pure).

mod configured;
mod finding;
mod gateway;
mod llama_server;
mod lmstudio;
mod models;
mod ollama;
mod place;
mod probe;
mod provider;
mod skills;

use std::path::Path;

use super::args::Global;
use super::output::Output;
use super::{Success, configuration, place as place_of};
use crate::config::{Config, Errors};
use configured::Configured;
use finding::{Examination, Finding};
use probe::Probed;

/// Looks at everything.
pub(super) async fn run(
    global: &Global,
    file: Option<&Path>,
    output: &mut Output,
) -> anyhow::Result<Success> {
    let findings = match configuration(global, file, None) {
        Ok(config) => examine(global, &config).await?,
        Err(errors) => unreadable(&errors),
    };
    let examination = Examination::new(findings);
    output.value(&examination, || examination.lines());
    Ok(if examination.ok { Success::Yes } else { Success::No })
}

async fn examine(global: &Global, config: &Config) -> anyhow::Result<Vec<Finding>> {
    let mut findings = vec![readable(config)];
    findings.extend(place::data_dir(&config.data_dir));
    let place = place_of(global, config);
    let (found, status) = gateway::look(global, config, place).await?;
    findings.extend(found);
    let mut answered = Vec::new();
    for configured in Configured::all(config) {
        let probed = probe::probe(&configured).await?;
        findings.extend(provider::judge(&configured, &probed));
        if let Probed::Server(facts) = probed {
            answered.push((configured, facts));
        }
    }
    findings.extend(provider::bypassing(&answered));
    findings.extend(models::judge(&answered));
    findings.extend(match status {
        Some(status) => skills::judge(&status.skills),
        None => skills_here(config).await,
    });
    Ok(findings)
}

/// Where no gateway runs.
async fn skills_here(config: &Config) -> Vec<Finding> {
    match skills::load(config).await {
        Ok(loaded) => loaded.unreadable.into_iter().chain(skills::judge(&loaded.skills)).collect(),
        Err(error) => {
            vec![Finding::fail("skills", format!("{error:#}"), "correct `[limits.skills]`, or report it")]
        }
    }
}

fn readable(config: &Config) -> Finding {
    let from = config.file.as_ref().map(|file| format!("{} is in order", file.display()));
    Finding::ok("config", from.unwrap_or_else(|| "no file; every value is the default".to_owned()))
}

/// Without a configuration nothing else can be looked at.
fn unreadable(errors: &Errors) -> Vec<Finding> {
    let file = errors.file.as_ref().map(|file| file.display().to_string());
    let place = file.unwrap_or_else(|| "the environment or the command line".to_owned());
    let finding = |problem: &crate::config::Problem| {
        let message = match &problem.key {
            Some(key) => format!("`{key}`: {}", problem.message),
            None => problem.message.clone(),
        };
        Finding::fail("config", message, format!("correct it in {place}, then run `pointsman doctor` again"))
    };
    errors.problems.iter().map(finding).collect()
}

#[cfg(test)]
mod tests;

//! The command line: arguments → library → exit code. Thin on purpose: what a command does is the rooms' business, what is
//! here is finding the gateway, printing, and saying in one line what went wrong and how to mend it.
//!
//! Every command prints lines for people or, with `--json`, one value for programs. Exit codes: 0 ok, 1 failed, 2 usage.

pub mod args;
pub mod client;
pub mod output;

mod activity;
mod check;
mod demo;
mod doctor;
mod edit;
mod export;
mod logging;
mod models;
mod serve;
mod sessions;
pub mod skill;
mod why;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser as _;
use clap::error::ErrorKind;

use crate::config::{self, Config, Overrides};
use crate::skill::compiler;
use args::{Args, Command, Global};
use client::{Client, Place};
use output::{Format, Output, complain};

/// Whether a command found what it hoped to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Success {
    /// All is well.
    Yes,
    /// It did its work, and the news is bad; it has said so itself.
    No,
}

/// Runs what the process's arguments say.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("the runtime does not start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(command(args));
    // A read of standard input or a name look-up that still runs would hold up the end.
    runtime.shutdown_background();
    match done {
        Ok(Success::Yes) => ExitCode::SUCCESS,
        Ok(Success::No) => ExitCode::FAILURE,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Help and version are answers; anything else is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    // Where the stream is closed, the exit code says it.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

async fn command(args: Args) -> anyhow::Result<Success> {
    let Args { global, command } = args;
    let format = if global.json { Format::Json } else { Format::Text };
    let mut output = Output::stdout(format);
    match command {
        Command::Serve(serve) => serve::run(&global, serve).await,
        Command::Demo(demo) => demo::play_on(&demo, &mut output).await,
        Command::Doctor(file) => doctor::run(&global, file.config.as_deref(), &mut output).await,
        Command::Models(models) => models::run(&global, models, &mut output).await,
        Command::CompileComponent(engine) => {
            compiler::run(engine.target()).map_err(|error| anyhow!("{error:#}"))?;
            Ok(Success::Yes)
        }
        Command::Skill(skill) => skill::run(&global, skill, &mut output).await,
        Command::Sessions(sessions) => sessions::run(&global, sessions, &mut output).await,
        Command::Use(order) => sessions::pick(&global, order, &mut output).await,
        Command::Why { request } => why::run(&global, request.as_deref(), &mut output).await,
        Command::Activity(args) => activity::run(&global, &args, &mut output).await,
        Command::Config(args::Config::Check(file)) => {
            check::run(&global, file.config.as_deref(), &mut output)
        }
        Command::Config(args::Config::Get(key)) => edit::get(&key, &mut output),
        Command::Config(args::Config::Set(set)) => edit::set(&global, &set, &mut output).await,
        Command::Config(args::Config::Reload) => edit::reload(&global, &mut output).await,
        Command::Config(args::Config::Schema) => Ok(edit::schema(&mut output)),
    }
}

/// The configuration that a gateway started with the same options would have.
fn configuration(
    global: &Global,
    file: Option<&Path>,
    listen: Option<std::net::SocketAddr>,
) -> Result<Config, config::Errors> {
    let program = std::env::current_exe().ok();
    Config::load(file, &Overrides { listen, data_dir: global.data_dir.clone(), program })
}

/// The running gateway that is meant: the one named, else the one that the configuration describes.
async fn client(global: &Global) -> anyhow::Result<Client> {
    Client::new(located(global)?).await
}

/// Where that gateway is.
fn located(global: &Global) -> anyhow::Result<Place> {
    Ok(match (&global.url, &global.data_dir) {
        // Nothing is left for the configuration to say, so that one with errors is in nobody's way.
        (Some(url), Some(data_dir)) => Place::named(url, data_dir.clone()),
        _ => place(global, &configuration(global, None, None)?),
    })
}

fn place(global: &Global, config: &Config) -> Place {
    match &global.url {
        Some(url) => Place::named(url, config.data_dir.clone()),
        None => Place::listening(config.listen, config.data_dir.clone()),
    }
}

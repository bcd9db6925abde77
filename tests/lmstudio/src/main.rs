//! The emulator as a program: arguments, then the library, then a line that says where it listens.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use lmstudio_emulator::config::Loaded;
use lmstudio_emulator::{Config, Emulator};

/// An LM Studio that runs anywhere: its REST API, its quirks and its faults, without a model.
///
/// Point any client of LM Studio at it. What it did and what it was sent is at GET /emulator/log; what is in its memory
/// at GET /emulator/state; faults are armed with POST /emulator/faults.
#[derive(Debug, Parser)]
#[command(name = "lmstudio-emulator", version)]
struct Arguments {
    /// Where to listen; port 0 takes a free one. By default where the file says, else 127.0.0.1:1234.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// A TOML file with settings, models and faults. See --print-config for every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Has this model in memory at the start. May be given several times.
    #[arg(long, value_name = "MODEL[:CONTEXT]", value_parser = loaded)]
    loaded: Vec<Loaded>,

    /// Every model takes so long to load.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    load_time: Option<Duration>,

    /// Every model writes so many tokens a second; 0 writes all at once.
    #[arg(long, value_name = "SPEED")]
    tokens_per_second: Option<f64>,

    /// Memory for models, in GiB; loads beyond it are refused.
    #[arg(long, value_name = "N")]
    memory_gb: Option<f64>,

    /// Prints the configuration that the other arguments amount to, as TOML, and exits.
    #[arg(long)]
    print_config: bool,
}

/// The port of the real program.
const PORT: u16 = 1234;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even that cannot be written, the exit code has to do.
            let _ = writeln!(io::stderr(), "lmstudio-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let print = arguments.print_config;
    let config = configuration(arguments)?;
    if print {
        io::stdout().write_all(config.to_toml().as_bytes())?;
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

fn configuration(arguments: Arguments) -> Result<Config, Box<dyn std::error::Error>> {
    let mut config = match &arguments.config {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Config::from_toml(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Config::default(),
    };
    if config.listen == Config::default().listen {
        config.listen.set_port(PORT);
    }
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.loaded.extend(arguments.loaded);
    config.server.memory_total_gb = arguments.memory_gb.or(config.server.memory_total_gb);
    if let Some(time) = arguments.load_time {
        config = config.load_time(time);
    }
    if let Some(speed) = arguments.tokens_per_second {
        config = config.tokens_per_second(speed);
    }
    config.check()?;
    Ok(config)
}

async fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let emulator = Emulator::start(config).await?;
    writeln!(io::stdout(), "lmstudio-emulator listens on {}", emulator.url())?;
    io::stdout().flush()?;
    told_to_stop().await?;
    emulator.stop().await;
    Ok(())
}

/// Until somebody interrupts or ends it. Both are waited for, so that no process behind an instance is left alone.
#[cfg(unix)]
async fn told_to_stop() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut ended = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = ended.recv() => Ok(()),
    }
}

/// Until somebody interrupts it.
#[cfg(not(unix))]
async fn told_to_stop() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// `MODEL` or `MODEL:CONTEXT`.
fn loaded(text: &str) -> Result<Loaded, String> {
    let (model, context) = match text.rsplit_once(':') {
        None => (text, None),
        Some((model, context)) => {
            let tokens =
                context.parse::<NonZeroU32>().map_err(|_| format!("{context} is no number of tokens"))?;
            (model, Some(tokens))
        }
    };
    Ok(Loaded { context_length: context, ..Loaded::new(model) })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

//! The log of a running gateway: lines on standard error, for people or for programs.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::args::LogFormat;

/// Starts logging. May be called once in a process.
///
/// # Errors
///
/// The level cannot be meant, or logging has begun already.
pub(super) fn start(format: Option<LogFormat>, level: &str) -> anyhow::Result<()> {
    let wrong = "--log takes a level (error, warn, info, debug, trace) or levels per room, as in \
                 `info,pointsman::residency=debug`";
    anyhow::ensure!(is_meant(level), "{level:?} is no level: {wrong}");
    let filter = EnvFilter::builder().parse(level).context(wrong)?;
    let is_terminal = std::io::stderr().is_terminal();
    let usual = if is_terminal { LogFormat::Pretty } else { LogFormat::Json };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format.unwrap_or(usual) {
        LogFormat::Pretty => builder.with_ansi(is_terminal).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging does not start: {error}"))
}

/// A word that is no level would be taken for the name of a room, and silence everything else.
fn is_meant(level: &str) -> bool {
    level
        .split(',')
        .map(str::trim)
        .all(|it| !it.is_empty() && (it.contains('=') || it.parse::<LevelFilter>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_levels() {
        for good in ["info", "DEBUG", "off", "info,pointsman::residency=debug", "warn, pointsman=trace"] {
            assert!(is_meant(good), "{good}");
        }
        for bad in ["", "loud", "info,pointsman", "info;debug"] {
            assert!(!is_meant(bad), "{bad}");
        }
    }
}

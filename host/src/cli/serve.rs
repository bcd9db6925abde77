//! `pointsman serve`: a gateway until a signal says otherwise. The first one ends it gently, a second one at once; the
//! process's end is then the ordinary failure, because answers may have been cut.

use anyhow::Context as _;

use super::args::{Global, Serve};
use super::output::complain;
use super::{Success, configuration, logging};
use crate::app;

/// What a stop at once leaves behind: nothing durable says what was in memory before.
const CUT_SHORT: &str =
    "stopped at once; what is in memory stays as it is; `pointsman models load …` puts it right";

/// Serves until told to stop.
pub(super) async fn run(global: &Global, serve: Serve) -> anyhow::Result<Success> {
    logging::start(serve.log_format, &serve.log)?;
    let config = configuration(global, serve.file.config.as_deref(), serve.listen)?;
    // Before anything is started, so that no signal is lost.
    let mut signals = Signals::new().context("signals cannot be received")?;
    let running = app::start(config).await?;
    let name = signals.next().await;
    tracing::info!("{name}: stopping; running answers are finished first (again to stop at once)");
    tokio::select! {
        () = running.stop() => Ok(Success::Yes),
        name = signals.next() => {
            complain(format_args!("{name} again: {CUT_SHORT}"));
            Ok(Success::No)
        }
    }
}

/// The signals that end a service.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) -> &'static str {
        // Where it cannot be received, only the end of the process ends the gateway.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

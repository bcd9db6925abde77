//! `pointsman serve`: a gateway until a signal says otherwise. The first one ends it gently, a second one at once; the
//! process's end is then the ordinary failure, because answers may have been cut. SIGHUP has the configuration read again.

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
    let name = loop {
        match signals.next().await {
            Signal::Stop(name) => break name,
            Signal::Reload => running.reload(),
        }
    };
    tracing::info!("{name}: stopping; running answers are finished first (again to stop at once)");
    let again = async {
        loop {
            if let Signal::Stop(name) = signals.next().await {
                break name;
            }
        }
    };
    tokio::select! {
        () = running.stop() => Ok(Success::Yes),
        name = again => {
            complain(format_args!("{name} again: {CUT_SHORT}"));
            Ok(Success::No)
        }
    }
}

/// What a signal means.
enum Signal {
    /// The service ends; the signal's name.
    Stop(&'static str),
    /// The configuration is read again.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no such signal"))]
    Reload,
}

/// The signals of a service.
struct Signals {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    async fn next(&mut self) -> Signal {
        // Where it cannot be received, only the end of the process ends the gateway.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Stop("Ctrl-C")
    }
}

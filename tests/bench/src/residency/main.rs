//! How the gateway shares one slot between clients, measured through real sockets: it runs in this process in front of
//! an emulated LM Studio whose loads and answers take their time, and each of the arrivals on paper
//! (`pointsman_bench::paper`) is played once.
//!
//! What is printed is what happened and what should have: makespan and loads beside strict order, beside the gateway's
//! own rules and beside the best there is; waits beside what the rules promise; what is lost between a completed load
//! and the first answer that it was for. Times are printed in the seconds of the paper, whatever the scale.
//!
//! Real time passes, so a busy machine shows in the figures, the more the smaller the scale. Exits with 1 where
//! something failed, or with `--check` where a goal is missed; with 2 where the arguments make no sense.

mod goals;
mod run;
mod seen;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;
use pointsman_bench::paper::{Arrivals, Slot, arrivals};

use table::Row;

/// The smallest scale: below it a load takes hardly longer than what a busy machine does in between.
const SCALE_LEAST: f64 = 0.05;

/// The largest scale: ten times as slow is an hour.
const SCALE_MOST: f64 = 10.0;

/// Measures how the gateway shares one slot between clients.
#[derive(Debug, Parser)]
struct Arguments {
    /// Real seconds for each second on paper.
    #[arg(long, default_value_t = 0.5, value_parser = scale)]
    scale: f64,
    /// Only these arrivals, by name; all unless given.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only what is on paper; nothing is run.
    #[arg(long)]
    paper: bool,
    /// Exit with 1 where a goal is missed.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let measured = tokio::runtime::Runtime::new()
        .context("the runtime")
        .and_then(|runtime| runtime.block_on(measure(&arguments)));
    match measured {
        Ok(missed) if missed > 0 && arguments.check => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(std::io::stderr(), "residency: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Plays and prints everything that was chosen; how many goals were missed.
async fn measure(arguments: &Arguments) -> anyhow::Result<usize> {
    let mut missed = 0;
    print(&table::head(Slot::MEASURED, arguments.scale))?;
    for arrivals in chosen(&arguments.only)? {
        let mut rows = Row::on_paper(&arrivals, Slot::MEASURED);
        let mut verdicts = Vec::new();
        if !arguments.paper {
            let seen = run::run(&arrivals, Slot::MEASURED, arguments.scale)
                .await
                .with_context(|| arrivals.name.clone())?;
            verdicts = goals::verdicts(&arrivals, Slot::MEASURED, arguments.scale, &seen);
            rows.insert(0, Row::measured(&seen));
        }
        missed += verdicts.iter().filter(|verdict| verdict.is_missed()).count();
        print(&table::of(&arrivals, &rows, &verdicts))?;
    }
    if !arguments.paper {
        print(&format!("\ngoals missed: {missed}\n"))?;
    }
    Ok(missed)
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<Arrivals>> {
    let all = arrivals::all();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|arrivals| arrivals.name == **name)) {
        let known: Vec<_> = all.iter().map(|arrivals| arrivals.name.as_str()).collect();
        bail!("no arrivals are called {unknown}; there are {}", known.join(", "));
    }
    Ok(all.into_iter().filter(|it| names.is_empty() || names.contains(&it.name)).collect())
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse::<f64>().map_err(|error| error.to_string())?;
    let fits = (SCALE_LEAST..=SCALE_MOST).contains(&scale);
    fits.then_some(scale).ok_or_else(|| format!("between {SCALE_LEAST} and {SCALE_MOST}"))
}

//! `pointsman skill test FILE CASES`: how a component does on a table of cases, without a gateway.

use std::path::Path;

use anyhow::Context as _;

use crate::cli::Success;
use crate::cli::output::{BAD, FAINT, GOOD, Output, paint};
use crate::skill::trial::{self, Judged, Report};

/// Characters of a case's name that are shown.
const NAME_CHARS: usize = 80;

/// Asks the component about every case.
pub(super) async fn run(component: &Path, cases: &Path, output: &mut Output) -> anyhow::Result<Success> {
    let table = std::fs::read_to_string(cases).with_context(|| cases.display().to_string())?;
    let wasm = std::fs::read(component).with_context(|| component.display().to_string())?;
    let report = trial::run(wasm, &table).await?;
    output.value(&report, || lines(&report));
    Ok(if report.ok { Success::Yes } else { Success::No })
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = report.cases.iter().flat_map(one).collect();
    let good = report.cases.iter().filter(|case| case.ok).count();
    lines.push(format!("{good} of {} cases as expected", report.cases.len()));
    lines
}

fn one(case: &Judged) -> Vec<String> {
    let name: String =
        case.name.chars().take(NAME_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let Some(because) = &case.because else { return vec![format!("{} {name}", paint(GOOD, "ok "))] };
    let model = case.model.as_ref().map(|model| format!(" to {model}")).unwrap_or_default();
    let says = case.says.as_ref().map(|says| format!(": {says}")).unwrap_or_default();
    let said = format!("it said {}{model}{says}", case.verdict.as_str());
    vec![
        format!("{} {name}", paint(BAD, "bad")),
        format!("    {because}"),
        format!("    {}", paint(FAINT, said)),
    ]
}

//! `pointsman activity`: what the gateway has been doing, a line a request; with `--follow`, as it happens.

use std::time::Duration;

use anstyle::Style;

use super::args::{Activity, Global};
use super::output::{BAD, FAINT, Format, Output, STRONG, paint};
use super::{Success, client, why};
use crate::admin::view::Requests;
use crate::telemetry::{RECORDS_MAX, Record};

/// How often a gateway is asked what is new.
const EVERY: Duration = Duration::from_millis(500);

/// Asks the running gateway, once or until it is told to stop.
pub(super) async fn run(global: &Global, args: &Activity, output: &mut Output) -> anyhow::Result<Success> {
    let gateway = client(global).await?;
    let mut recent: Requests = gateway.get(&format!("requests?limit={}", args.limit)).await?;
    if !args.follow {
        recent.requests.reverse();
        output.value(&recent, || recent.requests.iter().map(line).collect());
        return Ok(Success::Yes);
    }
    let mut known = None;
    let mut clock = tokio::time::interval(EVERY);
    loop {
        for record in newer(known.as_deref(), &recent.requests).iter().rev() {
            tell(record, output);
        }
        known = recent.requests.first().map(|record| record.request.to_string()).or(known);
        clock.tick().await;
        recent = gateway.get(&format!("requests?limit={RECORDS_MAX}")).await?;
    }
}

/// Those that came after the one that was told last; all where that is not remembered any more.
fn newer<'a>(known: Option<&str>, newest_first: &'a [Record]) -> &'a [Record] {
    let is_known = |record: &Record| known.is_some_and(|known| *record.request == *known);
    let count = newest_first.iter().position(is_known).unwrap_or(newest_first.len());
    newest_first.get(..count).unwrap_or_default()
}

fn tell(record: &Record, output: &mut Output) {
    match output.format() {
        // A line each: who reads this reads it as it comes. A record always has a form in JSON.
        Format::Json => output.line(serde_json::to_string(record).unwrap_or_default()),
        Format::Text => output.line(line(record)),
    }
}

fn line(record: &Record) -> String {
    let style = if record.error.is_some() { BAD } else { Style::new() };
    let at = why::at(record.at_ms);
    let request = paint(STRONG, &record.request);
    format!("{} {request} {}", paint(FAINT, at), paint(style, record.headline()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_told() {
        let records = ["r3", "r2", "r1"].map(|id| Record { request: id.into(), ..Record::default() });
        let told = |known: Option<&str>| newer(known, &records).len();
        assert_eq!(told(None), 3);
        assert_eq!(told(Some("r3")), 0);
        assert_eq!(told(Some("r1")), 2);
        assert_eq!(told(Some("long ago")), 3, "more came than are remembered");
    }
}

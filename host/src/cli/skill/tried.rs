//! `pointsman skill shadow` and `replay`: what a component would decide, beside what is decided.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::desk::Desk;
use super::source::Source;
use crate::admin::view::Shadows;
use crate::cli::args::{Candidate, Global, Replay, Shadow};
use crate::cli::output::{BAD, FAINT, GOOD, ODD, Output, STRONG, paint, patiently};
use crate::cli::why::at;
use crate::id::SkillName;
use crate::skill::{Comparison, Difference, Offer, Tried};

/// Has a component look on, shows how those do that look on, or ends one.
pub(super) async fn shadow(global: &Global, order: Shadow, output: &mut Output) -> anyhow::Result<()> {
    let desk = Desk::open(global).await?;
    match (order.source, order.stop) {
        (_, Some(name)) => {
            let ended = desk.end_shadow(&SkillName::new(name)).await?;
            output.value(&ended, || lines(&ended));
        }
        (Some(source), None) => {
            let offer = offer(&source, order.candidate, output).await?;
            let waiting = format!("loading {}", offer.source);
            let tried = patiently(output, waiting, desk.shadow(offer)).await?;
            output.value(&tried, || begun(&tried));
        }
        (None, None) => {
            let shadows = desk.shadows().await?;
            output.value(&shadows, || all(&shadows));
        }
    }
    Ok(())
}

/// Asks a component about what was recorded.
pub(super) async fn replay(global: &Global, order: Replay, output: &mut Output) -> anyhow::Result<()> {
    let desk = Desk::open(global).await?;
    let offer = offer(&order.source, order.candidate, output).await?;
    let waiting = format!("asking {} about recorded turns", offer.source);
    let tried = patiently(output, waiting, desk.replay(offer, milliseconds_ago(order.since))).await?;
    output.value(&tried, || lines(&tried));
    Ok(())
}

async fn offer(source: &Source, candidate: Candidate, output: &mut Output) -> anyhow::Result<Offer> {
    let fetched = source.fetch(output).await?;
    Ok(Offer {
        name: SkillName::new(candidate.name.unwrap_or_else(|| source.stem())),
        wasm: fetched.wasm.into(),
        source: fetched.from,
        signature: fetched.signature,
        grants: candidate.grants,
        force: false,
        approve: false,
    })
}

fn milliseconds_ago(time: Duration) -> u64 {
    let since = SystemTime::now().checked_sub(time).unwrap_or(UNIX_EPOCH);
    u64::try_from(since.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn begun(tried: &Tried) -> Vec<String> {
    let mut lines = vec![format!("{} is tried on requests from now on", title(tried))];
    lines.extend(denied(tried));
    lines.push(paint(FAINT, "`pointsman skill shadow` shows how it does").to_string());
    lines
}

fn all(shadows: &Shadows) -> Vec<String> {
    match shadows.shadows.as_slice() {
        [] => vec!["no component is being tried; `pointsman skill shadow SOURCE` begins it".to_owned()],
        tried => tried.iter().flat_map(lines).collect(),
    }
}

fn lines(tried: &Tried) -> Vec<String> {
    let Comparison { asked, alike, differing, failed, skipped, differences } = &tried.comparison;
    let mut lines = vec![format!("{}, since {}", title(tried), at(tried.since_ms))];
    lines.extend(denied(tried));
    let turns = if *asked == 1 { "turn" } else { "turns" };
    let counts = [
        (GOOD, *alike, "alike"),
        (ODD, *differing, "differing"),
        (BAD, *failed, "failed"),
        (FAINT, *skipped, "not asked about"),
    ];
    let counts = counts.into_iter().filter(|(_, count, _)| *count > 0);
    let counts: Vec<String> =
        counts.map(|(style, count, what)| paint(style, format!("{count} {what}")).to_string()).collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    lines.push(format!("  asked about {asked} {turns}{counts}"));
    lines.extend(differences.iter().flat_map(difference));
    lines
}

fn title(tried: &Tried) -> String {
    let name = paint(STRONG, format!("{} {}", tried.name, tried.version));
    match &tried.active {
        Some(active) => format!("{name} beside {active}"),
        None => format!("{name}, which no skill serves as"),
    }
}

fn denied(tried: &Tried) -> Option<String> {
    let denied = (!tried.denied.is_empty()).then(|| tried.denied.join(", "))?;
    Some(format!("  {} {denied}: as it would be, installed; --grant grants more", paint(ODD, "denied")))
}

fn difference(difference: &Difference) -> [String; 2] {
    let Difference { request, at_ms, text, said, candidate } = difference;
    [
        format!("  {} {} {text}", paint(FAINT, at(*at_ms)), paint(STRONG, request)),
        format!("      {said}  {}  {candidate}", paint(ODD, "→")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skill::{Said, Verdict, Way};

    #[test]
    fn differences_are_told_in_two_lines_each() {
        let way = Way { model: "otter".to_owned(), context_length: None, prompt: None, patch: None };
        let candidate = Said {
            verdict: Verdict::Route,
            ways: vec![way],
            terms: None,
            status: None,
            says: Some("poems".to_owned()),
        };
        let difference = Difference {
            request: "r1".to_owned(),
            at_ms: 0,
            text: "write a poem".to_owned(),
            said: Said::pass(),
            candidate,
        };
        let comparison = Comparison {
            asked: 3,
            alike: 2,
            differing: 1,
            failed: 0,
            skipped: 4,
            differences: vec![difference],
        };
        let tried = Tried {
            name: "router".to_owned(),
            version: "2.0.0".to_owned(),
            active: Some("1.0.0".to_owned()),
            denied: vec!["models".to_owned()],
            since_ms: 0,
            comparison,
        };
        let plain: Vec<String> =
            lines(&tried).iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert!(plain[0].starts_with("router 2.0.0 beside 1.0.0, since 1970"), "{}", plain[0]);
        assert!(plain[1].contains("denied models"), "{}", plain[1]);
        assert_eq!(plain[2], "  asked about 3 turns: 2 alike, 1 differing, 4 not asked about");
        assert!(plain[3].ends_with("r1 write a poem"), "{}", plain[3]);
        assert_eq!(plain[4], "      pass  →  route otter (poems)");
    }
}

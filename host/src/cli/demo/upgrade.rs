//! The demonstration's second act: while an answer runs, the policy that decided it is upgraded. The next request is decided
//! by the new version, and the answer ends under the old one.
//!
//! Who decided is from the gateway's records, as `why` shows them; that the answer was whole, and when, is from its client.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::scene::Scene;
use super::talk::{Answer, Conversation};
use super::timeline::Timeline;
use super::{FIRST, MEANWHILE};
use crate::app::Running;
use crate::cli::output::{FAINT, GOOD, STRONG, paint};
use crate::id::SkillName;
use crate::skill::Offer;
use crate::telemetry::{millis, seconds};

/// How long the act may take; it takes about four seconds.
const ACT_TIMEOUT: Duration = Duration::from_secs(60);

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Upgrade {
    /// Of the answer that ran meanwhile.
    running: Decided,
    /// Of the request after the upgrade.
    next: Decided,
    /// How long the new version took to be installed, in milliseconds.
    installed_ms: u64,
    /// The answer was still running then.
    was_running: bool,
    /// Both answers ended as answers should.
    is_whole: bool,
}

/// Who decided a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Decided {
    /// The skill and its reason.
    by: String,
    /// The generation of skills that the request was pinned to.
    generation: u64,
}

// === impl Upgrade ===

impl Upgrade {
    /// Plays it.
    pub(super) async fn play(scene: &Scene, timeline: &mut Timeline<'_>) -> anyhow::Result<Self> {
        let act = tokio::time::timeout(ACT_TIMEOUT, act(scene, timeline)).await;
        act.with_context(|| format!("the upgrade was not over within {} s", ACT_TIMEOUT.as_secs()))?
    }

    /// What was not as it should be.
    pub(super) fn shortcomings(&self) -> Vec<String> {
        let Self { running, next, installed_ms: _, was_running, is_whole } = self;
        let mut found = Vec::new();
        if !running.by.contains("1.0.0") {
            found.push(format!("the running answer was decided by {:?}", running.by));
        }
        if !next.by.contains("2.0.0") {
            found.push(format!("the request after the upgrade was decided by {:?}", next.by));
        }
        if next.generation <= running.generation {
            found.push("the upgrade made no new generation of skills".to_owned());
        }
        if !was_running {
            found.push("the answer that should have run through the upgrade was over before it".to_owned());
        }
        if !is_whole {
            found.push("an answer of the upgrade is not whole".to_owned());
        }
        found
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self { running, next, installed_ms, .. } = self;
        let line = |what: &str, text: String| format!("  {} {text}", paint(FAINT, format!("{what:<22}")));
        vec![
            line("the running answer", format!("{}, to its end", running.by)),
            line("meanwhile", format!("version 2.0.0 was installed in {}", seconds(*installed_ms))),
            line("the next request", next.by.clone()),
        ]
    }
}

async fn act(scene: &Scene, timeline: &mut Timeline<'_>) -> anyhow::Result<Upgrade> {
    let (gateway, resident) = (scene.gateway(), scene.words().resident);
    let [first, second] = pointsman_skills::DEMO_POLICY.map(|policy| offer(policy.name, policy.wasm));
    timeline.say(&format!("\n{}", paint(STRONG, "And a policy is upgraded while an answer runs")));
    install(gateway, first).await?;
    // Looked at, it is compiled: what is installed under a running answer is there at once.
    gateway.gateway().skills.look(second.clone()).await.context("the policy's second version")?;
    let talk = |session| Conversation::new(scene.http(), &gateway.url(), session, resident);
    let (mut long, mut short) = (talk("demo-long"), talk("demo-short"));
    timeline.say(&format!("{} “{MEANWHILE}”", paint(FAINT, "user")));
    let running = long.begin(MEANWHILE, None).await?;
    let reading = async {
        let answer = running.rest().await?;
        anyhow::Ok((answer, Instant::now()))
    };
    let upgrading = async {
        let began = Instant::now();
        install(gateway, second).await?;
        let installed = Instant::now();
        timeline
            .say(&paint(FAINT, "demo-policy 2.0.0 is installed while that is being answered").to_string());
        timeline.say(&format!("{} “{FIRST}”", paint(FAINT, "user")));
        let next = short.ask(FIRST, None).await?;
        anyhow::Ok((next, began, installed))
    };
    let ((long, ended), (next, began, installed)) = tokio::try_join!(reading, upgrading)?;
    timeline.say(&format!("{} both answers are whole", paint(GOOD, "ok")));
    Ok(Upgrade {
        running: decided(gateway, &long),
        next: decided(gateway, &next),
        installed_ms: millis(installed - began),
        was_running: ended > installed,
        is_whole: long.is_whole && next.is_whole,
    })
}

async fn install(gateway: &Running, offer: Offer) -> anyhow::Result<()> {
    let installed = gateway.gateway().skills.install(offer).await;
    installed.map(drop).context("the demonstration's policy cannot be installed")
}

/// A version of the policy, which asks for nothing.
fn offer(name: &str, wasm: &'static [u8]) -> Offer {
    Offer {
        name: SkillName::new(name),
        wasm: Bytes::from_static(wasm),
        source: "the demonstration".to_owned(),
        signature: None,
        grants: Vec::new(),
        force: false,
        approve: false,
    }
}

/// Who decided, by the gateway's record of it.
fn decided(gateway: &Running, answer: &Answer) -> Decided {
    let Some(record) = gateway.gateway().ring.find(Some(&answer.request)) else { return Decided::default() };
    let skill = record.skill.as_deref().unwrap_or("nobody");
    let reason = record.reason.as_deref().unwrap_or_default();
    Decided { by: format!("decided by {skill}: {reason}"), generation: record.generation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_seen() {
        let decided = |version: &str, generation| Decided { by: format!("p: version {version}"), generation };
        let good = Upgrade {
            running: decided("1.0.0", 2),
            next: decided("2.0.0", 3),
            installed_ms: 12,
            was_running: true,
            is_whole: true,
        };
        assert_eq!(good.shortcomings(), Vec::<String>::new());
        let check = |upgrade: Upgrade, part: &str| {
            let found = upgrade.shortcomings().join("; ");
            assert!(found.contains(part), "{found}");
        };
        check(Upgrade { running: decided("2.0.0", 2), ..good.clone() }, "running answer was decided");
        check(Upgrade { next: decided("1.0.0", 3), ..good.clone() }, "after the upgrade was decided");
        check(Upgrade { next: decided("2.0.0", 2), ..good.clone() }, "no new generation");
        check(Upgrade { was_running: false, ..good.clone() }, "over before it");
        check(Upgrade { is_whole: false, ..good }, "not whole");
    }
}

//! The skills: which are in use, which cannot be, what they miss. Asked of the running gateway, or loaded here as it would
//! load them, in the same sandbox and with nothing behind their capabilities.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::finding::Finding;
use crate::admin::view::Skill;
use crate::capability::{self, Code, models::Models, residency};
use crate::config::Config;
use crate::model::Directory;
use crate::skill::{Bundled, Delegates, Skills};

const ABOUT: &str = "skills";

/// Nothing is behind the capabilities while skills are only looked at.
struct Nothing;

impl Models for Nothing {
    fn directory(&self) -> Arc<Directory> {
        Arc::default()
    }
}

impl residency::Residency for Nothing {
    fn wish(&self, _: residency::Wish) -> BoxFuture<'static, Result<residency::Standing, capability::Error>> {
        async { Err(capability::Error::new(Code::Unavailable, "the gateway is not running")) }.boxed()
    }
}

/// Loads them as the gateway would.
pub(super) async fn load(config: &Config) -> anyhow::Result<Vec<Skill>> {
    let delegates = Delegates { models: Arc::new(Nothing), residency: Arc::new(Nothing) };
    let bundled: Vec<Bundled> =
        pointsman_skills::SKILLS.iter().map(|skill| Bundled { name: skill.name, wasm: skill.wasm }).collect();
    let (skills, _housekeeping) = Skills::start(config.skills.clone(), delegates, &bundled).await?;
    Ok(skills.statuses().iter().map(Skill::of).collect())
}

/// What their state means.
pub(super) fn judge(skills: &[Skill]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = skills.iter().flat_map(one).collect();
    if !skills.iter().any(|skill| skill.state == "active") {
        let message = "none is in use: every request goes to the model that it names";
        findings.push(Finding::warn(
            ABOUT,
            message,
            "switch one on again under `[skills.NAME]`, or see why it failed above",
        ));
    }
    findings
}

fn one(skill: &Skill) -> Vec<Finding> {
    let Skill { name, version, source, .. } = skill;
    let table = format!("`[skills.{name}]`");
    match skill.state.as_str() {
        "disabled" => return vec![Finding::ok(ABOUT, format!("{name} is switched off in {table}"))],
        "failed" => {
            let why = skill.problem.as_deref().unwrap_or("cannot be used");
            let mend = match source.as_str() {
                "bundled" => format!("correct {table}, or switch it off there with `enabled = false`"),
                file => format!("correct {table} or replace {file}"),
            };
            return vec![Finding::fail(ABOUT, format!("{name} {why}"), mend)];
        }
        _ => {}
    }
    let mut findings = vec![Finding::ok(ABOUT, format!("{name} {version} is in use ({source})"))];
    if !skill.denied.is_empty() {
        let quoted: Vec<String> = skill.denied.iter().map(|it| format!("\"{it}\"")).collect();
        let message = format!(
            "{name} asks for {} and is not granted it; those calls answer `denied`",
            skill.denied.join(", ")
        );
        findings.push(Finding::warn(
            ABOUT,
            message,
            format!("if you trust it with that, add {} to `grants` of {table}", quoted.join(", ")),
        ));
    }
    if let Some(error) = &skill.last_error {
        let mend = "the request went on without it; `pointsman why` shows which, the log shows when";
        findings.push(Finding::warn(
            ABOUT,
            format!("{name} failed the last time it went wrong: it {error}"),
            mend,
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn skill(state: &str) -> Skill {
        Skill {
            name: "x".to_owned(),
            state: state.to_owned(),
            source: "bundled".to_owned(),
            ..Skill::default()
        }
    }

    fn levels(skills: &[Skill]) -> Vec<Level> {
        judge(skills).iter().map(|it| it.level).collect()
    }

    #[test]
    fn states_become_findings() {
        assert_eq!(levels(&[skill("active")]), [Level::Ok]);
        assert_eq!(levels(&[skill("disabled")]), [Level::Ok, Level::Warn]);
        assert_eq!(levels(&[]), [Level::Warn]);
        let broken = Skill { problem: Some("is not WebAssembly".to_owned()), ..skill("failed") };
        let findings = judge(&[broken, skill("active")]);
        assert_eq!((findings[0].level, findings[0].message.as_str()), (Level::Fail, "x is not WebAssembly"));
        let wanting = Skill {
            denied: vec!["http".to_owned(), "kv".to_owned()],
            last_error: Some("trapped".to_owned()),
            ..skill("active")
        };
        let findings = judge(&[wanting]);
        assert_eq!(
            findings.iter().map(|it| it.level).collect::<Vec<_>>(),
            [Level::Ok, Level::Warn, Level::Warn]
        );
        assert!(
            findings[1].mend.as_ref().unwrap().contains("add \"http\", \"kv\" to `grants` of `[skills.x]`")
        );
    }
}

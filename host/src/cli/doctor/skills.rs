//! The skills: which are in use, which cannot be, what they miss. Asked of the running gateway, or loaded here as it would
//! load them, in the same sandbox and with nothing behind their capabilities.

use super::finding::Finding;
use crate::admin::keeper::Keeper;
use crate::admin::view::Skill;
use crate::app;
use crate::config::Config;
use crate::skill::Skills;

const ABOUT: &str = "skills";

/// The skills where no gateway runs.
pub(super) struct Loaded {
    /// Each as the gateway would have it.
    pub(super) skills: Vec<Skill>,
    /// Why it cannot be said what is installed.
    pub(super) unreadable: Option<Finding>,
}

/// Loads them as the gateway would, and changes nothing.
pub(super) async fn load(config: &Config) -> anyhow::Result<Loaded> {
    let keeper = Keeper::new(Skills::start_to_look(config.skills.clone(), &app::bundled()).await?);
    let until_then =
        "until then, only those that lie in the folder of skills or ship with the gateway are used";
    let unreadable =
        keeper.check().await.err().map(|error| Finding::fail(ABOUT, error.to_string(), until_then));
    Ok(Loaded { skills: keeper.list().await, unreadable })
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
    let Skill { name, version, .. } = skill;
    let table = format!("`[skills.{name}]`");
    let mut findings = match skill.state.as_str() {
        "disabled" => {
            let how = format!("`pointsman skill enable {name}`, or `enabled` in {table}, switches it on");
            vec![Finding::ok(ABOUT, format!("{name} is switched off; {how}"))]
        }
        "failed" | "quarantined" => vec![unusable(skill, &table)],
        _ => in_use(skill, &table),
    };
    findings.extend(skill.waits.as_ref().map(|waiting| {
        let message = format!("version {waiting} of {name} waits for approval: it asks for more than {version}");
        let mend = format!(
            "`pointsman skill show {name}` says what it asks for, `pointsman skill upgrade {name}` lets it serve"
        );
        Finding::warn(ABOUT, message, mend)
    }));
    findings
}

fn unusable(skill: &Skill, table: &str) -> Finding {
    let Skill { name, state, source, .. } = skill;
    let why = skill.problem.as_deref().unwrap_or("cannot be used");
    let message = match state.as_str() {
        "quarantined" => {
            format!("{name} failed too often and is not asked any more: the last time, it {why}")
        }
        _ => format!("{name} {why}"),
    };
    let mend = match source.as_str() {
        "bundled" => format!("correct {table}, or switch it off there with `enabled = false`"),
        from if from.starts_with("installed") => format!(
            "`pointsman skill show {name}` shows its versions; go back with `pointsman skill rollback {name}`, install a \
             mended one, or correct {table}"
        ),
        file => format!("correct {table} or replace {file}"),
    };
    Finding::fail(ABOUT, message, mend)
}

fn in_use(skill: &Skill, table: &str) -> Vec<Finding> {
    let Skill { name, version, source, .. } = skill;
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
            format!(
                "if you trust it with that, `pointsman skill grant {name} {}`, or add {} to `grants` of {table}",
                skill.denied.iter().map(|it| if it == "http" { "http=HOST" } else { it }).collect::<Vec<_>>().join(" "),
                quoted.join(", ")
            ),
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
        let installed = Skill {
            problem: Some("trapped".to_owned()),
            source: "installed from /x.wasm".to_owned(),
            waits: Some("2.0.0".to_owned()),
            ..skill("quarantined")
        };
        let findings = judge(&[installed, skill("active")]);
        let mends: Vec<_> = findings.iter().filter_map(|it| it.mend.as_deref()).collect();
        assert!(findings[0].message.contains("failed too often"), "{findings:?}");
        assert!(mends[0].contains("`pointsman skill rollback x`"), "{mends:?}");
        assert!(findings[1].message.starts_with("version 2.0.0 of x waits"), "{findings:?}");
        assert!(mends[1].contains("`pointsman skill upgrade x`"), "{mends:?}");
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
        assert!(findings[1].mend.as_ref().unwrap().contains("`pointsman skill grant x http=HOST kv`"));
    }
}

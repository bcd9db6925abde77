//! What the commands of `pointsman skill` say to people. Pure: values in, lines out.

use super::sign::Signed;
use crate::admin::keeper::Change;
use crate::admin::view::{Installed, Looked, Removed, Skill, SkillInFull, SkillVersion, Trusted};
use crate::cli::output::{BAD, FAINT, GOOD, ODD, STRONG, paint, table};
use crate::cli::why::at;
use crate::shelf::Digest;

/// Every skill, a line each, and below them what is wrong.
pub(super) fn list(skills: &[Skill]) -> Vec<String> {
    let head =
        ["SKILL", "VERSION", "STATE", "PRIORITY", "MAY USE", "DENIED", "FROM"].map(str::to_owned).to_vec();
    let row = |skill: &Skill| {
        vec![
            skill.name.clone(),
            or_dash(&skill.version),
            skill.state.clone(),
            skill.priority.to_string(),
            or_dash(&skill.grants.join(", ")),
            or_dash(&skill.denied.join(", ")),
            skill.source.trim_start_matches("installed from ").to_owned(),
        ]
    };
    let mut lines = table(&std::iter::once(head).chain(skills.iter().map(row)).collect::<Vec<_>>());
    lines.extend(skills.iter().flat_map(news));
    lines
}

/// What of a skill needs somebody to look.
fn news(skill: &Skill) -> Vec<String> {
    let Skill { name, version, .. } = skill;
    let mut lines = Vec::new();
    if let Some(problem) = &skill.problem {
        lines.push(format!(
            "{} {name} {problem}; `pointsman skill show {name}` shows its versions",
            paint(BAD, &skill.state)
        ));
    }
    if let Some(waiting) = &skill.waits {
        lines.push(format!(
            "{} {name} {waiting} asks for more than {version}: `pointsman skill show {name}`, then `pointsman skill upgrade {name}`",
            paint(ODD, "waits")
        ));
    }
    lines
}

/// All that is known of one skill.
pub(super) fn shown(full: &SkillInFull) -> Vec<String> {
    let SkillInFull { skill, hooks, granted, versions, pending } = full;
    let mut lines = vec![title(&skill.name, &skill.version, &skill.description)];
    lines.push(field("state", &state(skill)));
    lines.extend(optional("last error", skill.last_error.as_deref().unwrap_or_default()));
    lines.push(field("from", &skill.source));
    lines.push(field("priority", &skill.priority.to_string()));
    lines.extend(optional("runs in", &hooks.join(", ")));
    lines.push(field("may use", &or_nothing(&skill.grants)));
    lines.extend(optional("denied", &skill.denied.join(", ")));
    let by_hand = granted.as_ref().filter(|granted| **granted != skill.grants);
    lines.extend(by_hand.map(|granted| field("granted", &or_nothing(granted))));
    if !versions.is_empty() {
        lines.push(String::new());
        let head = ["VERSION", "", "DIGEST", "INSTALLED", "SIGNED BY", "FROM"].map(str::to_owned).to_vec();
        lines.extend(table(
            &std::iter::once(head).chain(versions.iter().rev().map(version)).collect::<Vec<_>>(),
        ));
        lines.extend(versions.iter().filter_map(|it| {
            let why = it.quarantined.as_ref()?;
            Some(format!("{} {} {why}", paint(BAD, "quarantined"), it.version))
        }));
    }
    if let Some(pending) = pending {
        lines.push(String::new());
        lines.push(waits(&skill.name, &pending.version.version, &skill.version, &pending.wants));
    }
    lines
}

fn state(skill: &Skill) -> String {
    let style = match skill.state.as_str() {
        "active" => GOOD,
        "disabled" => FAINT,
        _ => BAD,
    };
    let problem = skill.problem.as_ref().map(|problem| format!(": it {problem}")).unwrap_or_default();
    format!("{}{problem}", paint(style, &skill.state))
}

fn version(version: &SkillVersion) -> Vec<String> {
    let state = match (&version.quarantined, version.active) {
        (Some(_), _) => "quarantined",
        (None, true) => "in use",
        (None, false) => "",
    };
    vec![
        version.version.clone(),
        state.to_owned(),
        short(&version.digest),
        at(version.installed_ms),
        version.signed_by.clone().unwrap_or_else(|| "nobody".to_owned()),
        version.source.clone(),
    ]
}

/// What a component is, before it is installed.
pub(super) fn look(look: &Looked, source: &str) -> Vec<String> {
    let mut lines = vec![title(&look.name, &look.version, &look.description)];
    lines.push(field("from", source));
    lines.push(field("digest", &format!("{} ({} bytes)", look.digest, look.bytes)));
    lines.push(field("signed by", look.signed_by.as_deref().unwrap_or("nobody")));
    lines.extend(optional("runs in", &look.hooks.join(", ")));
    lines.push(field("asks for", &or_nothing(&look.imports)));
    lines.extend(optional("not granted", &look.wants.join(", ")));
    lines.extend(look.active.as_ref().map(|active| field("replaces", &format!("version {active}"))));
    lines
}

/// What became of an installation.
pub(super) fn installed(installed: &Installed, is_here: bool) -> Vec<String> {
    let Installed { outcome, look, skill } = installed;
    let Looked { name, version, .. } = look;
    if outcome == "waits" {
        let wants = skill.pending.as_ref().map(|it| it.wants.as_slice()).unwrap_or_default();
        return vec![waits(name, version, &skill.skill.version, wants)];
    }
    let what = match (outcome.as_str(), skill.skill.state.as_str()) {
        (_, "disabled") => {
            format!("is installed and switched off; `pointsman skill enable {name}` switches it on")
        }
        ("unchanged", _) => "is what is in use already".to_owned(),
        (_, "active") if is_here => "is installed; the gateway uses it when it starts".to_owned(),
        _ => "is in use from now on".to_owned(),
    };
    let mut lines = vec![format!("{} {name} {version} {what}", paint(GOOD, "ok"))];
    lines.extend(denied(&skill.skill));
    lines
}

/// What a skill is after a change.
pub(super) fn changed(change: &Change, full: &SkillInFull) -> Vec<String> {
    let skill = &full.skill;
    let Skill { name, version, .. } = skill;
    let may = || or_nothing(&skill.grants);
    let what = match (change, skill.state.as_str()) {
        (Change::Disable, _) => format!("{name} is switched off"),
        (Change::Grant(_) | Change::Revoke(_), _) => format!("{name} {version} may use: {}", may()),
        (_, "disabled") => {
            format!(
                "{name} {version} is installed and switched off; `pointsman skill enable {name}` switches it on"
            )
        }
        (Change::Enable, _) => format!("{name} {version} is switched on"),
        (Change::Approve | Change::Rollback, _) => format!("{name} {version} is in use from now on"),
    };
    let first = match &skill.problem {
        Some(problem) => format!("{} {name}: it {problem}", paint(BAD, &skill.state)),
        None => format!("{} {what}", paint(GOOD, "ok")),
    };
    let mut lines = vec![first];
    lines.extend(denied(skill));
    if let Some(pending) = &full.pending {
        lines.push(waits(name, &pending.version.version, version, &pending.wants));
    }
    lines
}

/// What is left after a removal.
pub(super) fn removed(removed: &Removed) -> Vec<String> {
    let left = match &removed.skill {
        Some(now) => {
            format!("; {} ({}) is in use under that name again", now.skill.version, now.skill.source)
        }
        None => String::new(),
    };
    vec![format!("{} {} is removed{left}", paint(GOOD, "ok"), removed.removed)]
}

/// Whose signatures count.
pub(super) fn trusted(trusted: &Trusted) -> Vec<String> {
    if trusted.trusted.is_empty() {
        return vec!["nobody's signatures count; `pointsman skill trust SIGNER KEY` changes that".to_owned()];
    }
    let head = ["SIGNER", "KEY"].map(str::to_owned).to_vec();
    let rows = trusted.trusted.iter().map(|it| vec![it.signer.clone(), it.key.clone()]);
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// What was signed, and what others need.
pub(super) fn signed(signed: &Signed) -> Vec<String> {
    let Signed { name, version, signature, key_file, key_is_new, public_key, .. } = signed;
    let mut lines =
        vec![format!("{} {name} {version} is signed: {}", paint(GOOD, "ok"), signature.display())];
    if *key_is_new {
        lines.push(format!("   the key is new: {}; keep it to yourself", key_file.display()));
    }
    lines.push(format!("   others trust it by `pointsman skill trust YOUR-NAME {public_key}`"));
    lines
}

/// What a yes cannot grant.
pub(super) fn needs_hosts(name: &str) -> String {
    format!("{} {name} asks for `http`, which is granted by host: `--grant http=HOST`", paint(ODD, "note"))
}

fn waits(name: &str, version: &str, active: &str, wants: &[String]) -> String {
    format!(
        "{} {name} {version} asks for {}, which is not granted; {active} goes on serving. `pointsman skill upgrade {name}` lets \
         it serve without that, `pointsman skill grant {name} {}` with it",
        paint(ODD, "waits"),
        wants.join(", "),
        grantable(wants),
    )
}

fn denied(skill: &Skill) -> Option<String> {
    let Skill { name, denied, .. } = skill;
    (!denied.is_empty()).then(|| {
        format!(
            "{} denied to it: {}; `pointsman skill grant {name} {}` changes that",
            paint(ODD, "note"),
            denied.join(", "),
            grantable(denied)
        )
    })
}

/// What would grant this, as an argument.
fn grantable(names: &[String]) -> String {
    let grant = |name: &String| if name == "http" { "http=HOST".to_owned() } else { name.clone() };
    names.iter().map(grant).collect::<Vec<_>>().join(" ")
}

fn title(name: &str, version: &str, description: &str) -> String {
    let description = if description.is_empty() { String::new() } else { format!(": {description}") };
    format!("{}{description}", paint(STRONG, format_args!("{name} {version}").to_string().trim_end()))
}

fn field(name: &str, text: &str) -> String {
    format!("  {}  {text}", paint(FAINT, format_args!("{name:<11}")))
}

fn optional(name: &str, text: &str) -> Option<String> {
    (!text.is_empty()).then(|| field(name, text))
}

fn or_nothing(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn short(digest: &str) -> String {
    digest.parse::<Digest>().map_or_else(|_| digest.to_owned(), |digest| digest.short())
}

#[cfg(test)]
mod tests;

//! `pointsman skill install` and `upgrade`: fetch, look, show, ask, install. Nothing is granted that was not said: by
//! `--grant`, or by a yes on a terminal to a question that names it.

use super::desk::Desk;
use super::source::Source;
use super::{print, success};
use crate::admin::keeper::Change;
use crate::admin::view::SkillInFull;
use crate::cli::Success;
use crate::cli::args::{Global, Install, Terms, Upgrade};
use crate::cli::output::{Output, patiently};
use crate::grant::{Capability, Grant};
use crate::id::SkillName;
use crate::skill::Offer;

/// What the user may be asked to grant.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    /// A yes grants these.
    grants: Vec<Grant>,
    /// `http` is asked for, which a yes cannot grant: nobody has said to which hosts.
    needs_hosts: bool,
}

/// Installs a component under its name.
pub(super) async fn install(global: &Global, order: Install, output: &mut Output) -> anyhow::Result<Success> {
    let name = order.name.unwrap_or_else(|| order.source.stem());
    let desk = Desk::open(global).await?;
    bring(&desk, SkillName::new(name), &order.source, order.terms, output).await
}

/// Installs another version of what is there, or lets the one serve that waits.
pub(super) async fn upgrade(global: &Global, order: Upgrade, output: &mut Output) -> anyhow::Result<Success> {
    let desk = Desk::open(global).await?;
    let name = SkillName::new(order.name);
    // Under a name that nobody has, it would be another skill.
    let skill = desk.show(&name).await?;
    match &order.source {
        Some(source) => bring(&desk, name, source, order.terms, output).await,
        None => approve(&desk, &name, skill, order.terms, output).await,
    }
}

async fn bring(
    desk: &Desk,
    name: SkillName,
    source: &Source,
    terms: Terms,
    output: &mut Output,
) -> anyhow::Result<Success> {
    let fetched = source.fetch(output).await?;
    let mut offer = Offer {
        name,
        wasm: fetched.wasm.into(),
        source: fetched.from,
        signature: fetched.signature,
        grants: terms.grants,
        force: terms.force,
        approve: terms.yes,
    };
    let looked = patiently(output, format!("looking at {}", offer.source), desk.look(&offer)).await?;
    for line in print::look(&looked, &offer.source) {
        output.note(line);
    }
    if !terms.yes {
        offer.grants.extend(ask(&looked.wants, &looked.name, output).await);
    }
    let waiting = format!("installing {}", offer.name);
    let installed = patiently(output, waiting, desk.install(offer)).await?;
    output.value(&installed, || print::installed(&installed, desk.is_here()));
    Ok(success(&installed.skill))
}

/// The version that waits serves; what the user does not grant stays denied.
async fn approve(
    desk: &Desk,
    name: &SkillName,
    skill: SkillInFull,
    terms: Terms,
    output: &mut Output,
) -> anyhow::Result<Success> {
    let Some(pending) = &skill.pending else {
        anyhow::bail!(
            "no version of {name} waits for approval; name a newer one: `pointsman skill upgrade {name} SOURCE`"
        );
    };
    let mut grants = terms.grants;
    if !terms.yes {
        let is_left = |want: &&String| !grants.iter().any(|it| it.capability.as_str() == want.as_str());
        let left: Vec<String> = pending.wants.iter().filter(is_left).cloned().collect();
        grants.extend(ask(&left, name.as_str(), output).await);
    }
    let mut now = skill;
    if !grants.is_empty() {
        now = desk.change(name, &Change::Grant(grants)).await?;
    }
    // Granted all that it asked for, it serves already.
    if now.pending.is_some() {
        now = desk.change(name, &Change::Approve).await?;
    }
    output.value(&now, || print::changed(&Change::Approve, &now));
    Ok(success(&now))
}

/// Asks for what is wanted, where there is somebody to ask. What was granted.
async fn ask(wants: &[String], name: &str, output: &mut Output) -> Vec<Grant> {
    let question = Question::of(wants);
    if !output.may_ask() {
        return Vec::new();
    }
    if question.needs_hosts {
        output.note(print::needs_hosts(name));
    }
    if question.grants.is_empty() {
        return Vec::new();
    }
    if output.ask(question.text()) { question.grants } else { Vec::new() }
}

// === impl Question ===

impl Question {
    fn of(wants: &[String]) -> Self {
        let wanted = || wants.iter().filter_map(|want| Capability::from_name(want));
        let grants = wanted().filter(|it| *it != Capability::Http).map(Grant::plain).collect();
        Self { grants, needs_hosts: wanted().any(|it| it == Capability::Http) }
    }

    fn text(&self) -> String {
        let names: Vec<String> = self.grants.iter().map(ToString::to_string).collect();
        format!("grant {}?", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_grants_what_is_asked_for_but_no_hosts() {
        let question =
            |wants: &[&str]| Question::of(&wants.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
        let asked = question(&["models", "residency", "http"]);
        assert_eq!((asked.text().as_str(), asked.needs_hosts), ("grant models, residency?", true));
        assert_eq!(question(&["http"]), Question { grants: Vec::new(), needs_hosts: true });
        assert_eq!(question(&[]), Question { grants: Vec::new(), needs_hosts: false });
    }
}

//! `pointsman skill`: what there is, installing, changing, trying, signing. Asked of the gateway that runs, or done on the data
//! folder where none does; printed alike.
//!
//! Nothing is decided here but what to ask of the user: whether a change is made is the skill room's business.

mod desk;
mod install;
mod print;
mod sign;
pub mod source;
mod test;
mod tried;

use super::Success;
use super::args::{Global, Skill, Trust};
use super::output::{Output, patiently};
use crate::admin::keeper::Change;
use crate::admin::view::SkillInFull;
use crate::id::SkillName;
use desk::Desk;

/// Does what is asked.
pub(super) async fn run(global: &Global, command: Skill, output: &mut Output) -> anyhow::Result<Success> {
    match command {
        Skill::Sign(order) => sign::run(global, &order, output).await?,
        Skill::Test { component, cases } => return test::run(&component, &cases, output).await,
        Skill::Install(order) => return install::install(global, order, output).await,
        Skill::Upgrade(order) => return install::upgrade(global, order, output).await,
        Skill::Trust(order) => trust(global, order, output).await?,
        Skill::Shadow(order) => tried::shadow(global, order, output).await?,
        Skill::Replay(order) => tried::replay(global, order, output).await?,
        Skill::List => {
            let skills = Desk::look_in(global).await?.list().await?;
            output.value(&skills, || print::list(&skills.skills));
        }
        Skill::Show { name } => {
            let shown = Desk::look_in(global).await?.show(&SkillName::new(name)).await?;
            output.value(&shown, || print::shown(&shown));
        }
        Skill::Remove { name } => {
            let removed = Desk::open(global).await?.remove(&SkillName::new(name)).await?;
            output.value(&removed, || print::removed(&removed));
        }
        Skill::Enable { name } => return change(global, name, Change::Enable, output).await,
        Skill::Disable { name } => return change(global, name, Change::Disable, output).await,
        Skill::Rollback { name } => return change(global, name, Change::Rollback, output).await,
        Skill::Grant(it) => return change(global, it.name, Change::Grant(it.grants), output).await,
        Skill::Revoke(it) => return change(global, it.name, Change::Revoke(it.grants), output).await,
    }
    Ok(Success::Yes)
}

async fn change(
    global: &Global,
    name: String,
    change: Change,
    output: &mut Output,
) -> anyhow::Result<Success> {
    let desk = Desk::open(global).await?;
    let name = SkillName::new(name);
    let waiting = format!("{}: {name}", change.as_str());
    let changed = patiently(output, waiting, desk.change(&name, &change)).await?;
    output.value(&changed, || print::changed(&change, &changed));
    Ok(success(&changed))
}

/// A skill that was changed and cannot be used is no success.
fn success(changed: &SkillInFull) -> Success {
    if changed.skill.problem.is_some() { Success::No } else { Success::Yes }
}

async fn trust(global: &Global, order: Trust, output: &mut Output) -> anyhow::Result<()> {
    let trusted = match (order.signer, order.key, order.remove) {
        (Some(signer), Some(key), _) => Desk::open(global).await?.trust(&signer, key).await?,
        (_, _, Some(signer)) => Desk::open(global).await?.untrust(&signer).await?,
        _ => Desk::look_in(global).await?.trusted().await?,
    };
    output.value(&trusted, || print::trusted(&trusted));
    Ok(())
}

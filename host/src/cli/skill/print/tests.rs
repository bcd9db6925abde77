//! What people read, without its colours.

use super::*;
use crate::admin::view::Waiting;

fn plain(lines: &[String]) -> String {
    anstream::adapter::strip_str(&lines.join("\n")).to_string()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn skill(state: &str) -> Skill {
    Skill {
        name: "tool-router".to_owned(),
        version: "1.2.0".to_owned(),
        description: "Routes by tool.".to_owned(),
        state: state.to_owned(),
        priority: 50,
        grants: texts(&["models"]),
        source: "installed from /x.wasm".to_owned(),
        ..Skill::default()
    }
}

fn version(version: &str, active: bool) -> SkillVersion {
    SkillVersion {
        digest: format!("sha256:{}", "ab".repeat(32)),
        version: version.to_owned(),
        source: "/x.wasm".to_owned(),
        active,
        ..SkillVersion::default()
    }
}

fn in_full(skill: Skill) -> SkillInFull {
    let pending = skill
        .waits
        .as_ref()
        .map(|waiting| Waiting { version: version(waiting, false), wants: texts(&["residency", "http"]) });
    SkillInFull {
        skill,
        pending,
        versions: vec![version("1.1.0", false), version("1.2.0", true)],
        ..SkillInFull::default()
    }
}

#[test]
fn the_list_has_a_line_each_and_the_news_below() {
    let waiting = Skill { waits: Some("1.3.0".to_owned()), ..skill("active") };
    let failed =
        Skill { problem: Some("is not WebAssembly".to_owned()), version: String::new(), ..skill("failed") };
    let text = plain(&list(&[waiting, failed]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "tool-router  1.2.0    active  50        models   -       /x.wasm");
    assert!(lines[3].starts_with("waits tool-router 1.3.0 asks for more than 1.2.0: "), "{text}");
    assert!(lines[4].starts_with("failed tool-router is not WebAssembly; "), "{text}");
}

#[test]
fn a_page_has_the_versions_newest_first() {
    let text = plain(&shown(&in_full(Skill { waits: Some("1.3.0".to_owned()), ..skill("active") })));
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part:?} is missing in\n{text}"));
    assert!(place("tool-router 1.2.0: Routes by tool.") < place("may use"));
    assert!(place("in use  abababababab") < place("1.1.0"));
    assert!(text.contains("nobody"), "{text}");
    assert!(text.contains("1.3.0 asks for residency, http"), "{text}");
    assert!(text.contains("`pointsman skill grant tool-router residency http=HOST`"), "{text}");
}

#[test]
fn what_became_of_an_installation_names_what_to_do() {
    let installed = |outcome: &str, skill: Skill, is_here| {
        let look = Looked { name: skill.name.clone(), version: "1.3.0".to_owned(), ..Looked::default() };
        plain(&super::installed(
            &Installed { outcome: outcome.to_owned(), look, skill: in_full(skill) },
            is_here,
        ))
    };
    let now = skill("active");
    assert_eq!(installed("activated", now.clone(), false), "ok tool-router 1.3.0 is in use from now on");
    assert!(installed("activated", now.clone(), true).ends_with("the gateway uses it when it starts"));
    assert!(installed("unchanged", now.clone(), false).contains("in use already"));
    assert!(
        installed("activated", skill("disabled"), false).contains("`pointsman skill enable tool-router`")
    );
    let denied = Skill { denied: texts(&["http"]), ..now.clone() };
    assert!(installed("activated", denied, false).contains("`pointsman skill grant tool-router http=HOST`"));
    let waiting = Skill { waits: Some("1.3.0".to_owned()), ..now };
    let text = installed("waits", waiting, false);
    assert!(text.starts_with("waits ") && text.contains("`pointsman skill upgrade tool-router`"), "{text}");
}

#[test]
fn changes_say_what_is_so_now() {
    let changed = |change: Change, skill: Skill| plain(&super::changed(&change, &in_full(skill)));
    assert_eq!(changed(Change::Disable, skill("disabled")), "ok tool-router is switched off");
    assert_eq!(changed(Change::Enable, skill("active")), "ok tool-router 1.2.0 is switched on");
    assert_eq!(changed(Change::Rollback, skill("active")), "ok tool-router 1.2.0 is in use from now on");
    assert_eq!(changed(Change::Grant(Vec::new()), skill("active")), "ok tool-router 1.2.0 may use: models");
    assert!(changed(Change::Approve, skill("disabled")).contains("switched off"));
    let broken = Skill { problem: Some("does not compile".to_owned()), ..skill("failed") };
    assert_eq!(changed(Change::Enable, broken), "failed tool-router: it does not compile");
    let bundled = Removed { removed: "x".to_owned(), skill: Some(in_full(skill("active"))) };
    assert!(plain(&removed(&bundled)).contains("in use under that name again"));
    assert!(plain(&trusted(&Trusted::default())).starts_with("nobody's"));
}

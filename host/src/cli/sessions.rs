//! `pointsman sessions` and `pointsman use`: the conversations, and which model people want in them. Asked of the running
//! gateway alone: conversations are its memory, and nobody's without it.

use std::time::Duration;

use anyhow::Context as _;

use super::args::{Global, Sessions, Use};
use super::client::{Patience, escaped};
use super::output::{FAINT, GOOD, Output, STRONG, paint, table};
use super::{Success, client};
use crate::admin::view::{self, Reset, Session, UseOrder, Used};

/// What stands for the default on the command line.
const DEFAULT: &str = "default";

/// `sessions`
pub(super) async fn run(global: &Global, command: Sessions, output: &mut Output) -> anyhow::Result<Success> {
    let gateway = client(global).await?;
    match command {
        Sessions::List => {
            let sessions: view::Sessions = gateway.get("sessions").await?;
            output.value(&sessions, || listing(&sessions));
        }
        Sessions::Show { key } => {
            let session: Session = gateway.get(&format!("sessions/{}", escaped(&key))).await?;
            output.value(&session, || shown(&session));
        }
        Sessions::Reset { key } => {
            let reset: Reset = gateway.delete(&format!("sessions/{}", escaped(&key))).await?;
            output.value(&reset, || vec![format!("{} {} is forgotten", paint(GOOD, "ok"), reset.reset)]);
        }
    }
    Ok(Success::Yes)
}

/// `use`
pub(super) async fn pick(global: &Global, order: Use, output: &mut Output) -> anyhow::Result<Success> {
    let gateway = client(global).await?;
    let model = (order.model != DEFAULT).then_some(order.model);
    let order =
        serde_json::to_vec(&UseOrder { model, session: order.session }).context("the request's body")?;
    let used: Used = gateway.post("use", order, Patience::Short).await?;
    output.value(&used, || vec![picked(&used)]);
    Ok(Success::Yes)
}

fn picked(used: &Used) -> String {
    let whose = match &used.session {
        Some(session) => format!("the conversation {session}"),
        None => "every conversation".to_owned(),
    };
    let ok = paint(GOOD, "ok");
    match &used.model {
        Some(model) => format!("{ok} {whose} uses {model} from now on"),
        None => format!("{ok} {whose} uses the default again"),
    }
}

fn listing(sessions: &view::Sessions) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(sessions.picked_for_all.as_ref().map(|model| {
        format!("every conversation uses {model}; `pointsman use default` returns to the default")
    }));
    if sessions.sessions.is_empty() {
        lines.push("no conversation is remembered".to_owned());
        return lines;
    }
    let head = ["SESSION", "ASKS FOR", "PICKED", "HELD BY", "IDLE"].map(str::to_owned).to_vec();
    let row = |it: &Session| {
        vec![
            plain(&it.session),
            named(&it.requested),
            dash(it.picked.as_deref()),
            dash(held(it).as_deref()),
            idle(it),
        ]
    };
    lines.extend(table(&std::iter::once(head).chain(sessions.sessions.iter().map(row)).collect::<Vec<_>>()));
    lines
}

fn shown(session: &Session) -> Vec<String> {
    let field = |name: &str, text: &str| format!("  {}  {text}", paint(FAINT, format_args!("{name:<9}")));
    let mut lines = vec![paint(STRONG, plain(&session.session))];
    lines.push(field("asks for", &named(&session.requested)));
    lines.extend(session.picked.as_ref().map(|model| field("picked", model)));
    lines.extend(held(session).map(|held| field("held by", &held)));
    lines.push(field("idle", &idle(session)));
    if let (Some(last), Some(request)) = (&session.last, &session.last_request) {
        lines.push(field("last", &format!("{last} (`pointsman why {request}`)")));
    }
    lines
}

fn held(session: &Session) -> Option<String> {
    session.held.as_ref().map(|held| format!("{}: {}", held.skill, held.reason))
}

fn named(requested: &str) -> String {
    if requested.is_empty() { "no model by name".to_owned() } else { plain(requested) }
}

/// What clients call things, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

fn idle(session: &Session) -> String {
    humantime::format_duration(Duration::from_secs(session.idle_ms / 1_000)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::view::HeldRoute;

    fn text(lines: &[String]) -> String {
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    #[test]
    fn a_conversation_is_one_row_and_one_page() {
        let session = Session {
            session: "agent:main".to_owned(),
            requested: String::new(),
            picked: Some("lmstudio/acme/owl".to_owned()),
            held: Some(HeldRoute { skill: "tool-router".to_owned(), reason: "edit".to_owned() }),
            idle_ms: 61_500,
            last_request: Some("r1".to_owned()),
            last: Some("no skill decided → owl".to_owned()),
        };
        let sessions = view::Sessions { picked_for_all: None, sessions: vec![session.clone()] };
        let row = "agent:main  no model by name  lmstudio/acme/owl  tool-router: edit  1m 1s";
        assert_eq!(text(&listing(&sessions)).lines().nth(1), Some(row));
        let page = text(&shown(&session));
        assert!(page.contains("no skill decided → owl (`pointsman why r1`)"), "{page}");
        assert_eq!(text(&listing(&view::Sessions::default())), "no conversation is remembered");
    }

    #[test]
    fn a_pick_says_for_whom() {
        let used = |model: Option<&str>, session: Option<&str>| {
            text(&[picked(&Used { model: model.map(str::to_owned), session: session.map(str::to_owned) })])
        };
        assert_eq!(used(Some("m"), None), "ok every conversation uses m from now on");
        assert_eq!(used(None, Some("s")), "ok the conversation s uses the default again");
    }
}

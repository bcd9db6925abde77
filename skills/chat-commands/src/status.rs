//! `skills` and `why`: what the gateway says of its skills and of the last request, for people.

use pointsman_sdk::activity::{self, SkillInfo};

use crate::markdown::{ANSWER_BYTES_MAX, bounded, code, count, sentence};

/// Bytes for the note that some skills are left out.
const NOTE_BYTES_MAX: usize = 64;

/// The fact in which the host says what is wrong with a skill.
const REASON: &str = "reason";

/// The installed skills, one line each.
pub(crate) fn skills(skills: &[SkillInfo]) -> String {
    if skills.is_empty() {
        return "The gateway shows no skills: this one was not granted `activity`.".to_owned();
    }
    let mut answer = String::new();
    for (shown, skill) in skills.iter().enumerate() {
        let line = line(skill);
        if answer.len() + line.len() + NOTE_BYTES_MAX > ANSWER_BYTES_MAX {
            let more = count(skills.len() - shown, "more skill");
            return format!("{answer}\nand {more}.");
        }
        answer.push_str(&line);
        answer.push('\n');
    }
    answer.trim_end().to_owned()
}

/// Why the conversation's last request went where it went.
pub(crate) fn why(session: &str) -> String {
    match activity::explain(session) {
        Ok(markdown) => bounded(markdown, "cut here; `pointsman why` says all of it"),
        Err(error) => format!("There is no telling why: {}.", sentence(&error.message)),
    }
}

fn line(skill: &SkillInfo) -> String {
    let version =
        if skill.version.is_empty() { String::new() } else { format!(" {}", sentence(&skill.version)) };
    let told = skill.extra.iter().find(|(name, text)| name == REASON && !text.trim().is_empty());
    let reason = told.map(|(_, text)| sentence(text)).or_else(|| of_state(&skill.state).map(str::to_owned));
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("- {}{version}, {}{reason}", code(&skill.name), sentence(&skill.state))
}

/// What a state says by itself of why a skill is not at work.
fn of_state(state: &str) -> Option<&'static str> {
    match state {
        "disabled" => Some("switched off in the configuration"),
        "failed" => Some("it could not be started"),
        "quarantined" => Some("it failed too often"),
        _ => None,
    }
}

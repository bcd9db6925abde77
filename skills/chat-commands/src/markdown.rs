//! Answers that are Markdown and read well where nobody renders it.
//!
//! Names stand in backticks; what others wrote is made one line that draws no links, pictures or tags. Everything is
//! bounded in bytes. Knows nothing of models or skills.

/// Bytes of an answer: a screen or two, and far below what a message may have anywhere.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 << 10;

/// Bytes of a name that are shown: as long as a model's name may be.
const NAME_BYTES_MAX: usize = 256;

/// Bytes of a sentence that someone else wrote.
const SENTENCE_BYTES_MAX: usize = 400;

/// A name in as many backticks as it takes.
pub(crate) fn code(name: &str) -> String {
    let name = one_line(name, NAME_BYTES_MAX);
    let longest = name.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{name}{pad}{fence}")
}

/// What someone else wrote, as one line without a full stop. Names in backticks stay as they are.
pub(crate) fn sentence(text: &str) -> String {
    let mut line = one_line(text, SENTENCE_BYTES_MAX);
    if line.matches('`').count() % 2 == 1 {
        line = line.replace('`', "'");
    }
    let mut shown = String::with_capacity(line.len());
    let mut in_code = false;
    for c in line.trim_end_matches('.').chars() {
        in_code ^= c == '`';
        if !in_code && matches!(c, '[' | '<' | '*') {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

/// The answer, cut after a line if it is too long, with a last line that says so.
pub(crate) fn bounded(answer: String, cut: &str) -> String {
    if answer.len() <= ANSWER_BYTES_MAX {
        return answer;
    }
    let note = format!("\n\n({cut})");
    let kept = beginning(&answer, ANSWER_BYTES_MAX.saturating_sub(note.len()));
    let kept = kept.rsplit_once('\n').map_or(kept, |(lines, _)| lines);
    format!("{}{note}", kept.trim_end())
}

/// A number of things: `1 model`, `2 models`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Without control characters, line breaks and marks that make a line read backwards.
fn one_line(text: &str, bytes_max: usize) -> String {
    let unsafe_here = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let text = text.trim();
    let kept = beginning(text, bytes_max);
    let mut line: String = kept.chars().map(|c| if unsafe_here(c) { ' ' } else { c }).collect();
    if kept.len() < text.len() {
        line.push('…');
    }
    line
}

/// At most so many bytes, whole characters.
fn beginning(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_backticks() {
        assert_eq!(code("acme/otter_8b*"), "`acme/otter_8b*`");
        assert_eq!(code("a`b"), "`` a`b ``");
        assert_eq!(code("``"), "``` `` ```");
        assert_eq!(code("a\n# b"), "`a # b`");
        assert_eq!(code(&"ä".repeat(200)).len(), NAME_BYTES_MAX + "`…`".len());
    }

    #[test]
    fn what_others_wrote_is_one_harmless_line() {
        let denied = "`sessions` is not granted; add it to `grants` of `[skills.x]`.";
        assert_eq!(sentence(denied), denied.trim_end_matches('.'));
        assert_eq!(sentence("![x](http://x)\n<b> *it*"), "!\\[x](http://x) \\<b> \\*it\\*");
        assert_eq!(sentence("don`t [x]"), "don't \\[x]");
        assert!(sentence(&"long ".repeat(200)).ends_with('…'));
    }

    #[test]
    fn a_long_answer_is_cut_after_a_line() {
        let long = "äöü line\n".repeat(2000);
        let cut = bounded(long, "cut");
        assert!(cut.len() <= ANSWER_BYTES_MAX && cut.len() > ANSWER_BYTES_MAX - 30);
        assert!(cut.ends_with("äöü line\n\n(cut)"));
        assert!(bounded("ä".repeat(9000), "cut").len() <= ANSWER_BYTES_MAX);
        assert_eq!(bounded("short".to_owned(), "cut"), "short");
    }
}

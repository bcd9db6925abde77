//! Texts that come from guests and are shown to people: one line, bounded, nothing that a terminal obeys.

/// Bytes of a guest's text that are shown.
pub(super) const SHOWN_BYTES_MAX: usize = 600;

/// The text as one line: control characters and those that reorder a line are gone, what is too long ends in an
/// ellipsis.
pub(super) fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
    let kept = text.get(..end).unwrap_or_default();
    let mut line: String =
        kept.chars().map(|c| if c == '\n' { ' ' } else { c }).filter(|c| !is_unsafe(*c)).collect();
    if end < text.len() {
        line.push('…');
    }
    line.trim().to_owned()
}

/// Control characters, line and paragraph separators, and the marks that make a line read backwards.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_as_one_safe_line() {
        assert_eq!(shown(" two\nlines\u{1b}[31m \u{202E}back "), "two lines[31m back");
        assert_eq!(shown(&"ä".repeat(400)).len(), SHOWN_BYTES_MAX + '…'.len_utf8());
    }
}

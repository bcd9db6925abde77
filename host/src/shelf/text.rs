//! Texts from elsewhere that go into the shelf's files, where a line is a line.

/// The text can stand on a line of its own and be shown: no control characters, no separators of lines, no marks that
/// make it read backwards.
pub(super) fn is_line(text: &str) -> bool {
    let marks = |c| matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    !text.contains(|c: char| c.is_control() || marks(c))
}

/// The beginning of a text, so many bytes at most.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        for (bytes_max, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "aä"), (4, "aäb"), (9, "aäb")] {
            assert_eq!(cut("aäb", bytes_max), expected);
        }
    }

    #[test]
    fn a_line_is_one_line() {
        assert!(is_line("") && is_line("Jörg <j@example.com>"));
        for text in ["a\nb", "a\r", "\t", "\u{1b}[2J", "\u{2028}", "\u{85}", "\u{202E}"] {
            assert!(!is_line(text), "{text:?}");
        }
    }
}

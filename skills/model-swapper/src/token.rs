//! Words of a text, as the word lists see them: folded, with quotations, code and file names already set apart.
//!
//! Folding forgets case, accents and spelling variants that people leave out; every Han and Kana character is a word of
//! its own, because those scripts do not put spaces between words. Bounded by the budget of [`scan`]: a long text is
//! never read whole. Knows no language.

/// Bytes outside quotations that one scan reads.
pub(crate) const SCAN_MAX: usize = 700;

/// Lines that one scan reads.
const LINES_MAX: usize = 3;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A word, or one character of a script without spaces.
    Word,
    /// A quotation, marks included.
    Quote,
    /// Code, a file name, an address: never a word of a request.
    Code,
    /// `.`, `!`, `?`, `:`, `,` or the end of a line, folded to ASCII.
    Mark(char),
}

/// One token of a text.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// The folded word, or quotation; empty for everything else.
    pub(crate) word: String,
    /// Bytes of the original text.
    pub(crate) start: usize,
    /// End of those bytes.
    pub(crate) end: usize,
}

/// Reads tokens from `start` on, over at most [`LINES_MAX`] lines and [`SCAN_MAX`] bytes outside quotations.
pub(crate) fn scan(text: &str, start: usize) -> Vec<Token> {
    let mut scan = Scan { text, at: start, tokens: Vec::new() };
    let (mut budget, mut lines) = (SCAN_MAX, LINES_MAX);
    while let Some(c) = scan.rest().chars().next() {
        let before = scan.at;
        let quoted = scan.step(c);
        if !quoted {
            budget = budget.saturating_sub(scan.at - before);
        }
        if c == '\n' && scan.tokens.len() > 1 {
            lines -= 1;
        }
        if budget == 0 || lines == 0 {
            break;
        }
    }
    scan.tokens
}

/// Appends the words of a phrase from a word list, with a space between them. `~`, a trailing `*` and `{}` are kept as they
/// are.
pub(crate) fn phrase(text: &str, words: &mut String) {
    let start = words.len();
    for chunk in text.split_whitespace() {
        begin_word(words, start);
        for c in chunk.chars() {
            if c.is_ascii_alphanumeric() {
                words.push(c.to_ascii_lowercase());
            } else if stands_alone(c) {
                begin_word(words, start);
                words.push(c);
                words.push(' ');
            } else if matches!(c, '*' | '~' | '{' | '}') {
                words.push(c);
            } else if is_word(c) || is_inner(c) {
                fold(c, words);
            }
        }
    }
    if words.len() > start && words.ends_with(' ') {
        words.pop();
    }
}

fn begin_word(words: &mut String, start: usize) {
    if words.len() > start && !words.ends_with(' ') {
        words.push(' ');
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn previous(&self) -> Option<char> {
        self.text.get(..self.at).and_then(|before| before.chars().next_back())
    }

    /// Takes one token, or skips one character; says whether it was a quotation.
    fn step(&mut self, c: char) -> bool {
        if let Some(end) = quotation(self.rest(), self.previous()) {
            let kind = if c == '`' { self.code_or_quote(end) } else { Kind::Quote };
            self.push(kind, end);
            return true;
        }
        if let Some(mark) = mark(c, self.rest(), self.previous()) {
            self.push(Kind::Mark(mark), c.len_utf8());
        } else if stands_alone(c) {
            self.push(Kind::Word, c.len_utf8());
        } else if is_word(c) || matches!(c, '/' | '.' | '_' | '-' | '~' | '<' | '#' | '@' | '$') {
            self.chunk();
        } else {
            self.at += c.len_utf8();
        }
        false
    }

    /// Backticks quote text as well as code; with a space or a letter beyond ASCII, and no code sign, it is text.
    fn code_or_quote(&self, length: usize) -> Kind {
        let inner = self.rest().get(1..length.saturating_sub(1)).unwrap_or_default();
        let prose = inner.contains(' ') || !inner.is_ascii();
        if prose && !inner.contains(['(', '{', '=', ';', '/', '<']) { Kind::Quote } else { Kind::Code }
    }

    /// A run up to the next space, character of an unspaced script, or mark: a word, or something that is none.
    fn chunk(&mut self) {
        let rest = self.rest();
        let run = rest
            .char_indices()
            .find(|&(at, c)| {
                c.is_whitespace() || stands_alone(c) || ends_chunk(c, rest.get(at..).unwrap_or_default())
            })
            .map_or(rest.len(), |(at, _)| at)
            .max(rest.chars().next().map_or(1, char::len_utf8));
        let chunk = rest.get(..run).unwrap_or_default();
        if is_code(chunk) {
            self.push(Kind::Code, run);
            return;
        }
        let (start, mut from) = (self.at, 0);
        for word in chunk.split(|c: char| !(is_word(c) || is_inner(c))) {
            let at = chunk.get(from..).and_then(|tail| tail.find(word)).map_or(from, |found| found + from);
            self.at = start + at;
            let trimmed = word.trim_end_matches(is_inner);
            if !trimmed.is_empty() && trimmed.chars().any(is_word) {
                self.push(Kind::Word, trimmed.len());
            }
            from = at + word.len();
        }
        self.at = start + run;
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let (start, end) = (self.at, self.at + length);
        let mut word = String::new();
        if matches!(kind, Kind::Word | Kind::Quote) {
            self.text.get(start..end).unwrap_or_default().chars().for_each(|c| fold(c, &mut word));
        }
        self.tokens.push(Token { kind, word, start, end });
        self.at = end;
    }
}

/// The length of the quotation that begins here, marks included. Single marks quote within a line only, and only where
/// they cannot be apostrophes.
fn quotation(rest: &str, previous: Option<char>) -> Option<usize> {
    let open = rest.chars().next()?;
    let closers: &[char] = match open {
        '"' | '＂' => &['"', '＂'],
        '“' => &['”', '“'],
        '„' => &['“', '”', '"'],
        '”' => &['”'],
        '«' => &['»'],
        '»' => &['«'],
        '‹' => &['›'],
        '「' => &['」'],
        '『' => &['』'],
        '《' => &['》'],
        '`' => &['`'],
        '‘' => &['’'],
        '‚' => &['‘', '’'],
        '\'' => &['\''],
        _ => return None,
    };
    let single = matches!(open, '\'' | '‘' | '‚' | '`');
    if single && previous.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        let after = rest.get(at + c.len_utf8()..).and_then(|tail| tail.chars().next());
        if single && c == '\n' {
            return None;
        }
        let apostrophe =
            single && open != '`' && after.is_some_and(|next| next.is_alphanumeric() && !stands_alone(next));
        if closers.contains(&c) && !escaped && !apostrophe {
            return (at > open.len_utf8()).then_some(at + c.len_utf8());
        }
        escaped = c == '\\';
    }
    None
}

/// The mark that this character is, where it is one: a full stop inside a word or a colon inside a time is none.
fn mark(c: char, rest: &str, previous: Option<char>) -> Option<char> {
    let next = rest.chars().nth(1);
    match c {
        '\n' => Some('\n'),
        '。' | '．' | '…' | '।' => Some('.'),
        '！' => Some('!'),
        '？' | '؟' => Some('?'),
        '：' => Some(':'),
        '，' | '、' | '،' | ';' | '；' | '—' | '–' => Some(','),
        // People end sentences with them.
        '\u{1f300}'..='\u{1faff}' => next.is_none_or(char::is_whitespace).then_some('.'),
        '!' | '?' | ',' => Some(c),
        '.' => next.is_none_or(|next| next.is_whitespace() || matches!(next, '"' | '.')).then_some('.'),
        ':' => (!rest.starts_with("://") && (!digit(previous) || !digit(next))).then_some(':'),
        '-' => {
            (next.is_none_or(char::is_whitespace) && previous.is_none_or(char::is_whitespace)).then_some(',')
        }
        _ => None,
    }
}

fn digit(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_ascii_digit())
}

/// Characters that end a run of word characters. A full stop or colon does only at the run's end.
fn ends_chunk(c: char, rest: &str) -> bool {
    match c {
        '.' => rest
            .chars()
            .nth(1)
            .is_none_or(|next| next.is_whitespace() || matches!(next, '"' | '\'' | ')' | '.')),
        ':' => !rest.starts_with("://"),
        '"' | '“' | '”' | '„' | '«' | '»' | '「' | '」' | '`' | ',' | '!' | '?' | ';' | '…' | '।' | '؟'
        | '،' | '—' => true,
        _ => matches!(c, '：' | '，' | '。' | '！' | '？' | '、' | '；' | '（' | '）'),
    }
}

/// A path, a file name, an address, an identifier, a call, a command-line flag.
fn is_code(chunk: &str) -> bool {
    let chunk = chunk.trim_start_matches(['(', '"', '\'']).trim_end_matches([')', '"', '\'']);
    let inner_dot =
        chunk.split('.').nth(1).is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_alphanumeric()))
            && chunk.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.');
    let slash = chunk.trim_matches('/').contains('/') && chunk.is_ascii()
        || chunk.starts_with('/')
        || chunk.starts_with("./")
        || chunk.contains('\\');
    let camel = chunk
        .chars()
        .zip(chunk.chars().skip(1))
        .any(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase());
    inner_dot
        || slash
        || camel
        || chunk.contains("://")
        || chunk.contains('_')
        || chunk.contains("()")
        || chunk.contains("::")
        || chunk.starts_with("--")
        || chunk.starts_with(['<', '#', '@', '$', '{'])
        || chunk.contains(['(', '{', '=', '<'])
}

/// Scripts without spaces, where each character stands for itself, and the arrow, which people write for "into".
pub(crate) fn stands_alone(c: char) -> bool {
    matches!(c, '→' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

/// Letters, digits, and the vowel signs of Indian and Arabic scripts, which are no letters to Unicode.
fn is_word(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '\u{0300}'..='\u{036f}' | '\u{0610}'..='\u{061a}' | '\u{064b}'..='\u{065f}' | '\u{0900}'..='\u{0963}' | '\u{0980}'..='\u{0d7f}' | '\u{0e30}'..='\u{0e4e}')
}

/// Signs that join two halves of a word.
fn is_inner(c: char) -> bool {
    matches!(c, '\'' | '’' | '-' | '\u{2011}')
}

/// Appends the character as the word lists have it.
fn fold(c: char, word: &mut String) {
    let plain = match c {
        '\0'..='\x7f' => c.to_ascii_lowercase(),
        '\u{0300}'..='\u{036f}'
        | '\u{093c}'
        | '\u{0610}'..='\u{061a}'
        | '\u{064b}'..='\u{0652}'
        | '\u{0640}' => return,
        '’' => '\'',
        '\u{2011}' => '-',
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ą' | 'À' | 'Á' | 'Â' | 'Ã' | 'Ä' | 'Å' | 'Ą' => {
            'a'
        }
        'è' | 'é' | 'ê' | 'ë' | 'ę' | 'È' | 'É' | 'Ê' | 'Ë' | 'Ę' => 'e',
        'ì' | 'í' | 'î' | 'ï' | 'ı' | 'İ' | 'Ì' | 'Í' | 'Î' | 'Ï' => 'i',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ö' => 'o',
        'ù' | 'ú' | 'û' | 'ü' | 'Ù' | 'Ú' | 'Û' | 'Ü' => 'u',
        'ç' | 'ć' | 'č' | 'Ç' | 'Ć' | 'Č' => 'c',
        'ñ' | 'ń' | 'Ñ' | 'Ń' => 'n',
        'ł' | 'Ł' => 'l',
        'ś' | 'ş' | 'š' | 'Ś' | 'Ş' | 'Š' => 's',
        'ź' | 'ż' | 'ž' | 'Ź' | 'Ż' | 'Ž' => 'z',
        'ğ' | 'Ğ' => 'g',
        'ß' => return word.push_str("ss"),
        'ё' | 'Ё' => 'е',
        'أ' | 'إ' | 'آ' => 'ا',
        'ى' => 'ي',
        'ة' => 'ه',
        '\u{0958}' => 'क',
        '\u{095b}' => 'ज',
        '\u{095c}' => 'ड',
        '\u{095d}' => 'ढ',
        '\u{095e}' => 'फ',
        _ => return word.extend(c.to_lowercase()),
    };
    word.push(plain);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, String)> {
        scan(text, 0)
            .into_iter()
            .map(|token| (token.kind, text.get(token.start..token.end).unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn quotations_code_and_names_are_set_apart() {
        let found = kinds("Don't translate(x) 'a b' in src/main.rs, Straße: “Hé”");
        let expected = [
            (Kind::Word, "Don't"),
            (Kind::Code, "translate(x)"),
            (Kind::Quote, "'a b'"),
            (Kind::Word, "in"),
            (Kind::Code, "src/main.rs"),
            (Kind::Mark(','), ","),
            (Kind::Word, "Straße"),
            (Kind::Mark(':'), ":"),
            (Kind::Quote, "“Hé”"),
        ];
        assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn unspaced_scripts_are_read_character_by_character_and_folding_forgets_accents() {
        assert_eq!(kinds("翻译成English吧").len(), 5);
        let words: Vec<_> =
            scan("Übersetze Français İngilizce", 0).into_iter().map(|token| token.word).collect();
        assert_eq!(words, ["ubersetze", "francais", "ingilizce"]);
        let mut words = "kept ".to_owned();
        phrase("Comment dit-on «翻译{}版»", &mut words);
        assert_eq!(words, "kept comment dit-on 翻 译 {} 版");
    }
}

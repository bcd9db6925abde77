//! Languages: the codes a translation model takes, their English names, and telling one from another.
//!
//! The table is TranslateGemma's (55 languages and regional forms). Detection is by statistics on the text; short texts
//! are guesses and are said to be. Which language a user names is found by the word lists, not here.

use whatlang::{Detector, Lang};

/// A language that the specialists know: an index into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(u8);

/// Bytes of a text that are enough to tell its language.
const SAMPLE_MAX: usize = 400;

/// Bytes from which a text in a script that languages share can be told for sure.
const SURE_MIN: usize = 40;

const TABLE: [(&str, &str); 57] = [
    ("en", "English"),
    ("de", "German"),
    ("ar", "Arabic"),
    ("bg", "Bulgarian"),
    ("bn", "Bengali"),
    ("ca", "Catalan"),
    ("cs", "Czech"),
    ("da", "Danish"),
    ("el", "Greek"),
    ("es", "Spanish"),
    ("es-MX", "Mexican Spanish"),
    ("et", "Estonian"),
    ("fa", "Persian"),
    ("fi", "Finnish"),
    ("fil", "Filipino"),
    ("fr", "French"),
    ("fr-CA", "Canadian French"),
    ("gu", "Gujarati"),
    ("he", "Hebrew"),
    ("hi", "Hindi"),
    ("hr", "Croatian"),
    ("hu", "Hungarian"),
    ("id", "Indonesian"),
    ("is", "Icelandic"),
    ("it", "Italian"),
    ("ja", "Japanese"),
    ("kn", "Kannada"),
    ("ko", "Korean"),
    ("lt", "Lithuanian"),
    ("lv", "Latvian"),
    ("ml", "Malayalam"),
    ("mr", "Marathi"),
    ("nl", "Dutch"),
    ("no", "Norwegian"),
    ("pa", "Punjabi"),
    ("pl", "Polish"),
    ("pt", "Portuguese"),
    ("pt-BR", "Brazilian Portuguese"),
    ("pt-PT", "European Portuguese"),
    ("ro", "Romanian"),
    ("ru", "Russian"),
    ("sk", "Slovak"),
    ("sl", "Slovenian"),
    ("sr", "Serbian"),
    ("sv", "Swedish"),
    ("sw", "Swahili"),
    ("ta", "Tamil"),
    ("te", "Telugu"),
    ("th", "Thai"),
    ("tr", "Turkish"),
    ("uk", "Ukrainian"),
    ("ur", "Urdu"),
    ("vi", "Vietnamese"),
    ("zh", "Chinese"),
    ("zh-TW", "Traditional Chinese"),
    ("zh-CN", "Simplified Chinese"),
    ("zu", "Zulu"),
];

impl Code {
    /// What is assumed of a text whose language cannot be told.
    pub(crate) const ENGLISH: Self = Self(0);
    /// What is assumed where the target is English.
    pub(crate) const GERMAN: Self = Self(1);

    /// The language with this code, ignoring case; a regional form that is not in the table is its language.
    pub(crate) fn of(code: &str) -> Option<Self> {
        let position = |code: &str| TABLE.iter().position(|(known, _)| known.eq_ignore_ascii_case(code));
        let index = position(code).or_else(|| position(code.split(['-', '_']).next()?))?;
        u8::try_from(index).ok().map(Self)
    }

    /// As the specialists take it: `de`, `pt-BR`.
    pub(crate) fn as_str(self) -> &'static str {
        TABLE.get(usize::from(self.0)).map_or("en", |(code, _)| code)
    }

    /// It puts spaces between words.
    pub(crate) fn is_spaced(self) -> bool {
        !matches!(self.as_str(), "zh" | "zh-TW" | "zh-CN" | "ja" | "th")
    }

    /// In English.
    pub(crate) fn name(self) -> &'static str {
        TABLE.get(usize::from(self.0)).map_or("English", |(_, name)| name)
    }

    /// The same language, whatever the region. Simplified and traditional Chinese are worth a translation.
    pub(crate) fn same_language(self, other: Self) -> bool {
        let base = |code: Self| code.as_str().split('-').next().unwrap_or_default();
        base(self) == base(other) && self.as_str().ends_with("TW") == other.as_str().ends_with("TW")
    }
}

/// What a text's language is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guess {
    /// Sure enough to act on.
    Sure(Code),
    /// Could be.
    Perhaps(Code),
    /// No idea, or none of ours.
    Unknown,
}

/// Tells a text's language.
pub(crate) fn guess(text: &str) -> Guess {
    let end = (0..=SAMPLE_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let sample = text.get(..end).unwrap_or_default();
    let Some(info) = Detector::new().detect(sample) else { return Guess::Unknown };
    let code = code_of(info.lang());
    let own_script = !matches!(
        info.script(),
        whatlang::Script::Latin
            | whatlang::Script::Cyrillic
            | whatlang::Script::Arabic
            | whatlang::Script::Devanagari
            | whatlang::Script::Hebrew
    );
    let enough = sample.len() >= SURE_MIN && info.is_reliable();
    if enough || own_script {
        code.map_or(Guess::Unknown, Guess::Sure)
    } else {
        by_small_words(sample).or(code).map_or(Guess::Unknown, Guess::Perhaps)
    }
}

/// The commonest small words that a language does not share with its neighbours: a sentence of six words gives trigrams
/// too little to go by, but hardly ever does without one of these.
const SMALL_WORDS: [(&str, &[&str]); 7] = [
    (
        "en",
        &[
            "the", "is", "are", "and", "of", "to", "you", "i", "my", "would", "with", "please", "not",
            "this", "that",
        ],
    ),
    (
        "de",
        &[
            "der", "das", "und", "ist", "nicht", "ich", "wir", "ein", "eine", "mit", "bitte", "sie", "auf",
            "zu",
        ],
    ),
    (
        "fr",
        &["le", "les", "et", "est", "je", "vous", "nous", "une", "des", "avec", "pas", "pour", "dans", "il"],
    ),
    ("es", &["el", "los", "y", "es", "está", "yo", "una", "con", "las", "por", "muy", "del", "mi"]),
    ("pt", &["os", "não", "um", "uma", "com", "é", "está", "do", "da", "em", "você", "muito", "são"]),
    ("it", &["il", "è", "gli", "che", "di", "sono", "della", "non", "un", "per", "mi", "una", "questo"]),
    ("nl", &["het", "een", "niet", "ik", "van", "de", "en", "je", "zijn", "wij", "dit", "op"]),
];

/// The language whose small words stand in the text most often; none where none or two are first.
fn by_small_words(text: &str) -> Option<Code> {
    let text = text.to_lowercase();
    let words: Vec<_> = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).collect();
    let count = |small: &[&str]| words.iter().filter(|word| small.contains(word)).count();
    let mut counts: Vec<_> = SMALL_WORDS.iter().map(|(code, small)| (count(small), *code)).collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    match counts.as_slice() {
        [(first, code), (second, _), ..] if first > second => Code::of(code),
        _ => None,
    }
}

fn code_of(lang: Lang) -> Option<Code> {
    let code = match lang.code() {
        "cmn" => "zh",
        "eng" => "en",
        "deu" => "de",
        "fra" => "fr",
        "spa" => "es",
        "por" => "pt",
        "ita" => "it",
        "nld" => "nl",
        "pol" => "pl",
        "tur" => "tr",
        "rus" => "ru",
        "ukr" => "uk",
        "jpn" => "ja",
        "kor" => "ko",
        "hin" => "hi",
        "ara" => "ar",
        "ben" => "bn",
        "bul" => "bg",
        "cat" => "ca",
        "ces" => "cs",
        "dan" => "da",
        "ell" => "el",
        "est" => "et",
        "pes" => "fa",
        "fin" => "fi",
        "tgl" => "fil",
        "guj" => "gu",
        "heb" => "he",
        "hrv" => "hr",
        "hun" => "hu",
        "ind" => "id",
        "kan" => "kn",
        "lit" => "lt",
        "lav" => "lv",
        "mal" => "ml",
        "mar" => "mr",
        "nob" => "no",
        "pan" => "pa",
        "ron" => "ro",
        "slk" => "sk",
        "slv" => "sl",
        "srp" => "sr",
        "swe" => "sv",
        "tam" => "ta",
        "tel" => "te",
        "tha" => "th",
        "urd" => "ur",
        "vie" => "vi",
        "zul" => "zu",
        _ => return None,
    };
    Code::of(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_with_and_without_regions() {
        assert_eq!(Code::of("DE-de").map(Code::as_str), Some("de"));
        assert_eq!(Code::of("pt-br").map(Code::name), Some("Brazilian Portuguese"));
        assert_eq!(Code::of("tlh"), None);
        assert_eq!((Code::ENGLISH.as_str(), Code::GERMAN.as_str()), ("en", "de"));
    }

    #[test]
    fn scripts_of_their_own_are_sure_and_short_latin_is_not() {
        assert_eq!(guess("おはようございます"), Guess::Sure(Code::of("ja").unwrap()));
        assert!(!matches!(guess("chat"), Guess::Sure(_)));
    }

    #[test]
    fn short_sentences_are_told_by_their_small_words() {
        let cases = [
            ("The dog sleeps in the garden.", "en"),
            ("I would like a coffee, please.", "en"),
            ("Der Hund schläft im Garten.", "de"),
            ("Je voudrais un café, avec du lait.", "fr"),
            ("El perro duerme en el jardín.", "es"),
            ("O cachorro não está em casa.", "pt"),
            ("Il cane dorme, non è sveglio.", "it"),
            ("De hond slaapt niet, het is warm.", "nl"),
        ];
        for (text, code) in cases {
            let (Guess::Sure(found) | Guess::Perhaps(found)) = guess(text) else { panic!("{text}: no idea") };
            assert_eq!(found.as_str(), code, "{text}");
        }
    }
}

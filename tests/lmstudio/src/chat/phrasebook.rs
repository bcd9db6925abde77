//! A small phrase book, so that a translation can be seen to be one: a few sentences in several languages.
//!
//! It knows these sentences and no others; that is all a test or a demonstration needs.

/// Codes of the book's languages, in the order of each phrase's columns, with names by which people call them.
const LANGUAGES: &[(&str, &[&str])] = &[
    ("en", &["english", "englisch", "anglais", "inglés"]),
    ("de", &["german", "deutsch", "allemand", "alemán", "deutschen"]),
    ("fr", &["french", "französisch", "français", "francés"]),
    ("es", &["spanish", "spanisch", "espagnol", "español"]),
    ("it", &["italian", "italienisch", "italien", "italiano"]),
    ("ja", &["japanese", "japanisch", "japonais", "日本語"]),
    ("zh", &["chinese", "chinesisch", "chinois", "中文"]),
    ("hi", &["hindi", "हिन्दी"]),
    ("cs", &["czech", "tschechisch", "tchèque", "čeština"]),
];

const PHRASES: &[[&str; 9]] = &[
    [
        "Good morning.",
        "Guten Morgen.",
        "Bonjour.",
        "Buenos días.",
        "Buongiorno.",
        "おはようございます。",
        "早上好。",
        "सुप्रभात।",
        "Dobré ráno.",
    ],
    [
        "Where is the station?",
        "Wo ist der Bahnhof?",
        "Où est la gare ?",
        "¿Dónde está la estación?",
        "Dov'è la stazione?",
        "駅はどこですか。",
        "车站在哪里？",
        "स्टेशन कहाँ है?",
        "Kde je nádraží?",
    ],
    [
        "The weather is nice today.",
        "Das Wetter ist heute schön.",
        "Il fait beau aujourd'hui.",
        "Hoy hace buen tiempo.",
        "Oggi fa bel tempo.",
        "今日はいい天気です。",
        "今天天气很好。",
        "आज मौसम अच्छा है।",
        "Dnes je hezké počasí.",
    ],
    [
        "I would like a coffee, please.",
        "Ich hätte gern einen Kaffee, bitte.",
        "Je voudrais un café, s'il vous plaît.",
        "Quisiera un café, por favor.",
        "Vorrei un caffè, per favore.",
        "コーヒーをお願いします。",
        "请给我一杯咖啡。",
        "मुझे एक कॉफ़ी चाहिए।",
        "Dal bych si kávu, prosím.",
    ],
    [
        "Thank you very much.",
        "Vielen Dank.",
        "Merci beaucoup.",
        "Muchas gracias.",
        "Grazie mille.",
        "どうもありがとうございます。",
        "非常感谢。",
        "बहुत धन्यवाद।",
        "Mockrát děkuji.",
    ],
    [
        "No parking.",
        "Parken verboten.",
        "Stationnement interdit.",
        "Prohibido aparcar.",
        "Divieto di sosta.",
        "駐車禁止。",
        "禁止停车。",
        "पार्किंग निषेध।",
        "Zákaz parkování.",
    ],
    [
        "The dog sleeps in the garden.",
        "Der Hund schläft im Garten.",
        "Le chien dort dans le jardin.",
        "El perro duerme en el jardín.",
        "Il cane dorme in giardino.",
        "犬は庭で寝ています。",
        "狗在花园里睡觉。",
        "कुत्ता बगीचे में सोता है।",
        "Pes spí na zahradě.",
    ],
    [
        "Hello, world!",
        "Hallo, Welt!",
        "Bonjour, le monde !",
        "¡Hola, mundo!",
        "Ciao, mondo!",
        "こんにちは、世界！",
        "你好，世界！",
        "नमस्ते, दुनिया!",
        "Ahoj, světe!",
    ],
];

/// The code of the language a word names, in any of a few languages.
pub(super) fn language(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    LANGUAGES.iter().find(|(_, names)| names.contains(&word.as_str())).map(|(code, _)| *code)
}

/// The book's code for `de-DE`, `DE`, `de`.
pub(super) fn base_code(code: &str) -> Option<&'static str> {
    let base = code.split(['-', '_']).next().unwrap_or_default();
    LANGUAGES.iter().find(|(own, _)| own.eq_ignore_ascii_case(base)).map(|(own, _)| *own)
}

/// The sentence in the target language, and the language it is written in.
pub(super) fn translate(text: &str, target: &str) -> Option<(&'static str, &'static str)> {
    let wanted = bare(text);
    let (phrase, column) = PHRASES.iter().find_map(|phrase| {
        let column = phrase.iter().position(|sentence| bare(sentence) == wanted)?;
        Some((phrase, column))
    })?;
    let source = LANGUAGES.get(column).map(|(code, _)| *code)?;
    Some((sentence_in(phrase, target)?, source))
}

/// Some sentence in that language, the same for the same seed.
pub(super) fn any(seed: usize, target: &str) -> Option<&'static str> {
    sentence_in(PHRASES.get(seed % PHRASES.len())?, target)
}

fn sentence_in(phrase: &'static [&'static str; 9], target: &str) -> Option<&'static str> {
    let target = base_code(target)?;
    let column = LANGUAGES.iter().position(|(code, _)| *code == target)?;
    phrase.get(column).copied()
}

/// Letters and digits alone, in lower case, so that punctuation and spaces do not count.
fn bare(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

//! What a word or phrase can be in a request, by the keys of the lists. What it is there, the sentence decides.

/// What a phrase can be in a request: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Class(u32);

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $bit:literal;)+) => {
        impl Class {
            $($(#[$doc])* pub(crate) const $name: Self = Self(1 << $bit);)+

            /// The class that the lists call so.
            pub(super) fn of(key: &str) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

classes! {
    /// A verb that asks for a translation.
    VERB = "verb", 0;
    /// The thing asked for.
    NOUN = "noun", 1;
    /// "How do you say": a question that is answered by a translation.
    SAY = "say", 2;
    /// A verb that asks for one only together with a language: "put this into French".
    PUT = "put", 3;
    /// What stands around a request without changing it.
    LEAD = "lead", 4;
    /// What turns a sentence into a request of the assistant, where its verb stands last.
    ASK = "ask", 5;
    /// Points at a text, a picture or what follows.
    THIS = "this", 6;
    /// Points at the assistant's last answer.
    BACK = "back", 7;
    /// Names a text.
    TEXT = "text", 8;
    /// Names a picture, or what is pictured.
    PICTURE = "picture", 9;
    /// Wants the result alone.
    ONLY = "only", 10;
    /// Denies.
    NOT = "not", 11;
    /// Another task, a question, or talk about translation.
    TALK = "talk", 12;
    /// What coding agents work on.
    FILE = "file", 13;
    /// Begins the reason for a request.
    ASIDE = "aside", 14;
    /// A verb that asks for the text of a picture.
    READ = "read", 15;
    /// What is read from a picture.
    GLYPHS = "glyphs", 16;
    /// A whole request to read a picture.
    WRITTEN = "written", 17;
    /// Into a language.
    INTO = "into", 18;
    /// Out of a language.
    FROM = "from", 19;
    /// A language.
    BARE = "bare", 20;
    /// A greeting or thanks: before a request it is polite, after its verb it is text.
    GREET = "greet", 21;
    /// Asks what something means.
    MEAN = "mean", 22;
}

impl Class {
    /// None of them.
    pub(crate) const NONE: Self = Self(0);

    /// Either.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets have a class in common.
    pub(crate) fn is(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

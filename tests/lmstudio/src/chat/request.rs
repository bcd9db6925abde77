//! The body of a chat request, read once without copying what need not be copied.
//!
//! Unknown keys are tolerated, as the real server tolerates them here. Only what the emulator acts on is read.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::de::{SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The body.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Request<'a> {
    #[serde(borrow, default)]
    pub(crate) model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) messages: Option<Vec<Message<'a>>>,
    #[serde(default)]
    pub(crate) stream: Option<bool>,
    #[serde(default)]
    pub(crate) stream_options: Option<StreamOptions>,
    #[serde(default)]
    pub(crate) max_tokens: Option<i64>,
    #[serde(default)]
    pub(crate) max_completion_tokens: Option<i64>,
    #[serde(borrow, default)]
    pub(crate) tools: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(crate) tool_choice: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) response_format: Option<ResponseFormat>,
    #[serde(borrow, default)]
    pub(crate) reasoning_effort: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) ttl: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct StreamOptions {
    #[serde(default)]
    pub(crate) include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ResponseFormat {
    #[serde(rename = "type", default)]
    pub(crate) kind: Option<String>,
}

/// One message.
#[derive(Debug, Deserialize)]
pub(crate) struct Message<'a> {
    #[serde(borrow, default)]
    pub(crate) role: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) content: Content<'a>,
    #[serde(borrow, default)]
    pub(crate) tool_calls: Option<&'a RawValue>,
}

/// What a message says.
#[derive(Debug, Default)]
pub(crate) enum Content<'a> {
    #[default]
    Nothing,
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

/// One piece of a message.
#[derive(Debug, Deserialize)]
pub(crate) struct Part<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) image_url: Option<ImageUrl<'a>>,
    /// The template's own word for an image.
    #[serde(borrow, default)]
    pub(crate) image: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) source_lang_code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) target_lang_code: Option<Cow<'a, str>>,
}

/// Where an image is.
#[derive(Debug, Deserialize)]
pub(crate) struct ImageUrl<'a> {
    #[serde(borrow, default)]
    pub(crate) url: Cow<'a, str>,
}

// === impl Request ===

impl<'a> Request<'a> {
    /// Every message; none where there are none.
    pub(crate) fn messages(&self) -> &[Message<'a>] {
        self.messages.as_deref().unwrap_or_default()
    }

    pub(crate) fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub(crate) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|it| it.include_usage).unwrap_or(false)
    }

    /// Tokens the answer may have; negative and absent mean any number.
    pub(crate) fn max_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens).and_then(|max| usize::try_from(max).ok())
    }

    /// Idle time of the instance, where this request has it loaded.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        self.ttl.map(Duration::from_secs)
    }

    /// Every image, wherever in the conversation it stands.
    pub(crate) fn images(&self) -> impl Iterator<Item = &str> {
        self.messages().iter().flat_map(Message::images)
    }
}

// === impl Message ===

impl<'a> Message<'a> {
    pub(crate) fn parts(&self) -> &[Part<'a>] {
        match &self.content {
            Content::Parts(parts) => parts,
            Content::Nothing | Content::Text(_) => &[],
        }
    }

    /// Its texts, in order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let whole = match &self.content {
            Content::Text(text) => Some(text.as_ref()),
            Content::Nothing | Content::Parts(_) => None,
        };
        whole.into_iter().chain(self.parts().iter().filter_map(|part| part.text.as_deref()))
    }

    pub(crate) fn images(&self) -> impl Iterator<Item = &str> {
        self.parts().iter().filter_map(Part::image)
    }
}

// === impl Part ===

impl Part<'_> {
    /// The URL of its image.
    pub(crate) fn image(&self) -> Option<&str> {
        let url = self.image_url.as_ref().map(|image| image.url.as_ref());
        url.or(self.image.as_deref())
    }
}

// === impl Content ===

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of content parts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Content::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
    }
}

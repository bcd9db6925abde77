//! Amounts of memory as people write them: `"24GiB"`, `"800MB"`, or a number of bytes.

use std::num::NonZeroU64;

use bytesize::ByteSize;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// An amount of memory, in bytes; never none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub NonZeroU64);

struct Written;

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl Visitor<'_> for Written {
    type Value = Size;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an amount of memory, as \"24GiB\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
        let bytes = text.parse::<ByteSize>().ok().and_then(|size| NonZeroU64::new(size.as_u64()));
        let wrong = || E::custom(format!("{text:?} is no amount of memory; write \"24GiB\" or \"800MB\""));
        bytes.map(Size).ok_or_else(wrong)
    }

    fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<Size, E> {
        let size = u64::try_from(bytes).ok().and_then(NonZeroU64::new);
        size.map(Size).ok_or_else(|| E::invalid_value(Unexpected::Signed(bytes), &self))
    }
}

impl schemars::JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "integer"], "minimum": 1,
            "description": "An amount of memory: `24GiB`, `800MB`, or a number of bytes."})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        let read = |text: &str| {
            let table: toml::Table = toml::from_str(&format!("it = {text}")).unwrap();
            table["it"].clone().try_into::<Size>().map(|size| size.0.get()).map_err(|error| error.to_string())
        };
        assert_eq!(read("\"24GiB\""), Ok(24 << 30));
        assert_eq!(read("\"1.5 GB\""), Ok(1_500_000_000));
        assert_eq!(read("4096"), Ok(4096));
        for wrong in ["0", "-1", "\"0\"", "\"much\"", "true", "\"-1GB\""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

//! Names of things, as types: a model is not an instance is not a session.
//!
//! All of them are cheap to clone (one shared string), are stored as they are, and say nothing about what they name.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared: for records that outlive what is named.
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::new)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// A model that some provider can serve: `provider/key`. Keys may hold slashes, provider names do not.
    ModelId
}

name! {
    /// What a provider calls a resident model, unique within that provider (`acme/otter-8b:2`).
    InstanceId
}

name! {
    /// One client request, unique within this gateway's life.
    RequestId
}

name! {
    /// One conversation of one client, stable over its requests.
    SessionKey
}

name! {
    /// The name under which a skill is installed.
    SkillName
}

impl ModelId {
    /// Joins a provider's name and its own key for the model.
    pub fn of(provider: &str, key: &str) -> Self {
        Self::new(format!("{provider}/{key}"))
    }

    /// The configured name of the provider: what stands before the first slash.
    pub fn provider(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(provider, _)| provider)
    }

    /// What the provider itself calls the model: all that stands after the first slash.
    pub fn key(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_id_splits_at_its_first_slash() {
        let id = ModelId::of("lmstudio", "acme/otter-8b");
        assert_eq!(
            (id.as_str(), id.provider(), id.key()),
            ("lmstudio/acme/otter-8b", "lmstudio", "acme/otter-8b")
        );
    }
}

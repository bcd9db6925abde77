//! Clients' API keys. Only their digests are kept, so that comparing takes the same time whatever is wrong with a key.

use std::fmt;

use sha2::{Digest, Sha256};

/// Client names and the digests of their keys.
#[derive(Clone, Default)]
pub struct Keys(Vec<(String, [u8; 32])>);

// === impl Keys ===

impl Keys {
    /// Keys by client name.
    pub fn new(keys: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(keys.into_iter().map(|(client, key)| (client, Sha256::digest(key.as_bytes()).into())).collect())
    }

    /// Nobody is asked for a key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The client whose key this is.
    pub fn client(&self, key: &str) -> Option<&str> {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        self.0.iter().find(|(_, known)| *known == digest).map(|(client, _)| client.as_str())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(client, _)| client)).finish()
    }
}

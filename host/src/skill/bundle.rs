//! Skills that ship with the gateway, embedded in it. They are ordinary components: only where they are from differs.

use bytes::Bytes;

use super::compiled::Wasm;
use super::loader::File;
use super::status::Source;
use crate::id::SkillName;

/// A component that is part of the binary.
#[derive(Debug, Clone)]
pub struct Bundled {
    /// The name it goes by.
    pub name: &'static str,
    /// The component.
    pub wasm: Bytes,
}

// === impl Bundled ===

impl Bundled {
    pub(super) fn file(&self) -> File {
        File {
            name: SkillName::new(self.name),
            source: Source::Bundled,
            wasm: Ok(Wasm::Here(self.wasm.clone())),
            digest: None,
        }
    }
}

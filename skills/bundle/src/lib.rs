//! The skills that ship with the gateway, as components in memory.
//!
//! The build script makes them from the sources beside this crate, so a clean clone needs nothing but the toolchain.
//! Bounded by the build: nothing is read at run time, and nothing here knows what a skill does.

/// A skill that ships with the gateway.
#[derive(Debug, Clone, Copy)]
pub struct Bundled {
    /// The name it is installed as.
    pub name: &'static str,
    /// The WebAssembly component.
    pub wasm: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/skills.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_skill_is_a_component() {
        assert!(!SKILLS.is_empty());
        for skill in SKILLS {
            assert_eq!(skill.wasm[..8], *b"\0asm\x0d\0\x01\0", "{}", skill.name);
        }
    }
}

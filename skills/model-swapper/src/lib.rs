//! stub
use pointsman_sdk::{Error, Manifest, Settings, Skill, skill};

/// x
pub struct ModelSwapper;

impl Skill for ModelSwapper {
    fn describe() -> Manifest {
        Manifest::new("model-swapper", env!("CARGO_PKG_VERSION"), "x").reusable()
    }
    fn configure(_: Settings<'_>) -> Result<Self, Error> {
        Ok(Self)
    }
}

skill!(ModelSwapper: request);

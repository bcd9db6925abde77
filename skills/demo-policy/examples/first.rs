//! The first version of the demonstration's policy.

use pointsman_sdk::{Error, Manifest, Settings, Skill, Turn, Verdict, skill};

struct First;

impl Skill for First {
    fn describe() -> Manifest {
        demo_policy::manifest("1.0.0")
    }

    fn configure(_settings: Settings<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn on_request(&self, turn: &Turn) -> Result<Verdict, Error> {
        Ok(demo_policy::verdict(turn, "version 1.0.0: it stays where it is"))
    }
}

skill!(First: request);

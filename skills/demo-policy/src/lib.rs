//! What both versions of the demonstration's policy say: the request goes where it would have gone, and whose decision that
//! was. Asked after every other skill, so that it takes nothing from them.

use pointsman_sdk::{Manifest, Route, Turn, Verdict};

/// Behind every skill that has an opinion of its own.
const PRIORITY: i32 = 1_000;

/// How a version describes itself.
pub fn manifest(version: &str) -> Manifest {
    Manifest::new("demo-policy", version, "Leaves each request where it is, and says that it did")
        .priority(PRIORITY)
        .reusable()
}

/// The request goes where it would have gone, for this reason.
pub fn verdict(turn: &Turn, reason: &str) -> Verdict {
    match turn.current_model.as_str() {
        "" => Verdict::Pass,
        model => Route::to(model).because(reason).into(),
    }
}

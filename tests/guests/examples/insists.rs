//! Refuses to be configured where it may keep nothing.

use guests::prelude::{Error, Lifecycle, Manifest, RequestHook, Turn, Verdict, kv};

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        guests::manifest("insists", true)
    }

    fn configure(_settings: String) -> Result<(), Error> {
        match kv::get("a") {
            Err(error) if error.code == "denied" => Err(error),
            _ => Ok(()),
        }
    }
}

impl RequestHook for Component {
    fn on_request(_turn: Turn) -> Result<Verdict, Error> {
        Ok(Verdict::Reply("in force".to_owned()))
    }
}

guests::asked::export!(Component with_types_in guests::asked);

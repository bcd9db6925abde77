//! Wishes for a model while it is being configured, and answers with what it was told then.

use std::sync::Mutex;

use guests::prelude::{Error, Lifecycle, Manifest, RequestHook, Turn, Verdict, residency};

static TOLD: Mutex<String> = Mutex::new(String::new());

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        guests::manifest("wishes-early", true)
    }

    fn configure(_settings: String) -> Result<(), Error> {
        let options = residency::LoadOptions { context_length: None, pin: true, extra: Vec::new() };
        *TOLD.lock().unwrap() =
            format!("{:?}", residency::load("otter", &options).map_err(|error| error.code));
        Ok(())
    }
}

impl RequestHook for Component {
    fn on_request(_turn: Turn) -> Result<Verdict, Error> {
        Ok(Verdict::Reply(TOLD.lock().unwrap().clone()))
    }
}

guests::asked::export!(Component with_types_in guests::asked);

//! Answers with its settings; settings that are not an object with a `greeting` it refuses.

use std::sync::Mutex;

use guests::prelude::{Error, Lifecycle, Manifest, RequestHook, Turn, Verdict};

static SETTINGS: Mutex<String> = Mutex::new(String::new());

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        Manifest { priority: -5, ..guests::manifest("settings", false) }
    }

    fn configure(settings: String) -> Result<(), Error> {
        if !settings.contains("greeting") {
            return Err(guests::error("invalid", "settings need a `greeting`"));
        }
        *SETTINGS.lock().unwrap() = settings;
        Ok(())
    }
}

impl RequestHook for Component {
    fn on_request(_turn: Turn) -> Result<Verdict, Error> {
        Ok(Verdict::Reply(SETTINGS.lock().unwrap().clone()))
    }
}

guests::asked::export!(Component with_types_in guests::asked);

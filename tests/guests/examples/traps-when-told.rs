//! Answers every request, and panics when it is told that the request is over.

wit_bindgen::generate!({
    inline: r#"
        package guests:repenting;
        world guest {
            export pointsman:skill/lifecycle@0.1.0;
            export pointsman:skill/request-hook@0.1.0;
            export pointsman:skill/event-hook@0.1.0;
        }
    "#,
    path: "../../wit",
    world: "guests:repenting/guest",
    generate_all,
});

use exports::pointsman::skill::event_hook::{Event, Guest as EventHook};
use exports::pointsman::skill::lifecycle::{Guest as Lifecycle, Manifest};
use exports::pointsman::skill::request_hook::{Guest as RequestHook, Verdict};
use pointsman::skill::types::{Error, Turn};

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        Manifest {
            name: "traps-when-told".to_owned(),
            version: "1.0.0".to_owned(),
            description: "The test guest `traps-when-told`.".to_owned(),
            priority: 100,
            settings_schema: None,
            reusable: true,
            extra: Vec::new(),
        }
    }

    fn configure(_settings: String) -> Result<(), Error> {
        Ok(())
    }
}

impl RequestHook for Component {
    fn on_request(_turn: Turn) -> Result<Verdict, Error> {
        Ok(Verdict::Reply("decided".to_owned()))
    }
}

impl EventHook for Component {
    fn on_event(event: Event) -> Result<(), Error> {
        match event {
            Event::RequestFinished(outcome) => panic!("regrets {}", outcome.request_id),
            _ => Ok(()),
        }
    }
}

export!(Component);

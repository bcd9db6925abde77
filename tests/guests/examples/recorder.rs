//! Told what happened, it wishes for a model named after it, so that a test can see what arrived.

wit_bindgen::generate!({
    inline: r#"
        package guests:told;
        world guest {
            import pointsman:skill/residency@0.1.0;
            export pointsman:skill/lifecycle@0.1.0;
            export pointsman:skill/event-hook@0.1.0;
        }
    "#,
    path: "../../wit",
    world: "guests:told/guest",
    generate_all,
});

use exports::pointsman::skill::event_hook::{Event, Guest as EventHook};
use exports::pointsman::skill::lifecycle::{Guest as Lifecycle, Manifest};
use pointsman::skill::residency::{LoadOptions, load};
use pointsman::skill::types::Error;

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        Manifest {
            name: "recorder".to_owned(),
            version: "1.0.0".to_owned(),
            description: "The test guest `recorder`.".to_owned(),
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

impl EventHook for Component {
    fn on_event(event: Event) -> Result<(), Error> {
        let told = match event {
            Event::ModelDiscovered(model) => format!("discovered {}", model.id),
            Event::ModelRemoved(id) => format!("removed {id}"),
            Event::ModelLoaded(model) => format!("loaded {} {}", model.id, model.instances.len()),
            Event::ModelUnloaded(id) => format!("unloaded {id}"),
            Event::RequestFinished(outcome) => {
                format!("finished {} {}", outcome.request_id, outcome.total_ms)
            }
            Event::Other((name, json)) => format!("{name} {json}"),
        };
        load(&told, &LoadOptions { context_length: Some(4096), pin: false, extra: Vec::new() }).map(drop)
    }
}

export!(Component);

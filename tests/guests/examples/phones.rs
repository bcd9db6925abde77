//! Imports a package of WASI that the host does not have, with resources, as one JavaScript toolchain does unasked with
//! `wasi:http`; uses it only when told to.

wit_bindgen::generate!({
    inline: "
        package guests:phones;
        world guest {
            import wasi:phone/types@0.2.10;
            import wasi:phone/outgoing-handler@0.2.10;
            export pointsman:skill/lifecycle@0.1.0;
            export pointsman:skill/request-hook@0.1.0;
        }
    ",
    path: ["contracts/phone", "../../wit"],
    world: "guests:phones/guest",
    generate_all,
});

use exports::pointsman::skill::lifecycle::{Guest as Lifecycle, Manifest};
use exports::pointsman::skill::request_hook::{Guest as RequestHook, Verdict};
use pointsman::skill::types::{Error, Turn};
use wasi::phone::outgoing_handler::handle;
use wasi::phone::types::{Fields, OutgoingRequest};

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        Manifest {
            name: "phones".to_owned(),
            version: "1.0.0".to_owned(),
            description: "The test guest `phones`.".to_owned(),
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
    fn on_request(turn: Turn) -> Result<Verdict, Error> {
        if turn.user_text == "phone" {
            let request = OutgoingRequest::new(Fields::new());
            let body = request.body();
            let stream = body.write();
            handle(request);
            drop(stream);
        }
        Ok(Verdict::Reply("silence".to_owned()))
    }
}

export!(Component);

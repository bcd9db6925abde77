//! Has a hook and no `lifecycle`.

wit_bindgen::generate!({
    inline: "
        package guests:bare;
        world guest {
            export pointsman:skill/request-hook@0.1.0;
        }
    ",
    path: "../../wit",
    world: "guests:bare/guest",
    generate_all,
});

use exports::pointsman::skill::request_hook::{Guest, Verdict};
use pointsman::skill::types::{Error, Turn};

struct Component;

impl Guest for Component {
    fn on_request(_turn: Turn) -> Result<Verdict, Error> {
        Ok(Verdict::Pass)
    }
}

export!(Component);

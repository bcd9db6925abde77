//! Imports an interface of our package that this gateway does not have, and one of somebody else's.

wit_bindgen::generate!({
    inline: "
        package pointsman:skill@0.1.0;
        interface teleport {
            go: func();
        }
        interface lifecycle {
            describe: func() -> string;
        }
        world guest {
            import teleport;
            export lifecycle;
        }
    ",
});

use exports::pointsman::skill::lifecycle::Guest;

struct Component;

impl Guest for Component {
    fn describe() -> String {
        pointsman::skill::teleport::go();
        "beam me up".to_owned()
    }
}

export!(Component);

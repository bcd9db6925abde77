//! Built against a contract that this gateway does not know.

wit_bindgen::generate!({
    inline: "
        package pointsman:skill@0.9.0;
        interface lifecycle {
            describe: func() -> string;
        }
        world guest {
            export lifecycle;
        }
    ",
});

use exports::pointsman::skill::lifecycle::Guest;

struct Component;

impl Guest for Component {
    fn describe() -> String {
        "from the future".to_owned()
    }
}

export!(Component);

//! Never returns from `configure`.

use guests::prelude::{Error, Lifecycle, Manifest, RequestHook, Turn, Verdict};

struct Component;

impl Lifecycle for Component {
    fn describe() -> Manifest {
        guests::manifest("spins-in-configure", true)
    }

    fn configure(_settings: String) -> Result<(), Error> {
        loop {
            std::hint::black_box(0);
        }
    }
}

impl RequestHook for Component {
    fn on_request(_turn: Turn) -> Result<Verdict, Error> {
        Ok(Verdict::Pass)
    }
}

guests::asked::export!(Component with_types_in guests::asked);

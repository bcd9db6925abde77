//! `leave X`: wishes the model X away and has the request served by it all the same.

use guests::prelude::{Verdict, residency};

guests::guest!(warm "wishes-away", |turn| {
    match turn.user_text.strip_prefix("leave ") {
        Some(model) => {
            // Whatever it is told: nothing that runs may be hurt by it.
            let _ = residency::unload(model);
            Ok(Verdict::Route(guests::route(model)))
        }
        None => Ok(Verdict::Pass),
    }
});

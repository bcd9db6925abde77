//! A good router: `route X` goes to the model X, everything else passes.

use guests::prelude::Verdict;

guests::guest!(warm "router", |turn| {
    match turn.user_text.strip_prefix("route ") {
        Some(model) => Ok(Verdict::Route(guests::route(model))),
        None => Ok(Verdict::Pass),
    }
});

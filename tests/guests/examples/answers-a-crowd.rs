//! Answers with a route of a hundred thousand candidates, all of which are there.

use guests::prelude::Verdict;

guests::guest!(warm "answers-a-crowd", |_| {
    let mut route = guests::route("otter");
    route.candidates = vec![guests::candidate("otter"); 100_000];
    Ok(Verdict::Route(route))
});

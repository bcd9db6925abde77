//! The first version of a policy: everything goes to the otter.

guests::guest!(warm "policy" "1.0.0", |_| {
    Ok(guests::prelude::Verdict::Reply("policy 1".to_owned()))
});

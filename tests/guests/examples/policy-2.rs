//! The second version of a policy.

guests::guest!(warm "policy" "2.0.0", |_| {
    Ok(guests::prelude::Verdict::Reply("policy 2".to_owned()))
});

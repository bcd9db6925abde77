//! Amends every request.

guests::guest!(warm "amends", |_| Ok(guests::prelude::Verdict::Amend(r#"{"temperature":0}"#.to_owned())));

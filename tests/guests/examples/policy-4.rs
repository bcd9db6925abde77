//! The fourth version of a policy, which wants more than those before it.

use guests::prelude::{Verdict, models};

guests::guest!(warm "policy" "4.0.0", |_| Ok(Verdict::Reply(format!("policy 4 sees {}", models::all().len()))));

//! Answers with an error.

guests::guest!(warm "errs", |_| Err(guests::error("unavailable", "the oracle\u{7} is out")));

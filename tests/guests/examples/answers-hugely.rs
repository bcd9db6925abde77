//! Answers with more than a call may return.

guests::guest!(warm "answers-hugely", |_| Ok(guests::prelude::Verdict::Reply("x".repeat(16 << 20))));

//! Panics in its hook, saying why.

guests::guest!(warm "traps", |turn| panic!("cannot make sense of {}", turn.request_id));

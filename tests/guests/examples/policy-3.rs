//! The third version of a policy, which is broken: it loads, and fails whenever it is asked.

guests::guest!(warm "policy" "3.0.0", |turn| panic!("policy 3 cannot make sense of {}", turn.request_id));

//! What clients are told of models: a [`Card`] for each, merged from what its provider says and from documented fallback
//! rules, and the forms in which clients want to read them: lists, and entries of their own configuration files.
//!
//! Pure: cards are made of a snapshot of the directory and rendered into text; who asks, prints and writes files is the
//! ingress's and the command line's business. Bounded by the number of models that the providers list. Fallbacks live
//! and end here: routing, loading and skills see what the provider says and nothing else.

pub mod card;
pub mod edit;
pub mod export;

pub use card::{Card, Fallback, cards};

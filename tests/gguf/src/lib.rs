//! Models for tests and demonstrations, written by hand: a real engine loads them, templates, samples and parses as with
//! any other, and what they say is known beforehand, at any temperature.
//!
//! A token's embedding is a one at the token's own place, everything between is zero, and the output matrix is the
//! table of what follows what. So the next token depends on the last one alone, and a chain of tokens that are used
//! nowhere else is a sentence. The chat template ends the prompt with a token that begins one of the chains; which, it
//! decides from the conversation.
//!
//! A file is as large as its shapes say and takes hardly any disk: zeros are holes. There is no reader here and no
//! quantisation, and no model that has learned something.

mod chat;
mod file;
mod script;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use chat::{Selector, WORD_LONG, WORD_SAY, WORD_THINK};
pub use file::{GgufFile, Kind, Tensor, Value, Weight, Weights};
pub use script::{Script, WriteError, tool_call};
pub use vocabulary::TextTaken;

//! Protocols in and out: what bytes mean and how answers are written. Lossless: a request that nobody edited goes
//! upstream byte for byte, and an edit changes the bytes it names and no other.
//!
//! Nothing of these types is seen beyond the exchange: the domain's word for a request is [`crate::turn::Turn`].

pub mod answer;
pub mod arguments;
pub mod calls;
pub mod chat;
pub mod compose;
pub mod edit;
pub mod fault;
pub mod gather;
pub mod json;
pub mod llama_server;
pub mod lmstudio;
pub mod members;
pub mod ollama;
pub mod openai;
pub mod order;
pub mod sse;
pub mod written;

//! The answer on its way to the client. Frames pass as they came; what the gateway adds (an early first chunk, comments
//! while a model loads, an error and its terminator) stands between them. Where skills look at tool calls, the splicer
//! holds those back until it is known what becomes of them.

pub mod body;
pub mod calls;
pub mod silence;
pub mod slot;
pub mod splicer;
mod stream;

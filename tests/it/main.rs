//! Scenarios through real sockets, the tidy test, badly behaved skills: one binary, so that the engine is linked once.

mod skills;
mod swap;
mod tidy;

//! Conversations: how requests are told to belong together, and what is remembered between them (the route in force, who
//! the main caller is). Pure: time is an argument, nothing here is locked or stored.

pub mod key;
pub mod table;

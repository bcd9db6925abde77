//! The fuzz target: in this folder, `cargo run --release --bin splicer -- -max_total_time=600 -max_len=600`. What it finds it
//! leaves here as a file; given that file, it plays it again.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: &[u8]| pointsman_fuzz::play(case));

//! What the gateway promises of memory and of streams, once for an emulated LM Studio and once for a real engine: each
//! scenario is one function of a backend, and the table runs all of them on both.
//!
//! What only one of the servers can do has its tests elsewhere. The last two files are not in the table: two hundred
//! requests on the real engine, and the demonstration on it.

#![cfg(test)]

mod acceptance;
mod demo;
mod leaving;
mod swapping;
mod trouble;

use pointsman_tests::backend::Kind;
use pointsman_tests::engine;

/// The scenarios by name, each a test on both backends.
macro_rules! table {
    ($($name:ident => $play:path,)*) => {
        mod emulated {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                $play(Kind::LmStudio).await;
            })*
        }

        mod llama_server {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if !engine::is_skipped() {
                    $play(Kind::LlamaServer).await;
                }
            })*
        }
    };
}

table! {
    a_route_swaps_and_the_first_model_comes_back => swapping::a_route_swaps_and_restores,
    a_model_that_is_named_becomes_the_one_that_stays => swapping::a_named_model_becomes_the_baseline,
    a_running_stream_ends_whole_before_the_swap => swapping::a_running_stream_ends_first,
    ten_at_once_make_one_load => swapping::ten_at_once_make_one_load,
    a_client_leaves_the_queue => leaving::leaves_the_queue,
    a_client_leaves_during_the_load => leaving::leaves_during_the_load,
    a_client_leaves_its_stream => leaving::leaves_its_stream,
    a_crash_in_a_stream_is_told_and_mended => trouble::crash_in_a_stream,
    a_crash_under_an_answer_that_has_not_begun_is_mended_unseen => trouble::crash_before_the_answer,
    a_load_that_fails_moves_on_to_the_next_candidate => trouble::next_candidate,
    a_load_that_fails_moves_on_to_the_fallback => trouble::fallback,
    a_load_that_fails_with_nothing_left_is_an_error => trouble::nothing_left,
}

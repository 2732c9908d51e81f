//! The tests of the whole: one binary, a module for each subject.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod architecture;
mod bad_input;
mod callers;
mod cli;
mod concurrency;
mod crash;
mod decision_table;
mod life_cycle;
mod limits;
mod migrations;
mod permissions;
mod readme;
mod secrets;
mod statements;
mod support;
mod tls;
mod token_format;

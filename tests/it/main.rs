//! The tests of the whole: one binary, a module for each subject.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod architecture;
mod cli;
mod concurrency;
mod crash;
mod decision_table;
mod migrations;
mod readme;
mod support;
mod token_format;

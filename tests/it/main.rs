//! The tests of the whole: one binary, a module for each subject.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod architecture;
mod cli;
mod decision_table;
mod readme;
mod support;
mod telemetry;
mod token_format;

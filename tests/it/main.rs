//! The tests of the whole: one binary, a module for each subject.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod addresses;
mod architecture;
mod bad_input;
mod batches;
mod bulk_revocation;
mod callers;
mod chart;
mod cli;
mod concurrency;
mod consistency;
mod crash;
mod decision_table;
mod identity;
mod issuers;
mod leaks;
mod life_cycle;
mod life_of_a_token;
mod limits;
mod memory;
mod migrations;
mod notices;
mod peppers;
mod permissions;
mod readme;
mod reload;
mod restore_guard;
mod retention;
mod retries;
mod rollouts;
mod rotation;
mod scopes;
mod secrets;
mod statements;
mod support;
mod telemetry;
mod tls;
mod token_format;
mod uses;
mod watching;

//! The harness: databases, servers in this process and in a process of their own, and short ways to call them.
//!
//! Tests go through the front door. Nothing here writes to a database behind the service's back, and nothing sleeps for
//! a fixed time: what must be waited for is asked for, within a bound.

pub(crate) mod call;
pub(crate) mod certificates;
pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod database;
pub(crate) mod history;
pub(crate) mod http;
pub(crate) mod issuer;
pub(crate) mod ledger;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod statements;
pub(crate) mod status;
pub(crate) mod tools;
pub(crate) mod watched;
pub(crate) mod wire;

//! countersign issues personal access tokens and decides what their bearers may do.
//!
//! # Layout
//!
//! Data flows one way, and a test holds the code to it:
//!
//! ```text
//! cli, server ─► everything        main parses and exits; server::serve is where everything meets
//! grpc ────────► service, identity, domain   requests into domain types, answers and errors out of them
//! identity ────► domain            the keys by which callers' tokens are verified, fetched and kept
//! service ─────► store, domain     what each RPC means
//! store ───────► domain            entities, queries, migrations, the one way to change anything, the feed
//! config, telemetry ─► domain      what is set before the start, and what is told while running
//! domain ──────► nothing of ours   ids, secrets, names, the policy, the decision, the errors: pure
//! ```
//!
//! The same noun names a feature in each layer: tokens are in `domain::token`, `store::tokens`, `service::tokens` and
//! `grpc::token_service`. To begin, read [`domain::decide`], then [`store::Mutation`], then [`server::serve`].

// The types of the futures of a call are nested as deeply as its layers.
#![recursion_limit = "256"]

pub mod cli;
pub mod config;
pub mod domain;
pub mod grpc;
pub mod identity;
pub mod pb;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod view;

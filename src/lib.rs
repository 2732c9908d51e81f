//! countersign issues personal access tokens and decides what their bearers may do.

pub mod cli;
pub mod config;
pub mod domain;
pub mod grpc;
pub mod pb;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;

//! countersign issues personal access tokens and decides what their bearers may do.

pub mod domain;
pub mod grpc;
pub mod pb;
pub mod service;
pub mod store;

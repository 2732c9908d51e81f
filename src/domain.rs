//! What the service is about, free of transport and database: ids, secrets, names, the policy, the decision, and the
//! closed set of errors.

pub mod access;
pub mod action;
pub mod address;
pub mod base62;
pub mod caller;
pub mod database_url;
pub mod decide;
pub mod directory;
pub mod error;
pub mod event;
pub mod explain;
pub mod identity_token;
pub mod ids;
pub mod issuer;
pub mod jwks;
pub mod limiter;
pub mod name;
pub mod notice;
pub mod page;
pub mod pepper;
pub mod policy;
pub mod request;
pub mod scope;
pub mod secret;
pub mod share;
pub mod shared;
pub mod short_text;
pub mod spiffe;
pub mod time;
pub mod token;
pub mod token_policy;

//! What is measured, a file for each section of the table.

pub(crate) mod bulk;
pub(crate) mod cold;
pub(crate) mod eviction;
pub(crate) mod micro;
pub(crate) mod overload;
pub(crate) mod peer;
pub(crate) mod revocation;
pub(crate) mod scale;
pub(crate) mod storm;
pub(crate) mod telemetry;
pub(crate) mod warm;

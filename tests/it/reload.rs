//! Going on under another configuration without a restart: what changes, at once and together; what does not; and that
//! whatever is refused changes nothing.

mod callers;
mod files;
mod load;
mod metrics;
mod outage;
mod prefixes;
mod refused;
pub(crate) mod running;

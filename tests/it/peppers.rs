//! Rotating a pepper without a restart, with replicas in both states of every step, and what tells how far it is.

mod rekeying;
mod rotation;
mod status;
mod too_early;

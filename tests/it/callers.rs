//! Callers and actors: who may call what, and for whom.

mod by_secret;
mod credentials;
mod limits;
mod matrix;
mod open;
mod world;

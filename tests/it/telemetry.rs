//! What a server tells of itself: metrics, probes, traces and logs.

mod counts;
mod decisions;
mod logs;
mod probes;
mod scrape;
pub(crate) mod sink;
mod traces;

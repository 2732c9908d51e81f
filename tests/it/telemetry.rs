//! What a server tells of itself: metrics, probes, traces and logs.

mod counts;
mod logs;
mod probes;
mod scrape;
mod sink;
mod traces;

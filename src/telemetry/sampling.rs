//! Which calls are traced: what the standard variables say, decided before anything is made for a call.
//!
//! A span that is not sampled costs nearly as much as one that is. So whether a call without a trace of its caller's begins
//! one is decided here, by the ratio alone, and the SDK samples every such span that it is given.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::{
    Context, KeyValue, TraceId,
    trace::{Link, SpanKind, TraceContextExt, TraceState},
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use super::trace::Variables;

/// What is sampled.
#[derive(Debug)]
pub(super) struct Sampling {
    /// Whether a caller that has decided about its trace has decided for this service too.
    is_parent_based: bool,
    /// How many of the calls without a trace begin one, as a part of one.
    ratio: f64,
    /// The state of a generator that nobody need not be able to guess.
    state: AtomicU64,
}

impl Sampling {
    /// What `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say. What makes no sense is complained of.
    pub(super) fn read(variables: Variables<'_>, complaints: &mut Vec<String>) -> Self {
        let name = variables("OTEL_TRACES_SAMPLER").unwrap_or_default();
        let ratio = match name.as_str() {
            "" | "always_on" | "parentbased_always_on" => 1.0,
            "always_off" | "parentbased_always_off" => 0.0,
            "traceidratio" | "parentbased_traceidratio" => {
                let text = variables("OTEL_TRACES_SAMPLER_ARG").unwrap_or_default();
                let ratio = text.parse::<f64>().ok();
                ratio
                    .filter(|ratio| (0.0..=1.0).contains(ratio))
                    .unwrap_or_else(|| {
                        complaints.push(format!(
                            "OTEL_TRACES_SAMPLER_ARG is `{text}` and must be a number from 0 to 1"
                        ));
                        1.0
                    })
            }
            other => {
                complaints.push(format!(
                    "OTEL_TRACES_SAMPLER is `{other}`, which is not supported: `parentbased_always_on` is used"
                ));
                1.0
            }
        };
        Self {
            is_parent_based: !matches!(name.as_str(), "always_on" | "always_off" | "traceidratio"),
            ratio,
            state: AtomicU64::new(seed()),
        }
    }

    /// Whether a call without a trace of its caller's begins one.
    pub(super) fn begins_trace(&self) -> bool {
        if self.ratio >= 1.0 {
            return true;
        }
        // SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut word = self.state.fetch_add(STEP, Ordering::Relaxed);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        // 53 bits are what a float holds.
        #[expect(clippy::cast_precision_loss, reason = "it has no more bits than fit")]
        let part = (word >> 11) as f64 / (1_u64 << 53) as f64;
        part < self.ratio
    }

    /// Whether a call with this trace context is certain not to be sampled.
    pub(super) fn rules_out(&self, parent: &Context) -> bool {
        let span = parent.span();
        let parent = span.span_context();
        self.is_parent_based && parent.is_valid() && !parent.is_sampled()
    }

    /// The sampler of the spans that are made.
    pub(super) fn sampler(&self) -> Decided {
        let root = Sampler::TraceIdRatioBased(self.ratio);
        Decided(match self.is_parent_based {
            true => Sampler::ParentBased(Box::new(root)),
            false => root,
        })
    }
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    // Without random bytes, always the same calls are traced, which is as good.
    getrandom::fill(&mut bytes).ok();
    u64::from_le_bytes(bytes)
}

/// Samples what has no parent, since it would not have been made otherwise; the rest as configured.
#[derive(Debug, Clone)]
pub(super) struct Decided(Sampler);

impl ShouldSample for Decided {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if parent.is_some_and(TraceContextExt::has_active_span) {
            let configured = &self.0;
            return configured.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(name: &str, ratio: &str) -> (Sampling, Vec<String>) {
        let mut complaints = Vec::new();
        let variables = |variable: &str| match variable {
            "OTEL_TRACES_SAMPLER" => Some(name.to_owned()),
            "OTEL_TRACES_SAMPLER_ARG" => Some(ratio.to_owned()),
            _ => None,
        };
        (Sampling::read(&variables, &mut complaints), complaints)
    }

    #[test]
    fn as_many_calls_begin_a_trace_as_the_ratio_says() {
        for (name, ratio, expected) in [
            ("", "", 100_000..=100_000),
            ("always_on", "0.5", 100_000..=100_000),
            ("always_off", "", 0..=0),
            ("parentbased_always_off", "", 0..=0),
            ("traceidratio", "0", 0..=0),
            ("traceidratio", "0.01", 800..=1_200),
            ("parentbased_traceidratio", "0.25", 24_000..=26_000),
            ("parentbased_traceidratio", "1", 100_000..=100_000),
        ] {
            let (sampling, complaints) = sampling(name, ratio);
            assert_eq!(complaints, Vec::<String>::new());
            let begun = (0..100_000).filter(|_| sampling.begins_trace()).count();
            assert!(expected.contains(&begun), "{name} {ratio}: {begun}");
        }
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_told() {
        for (name, ratio) in [
            ("xray", ""),
            ("traceidratio", ""),
            ("traceidratio", "1.5"),
            ("parentbased_traceidratio", "NaN"),
        ] {
            let (sampling, complaints) = sampling(name, ratio);
            assert_eq!(complaints.len(), 1, "{name} {ratio}");
            assert!(sampling.begins_trace());
        }
    }
}

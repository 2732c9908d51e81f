//! The way of a span to the collector: a bounded queue, batches, and an eye on what becomes of them. A collector that is
//! away costs spans and a log line a minute, nothing else.

use std::{
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

use super::metrics::SpanCounters;

/// How often failures are told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How many spans wait at most, unless `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise.
const DEFAULT_QUEUE: usize = 2048;

/// A processor that hands batches to this exporter.
pub(super) fn processor<E: SpanExporter + 'static>(
    exporter: E,
    counters: SpanCounters,
) -> impl SpanProcessor + 'static {
    let waiting = Arc::new(AtomicUsize::new(0));
    let size = env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok();
    let size = size.and_then(|size| size.parse().ok());
    let watched = Watched {
        exporter,
        waiting: Arc::clone(&waiting),
        counters: counters.clone(),
        troubles: Mutex::default(),
    };
    Bounded {
        batches: BatchSpanProcessor::builder(watched).build(),
        waiting,
        size: size.unwrap_or(DEFAULT_QUEUE),
        dropped: counters.dropped,
    }
}

/// Keeps count of the queue, which the SDK drops from without a word.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    size: usize,
    dropped: prometheus::IntCounter,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.size {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.inc();
        } else {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts what is exported, and tells when it is not.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    counters: SpanCounters,
    troubles: Mutex<Troubles>,
}

#[derive(Debug, Default)]
struct Troubles {
    /// When they were last told. None: there are none.
    told: Option<Instant>,
    /// Spans lost since then.
    lost: u64,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let result = self.exporter.export(batch).await;
        let spans = u64::try_from(spans).unwrap_or(u64::MAX);
        match &result {
            Ok(()) => {
                self.counters.exported.inc_by(spans);
                self.succeeded();
            }
            Err(error) => {
                self.counters.failed.inc_by(spans);
                self.failed(spans, &error.to_string());
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E> Watched<E> {
    fn succeeded(&self) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.told.take().is_some() {
            *troubles = Troubles::default();
            tracing::info!("traces are exported again");
        }
    }

    fn failed(&self, spans: u64, error: &str) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.lost += spans;
        if troubles
            .told
            .is_some_and(|told| told.elapsed() < TELL_EVERY)
        {
            return;
        }
        troubles.told = Some(Instant::now());
        let lost = std::mem::take(&mut troubles.lost);
        tracing::warn!(error, trace.spans_lost = lost, "traces cannot be exported");
    }
}

//! The log, to standard error: for eyes on a terminal, else one JSON object a line. A line that belongs to a trace carries
//! its id, whether or not the trace is exported.

use std::{cell::RefCell, fmt, io::IsTerminal};

use opentelemetry::{Context as OtelContext, TraceId, trace::TraceContextExt};
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, LevelFilter, Targets, filter_fn},
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{Format, Json, Writer},
    },
    layer::Context,
    registry::LookupSpan,
    reload,
};

use super::rpc;

/// Targets that could show secrets, and the most that they may say whatever the directives ask for.
///
/// At trace, `sea_orm` tells its functions' arguments, among them the database's address with its password.
const CAPS: [(&str, LevelFilter); 1] = [("sea_orm", LevelFilter::DEBUG)];

/// Why the log's directives were refused.
#[derive(Debug, thiserror::Error)]
#[error("the log's directives are not understood: {0}")]
pub struct LogError(String);

/// With which the directives are replaced.
pub(super) struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    pub(super) fn set(&self, directives: &str) -> Result<(), LogError> {
        let filter = parse(directives)?;
        self.0
            .reload(filter)
            .map_err(|error| LogError(error.to_string()))
    }
}

/// Whether these directives would be accepted.
pub(super) fn check(directives: &str) -> Result<(), LogError> {
    parse(directives).map(|_| ())
}

fn parse(directives: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(directives).map_err(|error| LogError(error.to_string()))
}

/// The log under these directives, with what changes them.
pub(super) fn start(
    directives: &str,
) -> Result<(impl Layer<Registry> + Send + Sync + use<>, LogHandle), LogError> {
    let format = match std::io::stderr().is_terminal() {
        true => Line::Pretty(Format::default().with_ansi(true)),
        false => Line::json(),
    };
    layer(directives, format, std::io::stderr)
}

fn layer<W>(
    directives: &str,
    format: Line,
    writer: W,
) -> Result<(impl Layer<Registry> + Send + Sync + use<W>, LogHandle), LogError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(directives)?);
    // Spans are for traces: here they would cost and tell nothing.
    let events = filter_fn(|metadata| !metadata.is_span()).with_max_level_hint(LevelFilter::TRACE);
    let has_colours = matches!(format, Line::Pretty(_));
    let layer = tracing_subscriber::fmt::layer()
        .event_format(format)
        .with_writer(writer)
        .with_ansi(has_colours)
        .with_filter(filter.and(events).and(caps()));
    Ok((layer, LogHandle(handle)))
}

/// A filter beside the directives': what is logged must pass both, so no directive can lift a cap.
fn caps() -> Targets {
    Targets::new()
        .with_default(LevelFilter::TRACE)
        .with_targets(CAPS)
}

/// How a line is written.
enum Line {
    Pretty(Format),
    Json(Format<Json>),
}

impl Line {
    /// The line's own fields beside its time, level and target.
    fn json() -> Self {
        let format = Format::default().json();
        let format = format.with_current_span(false).with_span_list(false);
        Self::Json(format.flatten_event(true))
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        match self {
            Self::Pretty(format) => format.format_event(context, Writer::new(&mut line), event)?,
            Self::Json(format) => format.format_event(context, Writer::new(&mut line), event)?,
        }
        let line = line.trim_end();
        let Some(trace_id) = current_trace_id() else {
            return writeln!(writer, "{line}");
        };
        match self {
            Self::Pretty(_) => writeln!(writer, "{line} trace_id={trace_id}"),
            Self::Json(_) => {
                let open = line.strip_suffix('}').unwrap_or(line);
                writeln!(writer, "{open},\"trace_id\":\"{trace_id}\"}}")
            }
        }
    }
}

thread_local! {
    /// The traces of the RPCs that are being polled on this thread, the innermost last.
    static TRACE_IDS: RefCell<Vec<TraceId>> = const { RefCell::new(Vec::new()) };
}

/// The caller's trace, or the one that was begun here.
fn current_trace_id() -> Option<TraceId> {
    let callers = TRACE_IDS.with_borrow(|ids| ids.last().copied());
    callers.or_else(trace_id_of_context)
}

fn trace_id_of_context() -> Option<TraceId> {
    OtelContext::map_current(|context| {
        let span = context.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id())
    })
}

/// Remembers the trace of each RPC whose caller is in one, for the lines that are logged meanwhile. A layer of its own,
/// since traces may be exported or not.
pub(super) fn trace_ids<S>() -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    TraceIds.with_filter(filter_fn(rpc::is_rpc).with_max_level_hint(LevelFilter::INFO))
}

struct TraceIds;

/// What the span of such an RPC carries.
struct InTrace(TraceId);

impl<S> Layer<S> for TraceIds
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let (Some(span), Some(trace_id)) = (context.span(id), trace_id_of_context()) {
            span.extensions_mut().insert(InTrace(trace_id));
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(trace_id) = trace_id_of_span(id, &context) {
            TRACE_IDS.with_borrow_mut(|ids| ids.push(trace_id));
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if trace_id_of_span(id, &context).is_some() {
            TRACE_IDS.with_borrow_mut(Vec::pop);
        }
    }
}

fn trace_id_of_span<S>(id: &Id, context: &Context<'_, S>) -> Option<TraceId>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let span = context.span(id)?;
    let extensions = span.extensions();
    extensions.get::<InTrace>().map(|found| found.0)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex, PoisonError},
    };

    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        /// The lines so far, which are then forgotten.
        fn take(&self) -> String {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&std::mem::take(&mut *written)).into_owned()
        }

        fn writer(&self) -> impl Fn() -> Self + Send + Sync + use<> {
            let written = self.clone();
            move || written.clone()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn directives_can_be_replaced_and_bad_ones_change_nothing() -> Result<(), LogError> {
        let written = Written::default();
        let (layer, handle) = layer("warn", Line::json(), written.writer())?;
        let said = || {
            tracing::info!(target: "countersign::server", "info of the server");
            tracing::warn!(target: "countersign::server", "warning of the server");
            tracing::debug!(target: "countersign::store", "debug of the store");
            let lines = written.take();
            ["info of", "warning of", "debug of"].map(|line| lines.contains(line))
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            assert_eq!(said(), [false, true, false]);
            handle.set("off,countersign::store=debug")?;
            assert_eq!(said(), [false, false, true]);
            assert!(handle.set("countersign=loud").is_err());
            assert_eq!(said(), [false, false, true]);
            handle.set("info")?;
            assert_eq!(said(), [true, true, false]);
            Ok(())
        })
    }

    #[test]
    fn a_json_line_is_json_whatever_is_logged() -> Result<(), Box<dyn std::error::Error>> {
        let written = Written::default();
        let (layer, _handle) = layer("info", Line::json(), written.writer())?;
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(
                quoted = "a \"b\"\n\u{1}",
                number = -3,
                ratio = 0.5,
                nothing = f64::NAN,
                flag = true,
                debug = ?Some("x"),
                "hello"
            );
        });
        let lines = written.take();
        assert_eq!(lines.lines().count(), 1, "{lines}");
        let line: serde_json::Value = serde_json::from_str(&lines)?;
        assert_eq!(line["message"], "hello");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["quoted"], "a \"b\"\n\u{1}");
        assert_eq!(line["number"], -3);
        assert_eq!(line["ratio"], 0.5);
        assert!(line["nothing"].is_null());
        assert_eq!(line["flag"], true);
        assert_eq!(line["debug"], "Some(\"x\")");
        Ok(())
    }

    #[test]
    fn a_pretty_line_is_one_line() -> Result<(), LogError> {
        let written = Written::default();
        let format = Line::Pretty(Format::default().with_ansi(false));
        let (layer, _handle) = layer("info", format, written.writer())?;
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(target: "countersign::x", number = 1, "hello");
        });
        let line = written.take();
        assert!(
            line.ends_with(" WARN countersign::x: hello number=1\n"),
            "{line:?}"
        );
        Ok(())
    }

    #[test]
    fn capped_targets_are_quiet_at_trace_with_all_that_is_below_them() {
        let caps = caps();
        for capped in [
            "sea_orm",
            "sea_orm::driver::sqlx_postgres",
            "sea_orm_migration",
        ] {
            assert!(!caps.would_enable(capped, &Level::TRACE), "{capped}");
            assert!(caps.would_enable(capped, &Level::DEBUG), "{capped}");
        }
        assert!(caps.would_enable("countersign::store", &Level::TRACE));
    }
}

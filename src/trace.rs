//! What the libraries trace: to stderr with `-v`, and as a timeline with `--trace`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{cli::Global, error::CliError, output};

/// Ends the timeline when dropped.
pub struct Tracing {
    timeline: Option<Timeline>,
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if let Some(timeline) = &self.timeline
            && let Err(error) = timeline.close()
        {
            output::warning(format_args!("failed to write the timeline: {error}"));
        }
    }
}

/// Installs what the flags ask for; without any, tracing costs nothing.
pub fn start(global: &Global) -> Result<Tracing, CliError> {
    let timeline = global.trace.as_deref().map(Timeline::create).transpose()?;
    let level = match global.verbose {
        0 => None,
        1 => Some("pipe=info,pipe_cache=info,pipe_engine=info,pipe_stages=info,pipe_lm=info"),
        2 => Some("pipe=debug,pipe_cache=debug,pipe_engine=debug,pipe_stages=debug,pipe_lm=debug"),
        _ => Some("trace"),
    };
    let log = level.map(|level| {
        let filter = EnvFilter::try_from_env("PIPE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
        let closed = tracing_subscriber::fmt::format::FmtSpan::CLOSE;
        tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(output::color_on_stderr())
            .with_span_events(closed)
            .without_time()
            .with_filter(filter)
    });
    if log.is_some() || timeline.is_some() {
        tracing_subscriber::registry().with(log).with(timeline.clone()).init();
    }
    Ok(Tracing { timeline })
}

/// A layer that writes the Trace Event Format: an array of begin and end events, one track per thread.
#[derive(Clone)]
struct Timeline {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    start: Instant,
    /// `None` once closed.
    file: Mutex<Option<BufWriter<File>>>,
}

/// The fields of a span, kept from its creation to its end.
#[derive(Default)]
struct Arguments(BTreeMap<&'static str, String>);

impl Visit for Arguments {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

static NEXT_THREAD: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static THREAD: u64 = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
}

impl Timeline {
    fn create(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Io { action: "create the timeline", path: path.to_owned(), source };
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        write!(file, "[{{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{{\"name\":\"pipe\"}}}}")
            .map_err(failed)?;
        let shared = Shared { path: path.to_owned(), start: Instant::now(), file: Mutex::new(Some(file)) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Spans that end later are lost: the process is about to end.
    fn close(&self) -> io::Result<()> {
        let file = self.shared.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut file) = file else { return Ok(()) };
        writeln!(file, "\n]")
            .and_then(|()| file.flush())
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", self.shared.path.display())))
    }

    fn write(&self, phase: &str, name: &str, arguments: Option<&Arguments>) {
        let event = serde_json::json!({
            "ph": phase, "pid": 1, "tid": THREAD.with(|id| *id), "name": name, "s": "t",
            "ts": self.shared.start.elapsed().as_secs_f64() * 1e6,
            "args": arguments.map(|a| &a.0),
        });
        if let Some(file) = &mut *self.shared.file.lock().unwrap_or_else(PoisonError::into_inner) {
            // A full disk shows when the file is closed.
            let _ = write!(file, ",\n{event}");
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Timeline {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut arguments = Arguments::default();
        attributes.record(&mut arguments);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(arguments);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(arguments) = span.extensions_mut().get_mut::<Arguments>()
        {
            values.record(arguments);
        }
    }

    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            self.write("B", span.name(), None);
        }
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            self.write("E", span.name(), span.extensions().get::<Arguments>());
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut arguments = Arguments::default();
        event.record(&mut arguments);
        let name = arguments.0.remove("message").unwrap_or_else(|| event.metadata().name().to_owned());
        self.write("i", &name, Some(&arguments));
    }
}

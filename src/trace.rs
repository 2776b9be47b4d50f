//! What the libraries trace: to stderr with `-v`, and as a timeline in the Trace Event Format with `--trace`.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_chrome::{ChromeLayer, ChromeLayerBuilder, EventOrSpan, FlushGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::{cli::Global, error::CliError, output};

/// Ends the timeline when dropped.
pub(crate) struct Tracing {
    _timeline: Option<Timeline>,
}

struct Timeline {
    path: PathBuf,
    /// Dropped first: what is still to be written is written then. Spans that end later are lost.
    guard: Option<FlushGuard>,
    error: Arc<OnceLock<io::Error>>,
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.guard = None;
        if let Some(error) = self.error.get() {
            output::warning(format_args!("failed to write the timeline {}: {error}", self.path.display()));
        }
    }
}

/// The file of the timeline. Its first error is kept for the end, and what comes after it is dropped: a full disk under
/// a timeline must not end the run.
struct Forgiving {
    file: File,
    error: Arc<OnceLock<io::Error>>,
}

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.error.get().is_none()
            && let Err(error) = self.file.write_all(bytes)
        {
            let _ = self.error.set(error);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Installs what the flags ask for; without any, tracing costs nothing.
pub(crate) fn start(global: &Global) -> Result<Tracing, CliError> {
    let (layer, timeline) = global.trace.as_deref().map(timeline).transpose()?.unzip();
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
    if log.is_some() || layer.is_some() {
        // Not `init`, which would add what the network libraries write to their log.
        let _ = tracing::subscriber::set_global_default(
            tracing_subscriber::registry().with(log).with(SpanNames).with(layer),
        );
    }
    Ok(Tracing { _timeline: timeline })
}

/// What a span is about: the stage of a node, the file that is loaded.
struct SpanName(String);

/// Takes note of what spans are about, for the names of slices.
struct SpanNames;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanNames {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut about = About::default();
        attributes.record(&mut about);
        if let (Some(name), Some(span)) = (about.0, context.span(id)) {
            span.extensions_mut().insert(SpanName(name));
        }
    }
}

/// The field that says what a span is about.
#[derive(Default)]
struct About(Option<String>);

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if matches!(field.name(), "label" | "file" | "path") {
            self.0.get_or_insert_with(|| format!("{value:?}"));
        }
    }
}

/// The stage's label for the work on a node, `load p.yaml` for others that are about something.
fn slice_name<S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync>(of: &EventOrSpan<'_, '_, S>) -> String {
    match of {
        EventOrSpan::Event(event) => event.metadata().name().to_owned(),
        EventOrSpan::Span(span) => match span.extensions().get::<SpanName>() {
            Some(SpanName(label)) if span.name() == "node" => label.clone(),
            Some(SpanName(about)) => format!("{} {about}", span.name()),
            None => span.name().to_owned(),
        },
    }
}

fn timeline<S>(path: &Path) -> Result<(ChromeLayer<S>, Timeline), CliError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let failed = |source| CliError::Io { action: "create the timeline", path: path.to_owned(), source };
    let (file, error) = (File::create(path).map_err(failed)?, Arc::default());
    let writer = Forgiving { file, error: Arc::clone(&error) };
    let layer = ChromeLayerBuilder::new().writer(writer).include_args(true).include_locations(false);
    let (layer, guard) = layer.name_fn(Box::new(slice_name)).build();
    Ok((layer, Timeline { path: path.to_owned(), guard: Some(guard), error }))
}

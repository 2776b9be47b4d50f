//! What a run leaves for people to look at: tables on the terminal, and a page beside the links to its results. Where
//! nothing has changed since the last run, the page is left alone, and the tables are those of then.

use std::{
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use pipe_cache::{Digest, Hasher, Store, now_ms, put_file};
use pipe_engine::{
    events::RunEnd,
    execute::{RunOptions, results_folder},
    pipeline::Pipeline,
};
use pipe_report::Made;
use pipe_stages::results::{self, Gathered, Heard, Results, has_arms};
use serde::{Deserialize, Serialize};

use super::next::quoted;
use crate::{cli, error::CliError, output, report};

/// What the last run left, so that the next one need not make it again.
#[derive(Serialize, Deserialize)]
struct Stamp {
    /// What every stage stood at.
    state: Digest,
    software: String,
    /// The page: its place, size and time of modification (nanoseconds since 1970).
    page: Option<(PathBuf, u64, u128)>,
    /// Results, as JSON.
    results: String,
    /// Of all that: numbers that somebody has changed are not shown.
    digest: Digest,
}

impl Stamp {
    fn new(state: Digest, page: Option<&Path>, results: &Results) -> Option<Self> {
        let results = serde_json::to_string(results).ok()?;
        let mut stamp = Self {
            state,
            software: super::SOFTWARE.to_owned(),
            page: page.and_then(as_it_is),
            results,
            digest: Hasher::new("").finish(),
        };
        stamp.digest = stamp.of_all();
        Some(stamp)
    }

    fn of_all(&self) -> Digest {
        let page = self.page.as_ref().map(|(path, size, time)| format!("{} {size} {time}", path.display()));
        let mut hasher = Hasher::new("pipe.shown.v1");
        hasher.digest(&self.state).str(&self.software).str(&page.unwrap_or_default()).str(&self.results);
        hasher.finish()
    }

    fn read(store: &Store, pipeline: &Pipeline) -> Option<Self> {
        let stamp: Self = serde_json::from_slice(&fs::read(place(store, pipeline)).ok()?).ok()?;
        (stamp.digest == stamp.of_all()).then_some(stamp)
    }

    /// It only saves time: where it cannot be written, the next run makes all of it anew.
    fn keep(&self, store: &Store, pipeline: &Pipeline) {
        let path = place(store, pipeline);
        let kept = serde_json::to_vec(self).map_err(std::io::Error::from).and_then(|text| put_file(&path, &text));
        if let Err(error) = kept {
            tracing::debug!(%error, path = %path.display(), "what was shown could not be kept");
        }
    }
}

fn place(store: &Store, pipeline: &Pipeline) -> PathBuf {
    let trial = pipeline.trial.as_ref().map(|trial| format!("+{trial}")).unwrap_or_default();
    store.layout().runs().join("stamps").join(format!("{}{trial}.shown.json", pipeline.name))
}

fn as_it_is(path: &Path) -> Option<(PathBuf, u64, u128)> {
    let metadata = fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((path.to_owned(), metadata.len(), modified.as_nanos()))
}

/// Prints the tables, and writes the page; returns where that is, if it is new.
pub(super) fn show(
    global: &cli::Global,
    args: &cli::Run,
    pipeline: &Pipeline,
    store: &Store,
    options: &RunOptions,
    heard: &Heard,
) -> Result<Option<PathBuf>, CliError> {
    let prints = !global.quiet && args.format == cli::Format::Text && has_arms(pipeline);
    let page = options.results.as_ref().filter(|_| !args.no_report).map(|results| results.join(page_of(pipeline)));
    if let Some(results) = unchanged(store, pipeline, heard, page.as_deref()) {
        if prints {
            print(&results, args);
        }
        return Ok(None);
    }
    if !prints && page.is_none() {
        return Ok(None);
    }
    let _span = tracing::info_span!("report").entered();
    let gathered = Gathered::new(pipeline, store, &options.env, heard)?;
    if prints {
        print(&gathered.results, args);
    }
    let mut written = None;
    if let Some(page) = &page {
        let html = results::html(&gathered.report(made(options, heard), &time)?);
        // The run is over: that a page could not be written takes nothing from it.
        match html.and_then(|html| put_file(page, html.as_bytes())) {
            Ok(()) => written = Some(page.clone()),
            Err(error) => output::warning(format_args!("{} could not be written: {error}", page.display())),
        }
    }
    // A page of what went wrong belongs to this run alone.
    if let (Some(state), true, false) = (heard.state, gathered.results.failures.is_empty(), store.read_only())
        && let Some(stamp) = Stamp::new(state, page.as_deref(), &gathered.results)
    {
        stamp.keep(store, pipeline);
    }
    // Of a run that was broken off, or that nothing was compared in, nobody waits for a page.
    Ok(written.filter(|_| heard.outcome != Some(RunEnd::Cancelled) && has_arms(pipeline)))
}

fn print(results: &Results, args: &cli::Run) {
    // A closed stdout is nobody's problem.
    let _ = report::print(results, args.wide);
}

/// What the last run found, if this one found everything as it was.
fn unchanged(store: &Store, pipeline: &Pipeline, heard: &Heard, page: Option<&Path>) -> Option<Results> {
    if heard.is_eventful() {
        return None;
    }
    let stamp = Stamp::read(store, pipeline)?;
    let is_same = Some(stamp.state) == heard.state && stamp.software == super::SOFTWARE;
    let has_page = page.is_none_or(|page| stamp.page.is_some() && stamp.page == as_it_is(page));
    let mut results: Results = serde_json::from_str(&stamp.results).ok().filter(|_| is_same && has_page)?;
    // What that run had computed, this one has reused.
    for arm in results.studies.iter_mut().flat_map(|study| &mut study.arms) {
        (arm.seconds_paid, arm.reused) = (0.0, arm.stages);
    }
    Some(results)
}

/// Where the page lies, below the folder of results.
fn page_of(pipeline: &Pipeline) -> PathBuf {
    let trial = pipeline.trial.as_ref().map(|trial| format!("+{}", trial.replace(['/', '\\'], "_")));
    results_folder(pipeline).join(format!("report{}.html", trial.unwrap_or_default()))
}

fn made(options: &RunOptions, heard: &Heard) -> Made {
    let words = std::iter::once("pipe".to_owned()).chain(options.arguments.iter().map(|word| quoted(word)));
    let machine = |name: &str| {
        options.machine.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let cores = machine("cpus").map(|cpus| format!("{cpus} cores"));
    Made {
        time: time(now_ms()),
        run: heard.run.clone(),
        outcome: heard.outcome.map(|outcome| {
            match outcome {
                RunEnd::Succeeded => "succeeded",
                RunEnd::Failed => "failed",
                RunEnd::Cancelled => "cancelled",
                RunEnd::Left => "left to others",
            }
            .to_owned()
        }),
        software: super::SOFTWARE.to_owned(),
        command: words.collect::<Vec<_>>().join(" "),
        machine: [machine("os"), machine("arch"), cores].into_iter().flatten().collect::<Vec<_>>().join(", "),
    }
}

/// As RFC 3339 in UTC, to the second.
fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(chrono::DateTime::from_timestamp_millis);
    time.map_or_else(String::new, |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

//! `pipe show`.

mod cells;
mod small;
mod stats;

use std::io::Write;

use arrow::array::RecordBatch;
use pipe_cache::{ArtifactKind, Manifest, Output, ReadOptions, Store, type_name};
use pipe_engine::diag::one_of;
use serde_json::{Value, json};

use self::stats::{ColumnStats, Stats};
use super::{
    target::{self, Target},
    values,
};
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Screen, Table, ago, bytes, color_on_stdout, count, paint, plural, seconds, style},
    project,
};

/// Rows printed of a table that is not small.
const HEAD: usize = 5;

pub(crate) fn show(global: &cli::Global, args: &cli::Show) -> Result<Exit, CliError> {
    let store = project::existing_store(global, project::READ_ONLY)?;
    let Some(named) = &args.target else { return Err(target::unnamed(&store, args.pipeline.as_deref())?) };
    let target = target::find(&store, args.pipeline.as_deref(), named)?;
    let manifest = store.manifest(&target.key)?.ok_or_else(|| CliError::NotFound {
        message: format!("the result `{}` was deleted, or is damaged", target.label),
        help: Some("run the pipeline again".to_owned()),
    })?;
    let output = chosen_output(&manifest, &target)?;
    let table = match output.artifact.kind {
        ArtifactKind::Table => Some(read_table(&store, output, args)?),
        ArtifactKind::Files => None,
    };
    match args.format {
        Format::Json => print_json(&store, &manifest, output, table.as_ref())?,
        Format::Text => print_text(&store, &target, &manifest, output, table.as_ref(), args, &mut output::stdout())?,
    }
    Ok(Exit::Success)
}

fn chosen_output<'a>(manifest: &'a Manifest, target: &Target) -> Result<&'a Output, CliError> {
    let found = match &target.port {
        None => manifest.outputs.first(),
        Some(port) => manifest.outputs.iter().find(|output| output.port == *port),
    };
    found.ok_or_else(|| {
        let port = target.port.as_deref().unwrap_or_default();
        CliError::NotFound {
            message: format!("`{}` has no output `{port}`", target.label),
            help: one_of(port, "the outputs are", manifest.outputs.iter().map(|output| output.port.as_str())),
        }
    })
}

/// `stage.output@variant`.
fn named(label: &str, port: &str) -> String {
    match label.split_once('@') {
        Some((stage, variant)) => format!("{stage}.{port}@{variant}"),
        None => format!("{label}.{port}"),
    }
}

/// What is shown of a table.
struct Shown {
    head: RecordBatch,
    /// All of a table that is small enough to be shown as it is.
    small: Option<RecordBatch>,
    stats: Option<Vec<ColumnStats>>,
}

fn read_table(store: &Store, output: &Output, args: &cli::Show) -> Result<Shown, CliError> {
    let options = ReadOptions { limit: Some(args.head.unwrap_or(HEAD)), ..ReadOptions::default() };
    let head = store.open_table(&output.artifact, &options)?.read_all()?;
    let small = if output.artifact.rows <= small::ROWS {
        let all = store.open_table(&output.artifact, &ReadOptions::default())?.read_all()?;
        Some(all).filter(small::is_small).map(|all| all.slice(0, all.num_rows().min(args.head.unwrap_or(usize::MAX))))
    } else {
        None
    };
    if args.no_stats {
        return Ok(Shown { head, small, stats: None });
    }
    let reader = store.open_table(&output.artifact, &ReadOptions::default())?;
    let mut stats = Stats::new(reader.schema());
    for batch in reader {
        stats.update(&batch?)?;
    }
    Ok(Shown { head, small, stats: Some(stats.finish()) })
}

fn print_json(store: &Store, manifest: &Manifest, output: &Output, table: Option<&Shown>) -> Result<(), CliError> {
    let mut value = json!({
        "key": manifest.key,
        "output": output,
        "path": store.layout().artifact(&output.artifact),
        "provenance": manifest.provenance,
    });
    if let Some(table) = table {
        value["head"] = Value::Array(values::rows(&table.head)?);
        if let Some(stats) = &table.stats {
            value["columns"] = json!(stats);
        }
    }
    Ok(output::json(&value)?)
}

fn print_text(
    store: &Store,
    target: &Target,
    manifest: &Manifest,
    output: &Output,
    table: Option<&Shown>,
    args: &cli::Show,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let (color, screen) = (color_on_stdout(), Screen::of_stdout());
    let artifact = &output.artifact;
    let amount = plural(artifact.rows, if artifact.kind == ArtifactKind::Table { "row" } else { "file" });
    // Of several outputs, which one this is.
    let label = match (&target.port, manifest.outputs.len()) {
        (None, 2..) => named(&target.label, &output.port),
        _ => target.label.clone(),
    };
    writeln!(out, "{}  {amount}, {}", paint(label, style::BOLD, color), bytes(artifact.bytes))?;
    let dim = |text: String| paint(text, style::DIM, color);
    let provenance = &manifest.provenance;
    writeln!(
        out,
        "{}",
        dim(format!(
            "key {}, computed {} in {}",
            manifest.key.short(),
            ago(provenance.started_ms),
            seconds(provenance.seconds)
        ))
    )?;
    writeln!(out, "{}", dim(project::from_here(&store.layout().artifact(artifact))))?;
    if manifest.outputs.len() > 1 {
        let ports: Vec<String> =
            manifest.outputs.iter().map(|o| format!("{} ({})", o.port, count(o.artifact.rows))).collect();
        writeln!(out, "{}", dim(format!("outputs: {}; this is `{}`", ports.join(", "), output.port)))?;
    }
    for (name, n) in &provenance.counters {
        writeln!(out, "{}", dim(format!("{name}: {}", count(*n))))?;
    }
    writeln!(out)?;
    let Some(table) = table else {
        let mut files = Table::new(&["file", ">size"]);
        for file in &output.files {
            let name = file.link.as_ref().map_or_else(|| file.path.clone(), |to| format!("{} → {to}", file.path));
            files.row([name, bytes(file.bytes)]);
        }
        files.write(out, color)?;
        return Ok(());
    };
    // Scores and yields are looked at whole; statistics of four numbers say less than the numbers.
    if let Some(small) = table.small.as_ref().filter(|_| !args.wrap) {
        return Ok(small::write(small, screen.columns, color, out)?);
    }
    if let Some(stats) = &table.stats {
        cells::stats_table(stats, screen.columns).write(out, color)?;
    } else {
        let mut columns = Table::new(&["column", "type"]);
        for field in table.head.schema().fields() {
            columns.row([field.name().clone(), type_name(field.data_type())]);
        }
        columns.write(out, color)?;
    }
    cells::write_rows(&table.head, args.wrap, screen.columns, color, out)
}

//! `pipe show`.

use std::io::Write;

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_cache::{ArtifactKind, Manifest, Output, ReadOptions, Store};
use pipe_engine::diag::{escape, one_of};
use pipe_stages::tabular::{Unprintable, printable};
use serde_json::{Value, json};

use super::{
    stats::{ColumnStats, Stats},
    target::{self, Target},
    values,
};
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, ago, bytes, clip, color_on_stdout, count, paint, plural, seconds, style},
    project,
};

const CELL_WIDTH: usize = 72;
const TOP_WIDTH: usize = 24;

pub(crate) fn show(global: &cli::Global, args: &cli::Show) -> Result<Exit, CliError> {
    let store = project::existing_store(global, project::READ_ONLY)?;
    let target = target::find(&store, args.pipeline.as_deref(), &args.target)?;
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
        Format::Text => print_text(&store, &target, &manifest, output, table.as_ref(), &mut output::stdout())?,
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
    stats: Option<Vec<ColumnStats>>,
}

fn read_table(store: &Store, output: &Output, args: &cli::Show) -> Result<Shown, CliError> {
    let options = ReadOptions { limit: Some(args.head), ..ReadOptions::default() };
    let head = store.open_table(&output.artifact, &options)?.read_all()?;
    if args.no_stats {
        return Ok(Shown { head, stats: None });
    }
    let reader = store.open_table(&output.artifact, &ReadOptions::default())?;
    let mut stats = Stats::new(reader.schema());
    for batch in reader {
        stats.update(&batch?)?;
    }
    Ok(Shown { head, stats: Some(stats.finish()) })
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
    output::json(&value)
}

fn print_text(
    store: &Store,
    target: &Target,
    manifest: &Manifest,
    output: &Output,
    table: Option<&Shown>,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let color = color_on_stdout();
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
    writeln!(out, "{}", dim(store.layout().artifact(artifact).display().to_string()))?;
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
    if let Some(stats) = &table.stats {
        stats_table(stats).write(out, color)?;
    } else {
        let mut columns = Table::new(&["column", "type"]);
        for column in &output.columns {
            columns.row([column.name.clone(), column.data_type.clone()]);
        }
        columns.write(out, color)?;
    }
    write_rows(&table.head, color, out)
}

fn stats_table(stats: &[ColumnStats]) -> Table {
    let mut table =
        Table::new(&["column", "type", ">nulls", ">distinct", ">min", ">mean", ">max", "length", "most frequent"]);
    for column in stats {
        let value = |value: &Option<String>| value.as_ref().map_or_else(String::new, |v| clip(v, TOP_WIDTH));
        let lengths = column.lengths.map_or_else(String::new, |l| format!("{}..{} (mean {:.0})", l.min, l.max, l.mean));
        let top: Vec<String> =
            column.top.iter().map(|(value, n)| format!("{} ×{}", clip(value, TOP_WIDTH), count(*n))).collect();
        table.row([
            column.name.clone(),
            column.data_type.clone(),
            count(column.nulls),
            count(column.distinct),
            value(&column.min),
            column.mean.map_or_else(String::new, |mean| format!("{mean:.4}")),
            value(&column.max),
            lengths,
            top.join(", "),
        ]);
    }
    table
}

/// Rows one under the other, one line per value: texts are long.
fn write_rows(batch: &RecordBatch, color: bool, out: &mut impl Write) -> Result<(), CliError> {
    let options = FormatOptions::new().with_null("null");
    let batch = printable(batch, Unprintable::AsStored)?;
    let formats = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<Vec<_>, _>>()?;
    let schema = batch.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| escape(field.name())).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for row in 0..batch.num_rows() {
        writeln!(out, "\n{}", paint(format!("row {row}"), style::DIM, color))?;
        for (name, format) in names.iter().zip(&formats) {
            let name = format!("{name:width$}");
            writeln!(
                out,
                "  {}  {}",
                paint(name, style::NEW, color),
                clip(&format.value(row).to_string(), CELL_WIDTH)
            )?;
        }
    }
    Ok(())
}

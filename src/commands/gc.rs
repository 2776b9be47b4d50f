//! `pipe gc`.

use std::io::Write;

use pipe_cache::{GcPolicy, StoreOptions};
use serde_json::json;

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, bytes, plural},
    project,
};

pub(crate) fn gc(global: &cli::Global, args: &cli::Gc) -> Result<Exit, CliError> {
    if args.even_reachable && args.max_size.is_none() && args.max_age.is_none() {
        return Err(CliError::Usage {
            message: "--even-reachable goes with --max-size or --max-age".to_owned(),
            help: Some("`pipe gc --max-size 0B --even-reachable` removes every result".to_owned()),
        });
    }
    let store = project::existing_store(global, StoreOptions { read_only: args.dry_run })?;
    let report = store.gc(&GcPolicy {
        max_bytes: args.max_size,
        max_age: args.max_age,
        unreachable: args.unreachable,
        even_reachable: args.even_reachable,
        dry_run: args.dry_run,
    })?;
    match args.format {
        Format::Json => output::json(&json!({
            "dry_run": args.dry_run, "results": report.manifests, "objects": report.objects, "memos": report.memos,
            "leftovers": report.leftovers, "quarantined": report.quarantined,
            "freed_bytes": report.freed_bytes, "kept_bytes": report.kept_bytes,
        }))?,
        Format::Text => writeln!(
            output::stdout(),
            "{} {}, {}, {}, {}, {}: {} freed, {} kept",
            if args.dry_run { "would remove" } else { "removed" },
            plural(report.manifests as u64, "result"),
            plural(report.objects as u64, "object"),
            plural(report.memos as u64, "memo"),
            plural(report.leftovers as u64, "leftover"),
            plural(report.quarantined as u64, "damaged piece"),
            bytes(report.freed_bytes),
            bytes(report.kept_bytes),
        )?,
    }
    Ok(Exit::Success)
}

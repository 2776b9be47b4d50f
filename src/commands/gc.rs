//! `pipe gc`.

use std::io::{self, Write};

use pipe_cache::{GcPolicy, GcReport, Reason, Removable, Removed, StoreOptions};
use serde_json::{Value, json};

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, ago, bytes, color_on_stdout, plural},
    project,
};

pub(crate) fn gc(global: &cli::Global, args: &cli::Gc) -> Result<Exit, CliError> {
    if args.even_reachable && args.max_size.is_none() && args.max_age.is_none() {
        return Err(CliError::Usage {
            message: "--even-reachable goes with --max-size or --max-age".to_owned(),
            help: Some("`pipe gc --max-size 0B --even-reachable` removes every result".to_owned()),
        });
    }
    let store = project::existing_store(global, StoreOptions { read_only: args.dry_run, ..project::writing() })?;
    if args.remote {
        return super::remote::gc(global, &store, args);
    }
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
            "removed": report.removed.iter().map(as_json).collect::<Vec<_>>(),
        }))?,
        Format::Text => write(&report, args, &mut output::prose())?,
    }
    Ok(Exit::Success)
}

fn write(report: &GcReport, args: &cli::Gc, out: &mut impl Write) -> io::Result<()> {
    if args.dry_run && !report.removed.is_empty() {
        let mut table = Table::new(&["what", "of", ">size", "last used", "why it goes"]);
        for removed in &report.removed {
            let what = match removed.what {
                Removable::Result => "result",
                Removable::Memo => "rows",
                Removable::Work => "unfinished",
                Removable::Object => "object",
                Removable::Leftover => "leftover",
                Removable::Damaged => "damaged",
            };
            // Whatever has no stage is named by its place.
            let of = name(removed).unwrap_or_else(|| {
                let parent = removed.path.parent().and_then(|parent| parent.file_name());
                let name = removed.path.file_name().unwrap_or_default().to_string_lossy();
                let name: String = name.chars().take(24).collect();
                parent.map_or_else(|| name.clone(), |parent| format!("{}/{name}", parent.to_string_lossy()))
            });
            let used = ago(removed.last_used_ms);
            table.row([what.to_owned(), of, bytes(removed.bytes), used, reason(removed, args)]);
        }
        table.write(out, color_on_stdout())?;
    }
    writeln!(
        out,
        "{} {}, {}, {}, {}, {}: {} freed, {} kept",
        if args.dry_run { "would remove" } else { "removed" },
        plural(report.manifests as u64, "result"),
        plural(report.objects as u64, "object"),
        plural(report.memos as u64, "memo"),
        plural(report.leftovers as u64, "leftover"),
        plural(report.quarantined as u64, "damaged piece"),
        bytes(report.freed_bytes),
        bytes(report.kept_bytes),
    )
}

/// `pipeline stage@variant`, of the stage that computed it first.
fn name(removed: &Removed) -> Option<String> {
    let text = |name: &str| removed.record.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some(format!("{} {}", text("pipeline")?, text("label")?))
}

fn reason(removed: &Removed, args: &cli::Gc) -> String {
    match (removed.reason, removed.what) {
        (Reason::Useless, Removable::Object) => "no result names it".to_owned(),
        (Reason::Useless, Removable::Leftover) => "its process has died".to_owned(),
        (Reason::Useless, Removable::Damaged) => "it was damaged, and put aside".to_owned(),
        (Reason::Useless, _) => "its result is there".to_owned(),
        (Reason::Unreachable, Removable::Memo) => "no pipeline's result came of them".to_owned(),
        (Reason::Unreachable, _) => "no pipeline stands at it any more".to_owned(),
        (Reason::Old, _) => {
            let days = args.max_age.map_or(0.0, |age| age.as_secs_f64());
            format!("not used for more than {}", output::seconds(days))
        }
        (Reason::Room, _) => format!("the store is to hold {}", bytes(args.max_size.unwrap_or(0))),
    }
}

fn as_json(removed: &Removed) -> Value {
    json!({ "what": removed.what, "stage": removed.record.get("label"), "pipeline": removed.record.get("pipeline"),
            "variant": removed.record.get("variant"), "path": removed.path, "bytes": removed.bytes,
            "last_used_ms": removed.last_used_ms, "reason": removed.reason })
}

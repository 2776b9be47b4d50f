//! `pipe verify`.

use std::io::Write;

use pipe_cache::{Digest, Finding, StoreOptions, VerifyOptions};
use serde_json::{Value, json};

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, bytes, plural},
    project,
};

pub(crate) fn verify(global: &cli::Global, args: &cli::Verify) -> Result<Exit, CliError> {
    let store = project::existing_store(global, StoreOptions { read_only: !args.repair, ..project::writing() })?;
    let report = store.verify(&VerifyOptions { repair: args.repair })?;
    match args.format {
        Format::Json => output::json(&json!({
            "sound": report.is_sound(), "results": report.manifests, "objects": report.objects, "memo_shards":
            report.shards, "others": report.others, "bytes": report.bytes,
            "findings": report.findings.iter().map(as_json).collect::<Vec<_>>(),
            "repaired": report.repaired.iter().map(as_json).collect::<Vec<_>>(),
        }))?,
        Format::Text => {
            let mut out = output::prose();
            for finding in &report.repaired {
                writeln!(out, "{}; it is put aside", as_text(finding))?;
            }
            for finding in &report.findings {
                writeln!(out, "{}", as_text(finding))?;
            }
            let aside = plural(report.repaired.len() as u64, "damaged piece");
            let outcome = match (report.is_sound(), report.repaired.is_empty()) {
                (true, true) => "all sound".to_owned(),
                (true, false) => format!("{aside} put aside; the store is sound now"),
                (false, true) => "DAMAGED".to_owned(),
                (false, false) => format!("{aside} put aside, and STILL DAMAGED: not all could be read"),
            };
            writeln!(
                out,
                "{}, {}, {}, {}: {} checked, {outcome}",
                plural(report.manifests as u64, "result"),
                plural(report.objects as u64, "object"),
                plural(report.shards as u64, "memo shard"),
                plural(report.others as u64, "other file"),
                bytes(report.bytes),
            )?;
        }
    }
    if !report.is_sound() && !args.repair {
        output::say(
            "damaged pieces are never served; `pipe verify --repair` puts them aside, and the next run computes them \
             again",
        );
    }
    if !report.repaired.is_empty() {
        output::say(
            "what was put aside lies in the store's `quarantine/`; the next run computes it again where it needs it",
        );
    }
    Ok(if report.is_sound() { Exit::Success } else { Exit::Damaged })
}

fn as_text(finding: &Finding) -> String {
    match finding {
        Finding::Damaged { path, reason, keys } => {
            let needed: Vec<String> = keys.iter().map(Digest::short).collect();
            let needed = if needed.is_empty() { String::new() } else { format!(" (needed by {})", needed.join(", ")) };
            format!("damaged   {}: {reason}{needed}", path.display())
        }
        Finding::Future { path, format } => {
            format!("newer     {}: of format {format}, which this version cannot read", path.display())
        }
        Finding::Unreadable { path, reason } => format!("unread    {}: {reason}", path.display()),
        Finding::Orphan { path } => format!("orphan    {}: no result names it; `pipe gc` removes it", path.display()),
        Finding::Leftover { path } => {
            format!("leftover  {}: of a process that died; `pipe gc` removes it", path.display())
        }
    }
}

fn as_json(finding: &Finding) -> Value {
    match finding {
        Finding::Damaged { path, reason, keys } => {
            json!({ "finding": "damaged", "path": path, "reason": reason, "needed_by": keys })
        }
        Finding::Future { path, format } => json!({ "finding": "future", "path": path, "format": format }),
        Finding::Unreadable { path, reason } => json!({ "finding": "unreadable", "path": path, "reason": reason }),
        Finding::Orphan { path } => json!({ "finding": "orphan", "path": path }),
        Finding::Leftover { path } => json!({ "finding": "leftover", "path": path }),
    }
}

//! `pipe remote`, `pipe push`, `pipe pull`: the second level of the store.

use std::{
    collections::{BTreeSet, HashSet},
    io::Write,
    path::Path,
};

use pipe_cache::{Ability, CheckStep, CollectPolicy, Digest, Remote, RemoteCounts, Store};
use pipe_engine::{
    context::CancelToken,
    events::RunEnd,
    execute::{self, RunOptions},
    pipeline::Selection,
};
use serde_json::json;

use super::{run, target};
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, bytes, color_on_stdout, count, paint, plural, style},
    project,
    report::{Summary, reporter},
    signals,
};

/// Removing what was just marked would race with who pushes at this moment.
pub(crate) const GRACE: &str = "24h";

/// The remote of the project of a folder, which must have one.
fn remote_of(folder: &Path) -> Result<Remote, CliError> {
    project::remote(folder, &project::environment())?.ok_or_else(|| CliError::Usage {
        message: "no remote is named".to_owned(),
        help: Some("put `remote = \"s3://bucket/prefix\"` into pipe.toml, or set PIPE_REMOTE".to_owned()),
    })
}

/// The remote of the project that a command is about: where a store is named, by settings too, that of the folder it is
/// named in; else that of the store that was found. Where one of them says nothing, the other does.
fn remote_of_project(global: &cli::Global, store: &Store) -> Result<Remote, CliError> {
    let here = Path::new(".");
    let beside = store.layout().root().parent().unwrap_or(here);
    let is_said = global.store.is_some() || project::settings(here)?.store().is_some();
    let (first, second) = if is_said { (here, beside) } else { (beside, here) };
    match project::remote(first, &project::environment())? {
        Some(remote) => Ok(remote),
        None => remote_of(second),
    }
}

/// Its mode forbids to change what is there.
fn only_pulled(so: &str) -> CliError {
    CliError::Usage {
        message: format!("this remote is only pulled from: {so}"),
        help: Some("its mode is `pull` (`mode` in pipe.toml, or PIPE_REMOTE_MODE)".to_owned()),
    }
}

pub(crate) fn remote(args: &cli::Remote) -> Result<Exit, CliError> {
    let cli::RemoteQuestion::Check = args.what;
    let steps = remote_of(Path::new("."))?.check();
    let missing = steps.iter().any(|step| step.needed && step.problem.is_some());
    match args.format {
        Format::Json => output::json(&steps.iter().map(as_json).collect::<Vec<_>>())?,
        Format::Text => write_steps(&steps, &mut output::prose())?,
    }
    if missing {
        output::error(&["the remote cannot do what it is used for".to_owned()], None);
    }
    Ok(if missing { Exit::Io } else { Exit::Success })
}

fn write_steps(steps: &[CheckStep], out: &mut impl Write) -> std::io::Result<()> {
    let color = color_on_stdout();
    for step in steps {
        let (mark, said) = match (&step.problem, step.tried, step.needed) {
            (None, true, _) => (paint("✓", style::GOOD, color), String::new()),
            (None, false, _) => ("-".to_owned(), ": not tried, for nothing could be written".to_owned()),
            (Some(problem), _, true) => (paint("✗", style::ERROR, color), format!(": {problem}")),
            (Some(problem), _, false) => (paint("!", style::WARNING, color), format!(": {problem}")),
        };
        writeln!(out, "  {mark} {}{said}", words(step.ability))?;
    }
    Ok(())
}

fn words(ability: Ability) -> &'static str {
    match ability {
        Ability::Write => "write",
        Ability::Read => "read",
        Ability::ReadPart => "read a part, to go on after a cut",
        Ability::Miss => "say what is not there",
        Ability::WriteNew => "write only what is new",
        Ability::List => "list, for `pipe gc --remote`",
        Ability::Remove => "remove, for `pipe gc --remote`",
    }
}

fn as_json(step: &CheckStep) -> serde_json::Value {
    let name = match step.ability {
        Ability::Write => "write",
        Ability::Read => "read",
        Ability::ReadPart => "read_part",
        Ability::Miss => "miss",
        Ability::WriteNew => "write_new",
        Ability::List => "list",
        Ability::Remove => "remove",
    };
    json!({ "ability": name, "needed": step.needed, "tried": step.tried, "problem": step.problem })
}

pub(crate) fn push(global: &cli::Global, args: &cli::Push) -> Result<Exit, CliError> {
    let cancel = CancelToken::new();
    signals::cancel_on_signal(cancel.clone(), signals::Insistence::AnySignal);
    // It takes note of what the remote has, and takes in rows that stand where its own are to go.
    let store = project::existing_store_to_note(global)?;
    let remote = remote_of_project(global, &store)?;
    if !remote.pushes() {
        return Err(only_pulled("nothing goes there"));
    }
    let cancelled = remote.clone();
    cancel.on_cancel(move || cancelled.cancel());
    let keys = wanted(&store, args)?;
    let mut recipes = BTreeSet::new();
    for key in &keys {
        recipes.extend(store.manifest(key)?.and_then(|manifest| manifest.provenance.recipe));
    }
    remote.submit_all(&store, &keys);
    for recipe in &recipes {
        remote.submit_memo(&store, recipe);
    }
    remote.wait(&|| cancel.is_cancelled());
    remote.take_warnings().iter().for_each(output::warning);
    let counts = remote.counts();
    match args.format {
        Format::Json => output::json(&counts)?,
        Format::Text => writeln!(output::prose(), "{}", pushed(&counts))?,
    }
    Ok(match (cancel.is_cancelled(), counts.unpushed) {
        (true, _) => Exit::Cancelled,
        (false, 0) => Exit::Success,
        (false, _) => Exit::Io,
    })
}

fn pushed(counts: &RemoteCounts) -> String {
    let mut parts = vec![
        format!("{} pushed ({})", plural(counts.pushed, "result"), bytes(counts.bytes_pushed)),
        format!("{} there already", count(counts.there)),
    ];
    parts.extend((counts.segments_pushed > 0).then(|| plural(counts.segments_pushed, "pack") + " of rows"));
    parts.extend((counts.unpushed > 0).then(|| format!("{} NOT PUSHED", count(counts.unpushed))));
    parts.join(", ")
}

/// The keys of what pipelines stand at, as far as they are of the stages or variants that are named.
fn wanted(store: &Store, args: &cli::Push) -> Result<Vec<Digest>, CliError> {
    let (mut keys, mut known) = (BTreeSet::new(), BTreeSet::new());
    let mut found = vec![false; args.targets.len()];
    for pipeline in target::pipelines(store, args.pipeline.as_deref())? {
        for (variant, stages) in store.refs(&pipeline)? {
            for (stage, key) in stages {
                let full = format!("{stage}@{variant}");
                let named = |text: &String| *text == stage || *text == variant || *text == full;
                for (found, text) in found.iter_mut().zip(&args.targets) {
                    *found |= named(text);
                }
                if args.targets.is_empty() || args.targets.iter().any(named) {
                    keys.insert(key);
                }
                known.extend([stage, variant.clone()]);
            }
        }
    }
    if let Some((text, _)) = args.targets.iter().zip(found).find(|(_, found)| !found) {
        let help = pipe_engine::diag::one_of(text, "there are", known.iter().map(String::as_str));
        return Err(CliError::NotFound { message: format!("there is no stage or variant `{text}`"), help });
    }
    Ok(keys.into_iter().collect())
}

pub(crate) fn pull(global: &cli::Global, args: cli::Pull) -> Result<Exit, CliError> {
    let cancel = CancelToken::new();
    signals::cancel_on_signal(cancel.clone(), signals::Insistence::AnySignal);
    let (mut arguments, mut targets) = (args.pipeline, args.targets);
    // What stands alone is a stage or a variant.
    if !arguments.pipeline.exists() && Path::new(cli::PIPELINE).exists() {
        let first = std::mem::replace(&mut arguments.pipeline, cli::PIPELINE.into());
        targets.insert(0, first.display().to_string());
    }
    let pipeline = super::load(&arguments)?;
    let mut selection = Selection::from(args.select);
    let (variants, stages): (Vec<_>, Vec<_>) =
        targets.into_iter().partition(|target| pipeline.variants.iter().any(|variant| variant.name == *target));
    selection.variants.extend(variants);
    selection.until.extend(stages);
    let remote = remote_of(&pipeline.base_dir)?;
    if !remote.pulls() {
        return Err(CliError::Usage {
            message: "this remote is only pushed to".to_owned(),
            help: Some("its mode is `push` (`mode` in pipe.toml, or PIPE_REMOTE_MODE)".to_owned()),
        });
    }
    let store = project::open_store(global, &pipeline.base_dir)?;
    let options = RunOptions {
        selection,
        keep_going: true,
        results: Some(project::results_path(&store)),
        cancel,
        remote: Some(remote),
        pull_only: true,
        ..run::options(&cli::Limits { jobs: None, gpus: 0, memory: None })
    };
    let mut reporter = reporter(global, args.format);
    let mut words = Summary::default();
    let summary = execute::run(&pipeline, &store, &options, &mut |event| {
        reporter.event(event);
        words.event(event);
    })?;
    drop(reporter);
    if !global.quiet {
        words.say(&summary);
        if summary.skipped > 0 && summary.outcome != RunEnd::Cancelled {
            output::say(format_args!("{} not on the remote; `pipe run` computes them", count(summary.skipped as u64)));
        }
    }
    store.flush()?;
    Ok(match summary.outcome {
        RunEnd::Succeeded => Exit::Success,
        RunEnd::Failed | RunEnd::Left => Exit::StageFailed,
        RunEnd::Cancelled => Exit::Cancelled,
    })
}

/// `pipe gc --remote`.
pub(crate) fn gc(global: &cli::Global, store: &Store, args: &cli::Gc) -> Result<Exit, CliError> {
    if args.max_size.is_some() || args.unreachable || args.even_reachable {
        return Err(CliError::Usage {
            message: "--remote goes with --max-age and --grace alone".to_owned(),
            help: Some("how large a remote is, and who stands at what there, is not known".to_owned()),
        });
    }
    let remote = remote_of_project(global, store)?;
    if !remote.pushes() {
        return Err(only_pulled("nothing is removed there"));
    }
    let mut keep = HashSet::new();
    for pipeline in store.pipelines()? {
        keep.extend(store.refs(&pipeline)?.into_values().flat_map(std::collections::BTreeMap::into_values));
    }
    let policy = CollectPolicy { max_age: args.max_age, grace: args.grace, keep, dry_run: args.dry_run };
    let collected = remote.collect(&policy)?;
    remote.take_warnings().iter().for_each(output::warning);
    match args.format {
        Format::Json => output::json(&json!({ "dry_run": args.dry_run, "remote": collected }))?,
        Format::Text => {
            let (would, marked) = if args.dry_run { ("would ", "mark") } else { ("", "marked") };
            let removed = if args.dry_run { "remove" } else { "removed" };
            writeln!(
                output::prose(),
                "{would}{removed} {} ({}), {marked} {}; {} marked before, {} ({}) stay",
                plural(collected.removed, "object"),
                bytes(collected.removed_bytes),
                count(collected.marked),
                count(collected.waiting),
                count(collected.kept),
                bytes(collected.kept_bytes),
            )?;
            if collected.marked > 0 && !args.dry_run {
                let grace = output::seconds(args.grace.as_secs_f64());
                output::say(format_args!("what is marked goes when this is run again, {grace} from now or later"));
            }
        }
    }
    Ok(Exit::Success)
}

//! `pipe plan`.

use std::io::Write;

use pipe_cache::Remote;
use pipe_engine::{
    execute::RunOptions,
    inspect::{self, Action, Plan, PlanNode},
};

use super::run::options;
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, color_on_stdout, count, paint, plural, seconds, style},
    project,
};

/// Stages that cannot run for the sake of others are named as long as they are so few.
const FEW_BLOCKED: u64 = 3;

pub(crate) fn plan(global: &cli::Global, args: cli::Plan) -> Result<Exit, CliError> {
    let pipeline = super::load(&args.pipeline)?;
    let store = project::look_into_store(global, &pipeline.base_dir)?;
    let memory = args.memory.or(project::settings(&pipeline.base_dir)?.memory());
    let limits = cli::Limits { jobs: None, gpus: 0, memory };
    let options = RunOptions { selection: args.select.into(), ..options(&limits) };
    let options = RunOptions { remote: project::remote(&pipeline.base_dir, &options.env)?, ..options };
    let plan = inspect::plan(&pipeline, &store, &options)?;
    options.remote.iter().flat_map(Remote::take_warnings).for_each(output::warning);
    match args.format {
        Format::Json => output::json(&plan)?,
        Format::Text => {
            // In one piece: a terminal's line buffer would cost a plan of many thousand stages a tenth of its time.
            let mut text = Vec::new();
            write(&plan, args.all, pipeline.variants.len(), &mut text)?;
            output::prose().write_all(&text)?;
        }
    }
    Ok(if plan.nodes.iter().any(|node| cannot_run(&node.action)) { Exit::StageFailed } else { Exit::Success })
}

fn cannot_run(action: &Action) -> bool {
    matches!(action, Action::Blocked { .. } | Action::Error { .. })
}

fn write(plan: &Plan, all: bool, variants: usize, out: &mut impl Write) -> Result<(), CliError> {
    let color = color_on_stdout();
    let number = |wanted: fn(&Action) -> bool| plan.nodes.iter().filter(|n| wanted(&n.action)).count() as u64;
    let hits = number(|a| matches!(a, Action::Hit { .. }));
    let runs = number(|a| matches!(a, Action::Run { .. }));
    let pending = number(|a| matches!(a, Action::Pending { .. }));
    let stuck = match number(cannot_run) {
        0 => String::new(),
        n => format!(", {n} cannot run"),
    };
    writeln!(out, "{}", paint(&plan.pipeline, style::BOLD, color))?;
    // What one mistake keeps from running is told once.
    let (mut told, mut repeated): (Vec<&str>, _) = (Vec::new(), 0);
    let blocked = number(|a| matches!(a, Action::Blocked { .. }));
    for node in &plan.nodes {
        if let Action::Error { message } = &node.action {
            repeated += u64::from(told.contains(&message.as_str()));
        }
        let says_more = match &node.action {
            Action::Hit { .. } | Action::NotSelected => false,
            Action::Blocked { .. } => blocked <= FEW_BLOCKED,
            Action::Error { message } => !told.contains(&message.as_str()),
            _ => true,
        };
        if all || says_more {
            if let Action::Error { message } = &node.action {
                told.push(message);
            }
            let (mark, what) = words(node, color);
            let mut text = format!("  {mark} {}  {}", node.node.label, paint(what, style::DIM, color));
            for part in costs(node) {
                text.push_str("  ");
                text.push_str(&part);
            }
            writeln!(out, "{text}")?;
        }
    }
    let hidden = if all { 0 } else { repeated + if blocked > FEW_BLOCKED { blocked } else { 0 } };
    if hidden > 0 {
        let text = format!("{} more for the same reasons, or below these (--all)", plural(hidden, "stage"));
        writeln!(out, "  {} {}", paint("✗", style::ERROR, color), paint(text, style::DIM, color))?;
    }
    let shared: Vec<_> = plan.sharing.iter().filter(|s| s.nodes < s.placements).collect();
    if !shared.is_empty() {
        writeln!(out, "shared between {}:", plural(variants as u64, "variant"))?;
        for stage in shared {
            writeln!(
                out,
                "  {}: {} for {}",
                stage.stage,
                plural(stage.nodes as u64, "computation"),
                plural(stage.placements as u64, "variant")
            )?;
        }
    }
    let estimate = match (runs + pending, plan.unknown as u64) {
        (0, _) => String::new(),
        (all, unknown) if all == unknown => {
            "; how long it takes is not known: nothing of the kind ran in this store".to_owned()
        }
        (_, 0) => format!("; about {} of work, by earlier runs", seconds(plan.estimated_seconds)),
        (_, unknown) => format!(
            "; about {} of work, by earlier runs, and {} never timed",
            seconds(plan.estimated_seconds),
            plural(unknown, "stage")
        ),
    };
    let elsewhere = match number(|a| matches!(a, Action::Hit { remote: true, .. })) {
        0 => String::new(),
        n => format!(" ({n} on the remote)"),
    };
    writeln!(out, "{runs} to run, {pending} pending, {hits} done{elsewhere}{stuck}{estimate}")?;
    if plan.unlooked > 0 {
        let stages = plural(plan.unlooked as u64, "stage");
        writeln!(out, "not looked into: the files of {stages}; what is wrong with them shows when they run")?;
    }
    Ok(())
}

/// What it takes to run a node: how long or how much, what of it is there, and where its model runs.
fn costs(node: &PlanNode) -> Vec<String> {
    if !matches!(node.action, Action::Run { .. } | Action::Pending { .. }) {
        return Vec::new();
    }
    let mut costs: Vec<String> = match (node.estimate, node.rows) {
        (Some(estimate), _) => vec![format!("~{}", seconds(estimate))],
        (None, Some(rows)) => vec![plural(rows, "row")],
        (None, None) => Vec::new(),
    };
    costs.extend(node.remembered.map(|there| match there.of {
        Some(of) => format!("{} of {} in the memo", count(there.rows), plural(of, "row")),
        None => format!("{} in the memo", plural(there.rows, "attempt")),
    }));
    let memory = node.memory.map(|bytes| format!("~{:.1} GB", bytes as f64 / 1e9));
    let place: Vec<String> = node.place.iter().cloned().chain(memory).collect();
    if !place.is_empty() {
        costs.push(format!("[{}]", place.join(", ")));
    }
    costs
}

fn words(node: &PlanNode, color: bool) -> (String, String) {
    match &node.action {
        Action::Hit { key, remote: false } => (paint("✓", style::GOOD, color), format!("done ({})", key.short())),
        Action::Hit { key, remote: true } => {
            (paint("✓", style::GOOD, color), format!("done, on the remote ({})", key.short()))
        }
        Action::Run { reasons, .. } => (paint("▶", style::NEW, color), reasons.join("; ")),
        Action::Pending { on } => {
            let on: Vec<String> = on.iter().map(|label| format!("`{label}`")).collect();
            (paint("?", style::WARNING, color), format!("pending on {}", on.join(", ")))
        }
        Action::Blocked { on } => {
            (paint("✗", style::ERROR, color), format!("cannot run: `{on}` is not in the store, and will not run"))
        }
        Action::NotSelected => ("-".to_owned(), "not selected".to_owned()),
        Action::Error { message } => (paint("✗", style::ERROR, color), message.clone()),
    }
}

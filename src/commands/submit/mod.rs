//! `pipe submit` and `pipe cancel`: workers that a batch system starts. It only lends hands: what is to be done stands
//! in the store.

mod classes;
mod cluster;
mod kubernetes;
mod noted;
mod skypilot;
mod slurm;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use pipe_cache::{Store, now_ms};
use pipe_engine::{diag::is_hostile, pipeline::Pipeline};

use self::{
    classes::WorkerClass,
    cluster::Cluster,
    noted::{Job, Submission},
};
use super::run::quoted;
use crate::{
    cli::{self, Scheduler},
    error::CliError,
    exit::Exit,
    output::{self, plural, say},
    project,
};

pub(crate) use self::noted::logs_of_workers;

/// What all workers of a submission have in common.
struct Plan<'a> {
    pipeline: &'a Pipeline,
    /// This program.
    program: PathBuf,
    /// The arguments of a worker, but for what a class adds.
    arguments: Vec<String>,
    /// Where it is run.
    folder: PathBuf,
    store: &'a Store,
    cluster: &'a Cluster,
}

impl Plan<'_> {
    /// The command of a worker, for a shell.
    fn command_of(&self, program: &str, class: &WorkerClass) -> String {
        let idle = format!("--idle={}s", self.cluster.idle.as_secs().max(1));
        let words = [program.to_owned()].into_iter().chain(self.arguments.iter().cloned()).chain(class.arguments());
        words.chain([idle]).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
    }

    /// What jobs are called.
    fn job_name(&self, class: &WorkerClass) -> String {
        plain(&format!("pipe-{}-{}", self.pipeline.name, class.name))
    }

    /// The lines of the shell that come before a worker.
    fn setup(&self) -> String {
        self.cluster.setup.trim_end().lines().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat()
    }
}

pub(crate) fn submit(global: &cli::Global, args: cli::Submit) -> Result<Exit, CliError> {
    let pipeline = super::load(&args.pipeline)?;
    let settings = project::settings(&pipeline.base_dir)?;
    let cluster = Cluster::read(args.cluster.as_deref().or(settings.cluster()), &pipeline.base_dir)?;
    // Made here, so that a worker finds it, and the folder for the logs.
    let store = project::open_store(global, &pipeline.base_dir)?;
    let classes = classes::of(&pipeline, &store, &cluster, &args)?;
    let plan = Plan {
        pipeline: &pipeline,
        program: std::env::current_exe().map_err(|source| io_error("find", Path::new("pipe"), source))?,
        arguments: arguments(&args, &store),
        folder: std::env::current_dir().map_err(|source| io_error("look at", Path::new("."), source))?,
        store: &store,
        cluster: &cluster,
    };
    if !args.sbatch.is_empty() && args.on != Scheduler::Slurm {
        return Err(CliError::Usage { message: "only sbatch takes further options".to_owned(), help: None });
    }
    let scripts: Vec<String> = match args.on {
        Scheduler::Slurm => {
            classes.iter().map(|class| slurm::script(&plan, class, &args.sbatch)).collect::<Result<_, _>>()?
        }
        Scheduler::Kubernetes => classes.iter().map(|class| kubernetes::job(&plan, class)).collect::<Result<_, _>>()?,
        Scheduler::Skypilot => classes.iter().map(|class| skypilot::task(&plan, class)).collect(),
    };
    if args.print {
        output::exactly(&scripts.concat())?;
        return Ok(Exit::Success);
    }
    if args.on != Scheduler::Slurm {
        return Err(CliError::Usage {
            message: "pipe starts workers itself on Slurm alone".to_owned(),
            help: Some("add --print, and hand what is printed to `kubectl apply -f -` or `sky launch`".to_owned()),
        });
    }
    hand_over(&plan, &classes, &scripts)?;
    say("follow it with `pipe status`, or `pipe run` to join it; `pipe cancel` ends the workers");
    Ok(Exit::Success)
}

/// The words that make a program a worker, here or on another machine that sees the same files.
fn arguments(args: &cli::Submit, store: &Store) -> Vec<String> {
    let mut words = vec!["run".to_owned(), args.pipeline.pipeline.display().to_string()];
    words.extend(args.pipeline.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    words.extend(args.pipeline.name.iter().flat_map(|name| ["--as".to_owned(), name.clone()]));
    if !args.until.is_empty() {
        words.extend(["--until".to_owned(), args.until.join(",")]);
    }
    words.extend(["--store".to_owned(), store.layout().root().display().to_string(), "--worker".to_owned()]);
    words
}

/// Has sbatch start an array for each class.
fn hand_over(plan: &Plan<'_>, classes: &[WorkerClass], scripts: &[String]) -> Result<(), CliError> {
    let store = plan.store;
    let mut submission = Submission { pipeline: plan.pipeline.name.clone(), at_ms: now_ms(), jobs: Vec::new() };
    for folder in [noted::logs(store), noted::folder(store)] {
        fs::create_dir_all(&folder).map_err(|source| io_error("create", &folder, source))?;
    }
    for (class, script) in classes.iter().zip(scripts) {
        let path = submission.script(store, &class.name);
        fs::write(&path, script).map_err(|source| io_error("write", &path, source))?;
        let submitted = Command::new("sbatch").arg("--parsable").arg(&path).output();
        let submitted = submitted.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => CliError::Usage {
                message: "there is no sbatch here".to_owned(),
                help: Some("run this where jobs are submitted, or print the scripts with --print".to_owned()),
            },
            _ => io_error("run", Path::new("sbatch"), source),
        })?;
        let said = String::from_utf8_lossy(&submitted.stdout);
        let id = said.trim().split(';').next().unwrap_or_default().to_owned();
        if !submitted.status.success() || id.is_empty() {
            let why = String::from_utf8_lossy(&submitted.stderr).trim().to_owned();
            return Err(CliError::Usage {
                message: format!("sbatch refuses the workers of class {}: {why}", class.name),
                help: Some(format!("the script is {}", path.display())),
            });
        }
        say(format_args!("{} of class {}: job {id}", plural(u64::from(class.count), "worker"), class.name));
        submission.jobs.push(Job { class: class.name.clone(), id });
        // At once: what is not noted cannot be cancelled.
        submission.keep(store)?;
    }
    Ok(())
}

/// `pipe cancel`: ends the workers that `submit` started, by the numbers that it noted.
pub(crate) fn cancel(global: &cli::Global, args: &cli::Cancel) -> Result<Exit, CliError> {
    let pipeline = super::load(&args.pipeline)?;
    let store = project::existing_store_of(global, &pipeline.base_dir)?;
    let submissions = noted::of(&store, &pipeline.name)?;
    let ids: Vec<&str> = submissions.iter().flat_map(|s| &s.jobs).map(|job| &*job.id).collect();
    if ids.is_empty() {
        return Err(CliError::NotFound {
            message: format!("no workers of {} were submitted, or all of them were cancelled", pipeline.name),
            help: None,
        });
    }
    // A job that is over is no error to scancel's eyes but for its number.
    let cancelled = Command::new("scancel").args(&ids).output();
    let cancelled = cancelled.map_err(|source| io_error("run", Path::new("scancel"), source))?;
    let why = String::from_utf8_lossy(&cancelled.stderr).trim().to_owned();
    if !cancelled.status.success() && !why.lines().all(|line| line.contains("Invalid job id")) {
        return Err(CliError::Usage { message: format!("scancel refuses: {why}"), help: None });
    }
    submissions.iter().try_for_each(|submission| submission.forget(&store))?;
    say(format_args!("cancelled: {}", ids.join(", ")));
    Ok(Exit::Success)
}

/// Text as it may stand in names of files and jobs.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

/// Text as YAML reads it, on one line.
fn yaml_text(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.chars().map(|c| if is_special(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() }).collect()
}

/// Characters that YAML takes for ends of lines, or not at all where they stand for themselves, and those that a
/// terminal obeys.
fn is_special(c: char) -> bool {
    is_hostile(c) || matches!(c, '\n' | '\t' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> CliError {
    CliError::Io { action, path: path.to_owned(), source }
}

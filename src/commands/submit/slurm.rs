//! Scripts for sbatch. They ask Slurm for nothing but to start, warn and requeue: no accounting, no polling.

use std::fmt::Write;

use super::{Plan, WorkerClass};
use crate::commands::run::quoted;

/// Seconds before the end of its time at which a worker is warned.
const WARNED: u64 = 120;

/// The script of an array of workers.
pub(super) fn script(plan: &Plan<'_>, class: &WorkerClass, further: &[String]) -> String {
    let mut text = String::from("#!/bin/bash\n");
    let mut option = |option: &str| writeln!(text, "#SBATCH {option}").unwrap_or_default();
    option(&format!("--job-name={}", plan.job_name(class)));
    option(&format!("--array=0-{}", class.count - 1));
    option(&format!("--cpus-per-task={}", class.cpus));
    if class.gpus > 0 {
        option(&format!("--gres=gpu:{}", class.gpus));
    }
    if class.memory > 0 {
        option(&format!("--mem={}M", class.memory.div_ceil(1 << 20)));
    }
    if let Some(time) = class.time {
        option(&format!("--time={}", time.as_secs().div_ceil(60).max(1)));
    }
    option(&format!("--signal=B:USR1@{WARNED}"));
    option("--requeue");
    option("--open-mode=append");
    option(&format!("--output={}", quoted(&plan.logs.join("slurm-%A_%a.log").display().to_string())));
    for further in plan.cluster.sbatch.iter().chain(&class.sbatch).chain(further) {
        option(further);
    }
    let setup = match plan.cluster.setup.trim_end() {
        "" => String::new(),
        lines => format!("{lines}\n"),
    };
    let command = plan.command_of(class);
    let (folder, idle) = (quoted(&plan.folder.display().to_string()), plan.cluster.idle());
    text + &format!(
        "\ncd {folder} || exit 4
{setup}# Slurm warns this shell, and it the worker, which ends in good order; what is left goes on when it is requeued.
{command} --idle={idle} &
worker=$!
stopped=
trap 'kill -USR1 $worker 2>/dev/null' USR1
trap 'stopped=1; kill -TERM $worker 2>/dev/null' TERM
while wait $worker; code=$?; kill -0 $worker 2>/dev/null; do :; done
if [ $code = 75 ] && [ -z \"$stopped\" ]; then
    scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\"
fi
exit $code
"
    )
}

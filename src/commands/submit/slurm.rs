//! Scripts for sbatch. They ask Slurm for nothing but to start, warn and requeue: no accounting, no polling.

use std::time::Duration;

use super::{Plan, WorkerClass, noted};
use crate::{commands::run::quoted, error::CliError};

/// How long before the end of its time a worker is warned.
pub(super) const WARNED: Duration = Duration::from_mins(2);

/// The script of an array of workers.
pub(super) fn script(plan: &Plan<'_>, class: &WorkerClass, further: &[String]) -> Result<String, CliError> {
    let mut options = vec![
        format!("--job-name={}", plan.job_name(class)),
        format!("--array=0-{}", class.count - 1),
        format!("--cpus-per-task={}", class.cpus),
    ];
    options.extend((class.gpus > 0).then(|| format!("--gres=gpu:{}", class.gpus)));
    options.extend((class.memory > 0).then(|| format!("--mem={}M", class.memory.div_ceil(1 << 20))));
    options.extend(class.time.map(|time| format!("--time={}", time.as_secs().div_ceil(60))));
    options.push(format!("--signal=B:USR1@{}", WARNED.as_secs()));
    options.extend(["--requeue".to_owned(), "--open-mode=append".to_owned()]);
    // A percent sign begins what Slurm fills in.
    let logs = noted::logs(plan.store).display().to_string().replace('%', "%%");
    options.push(quoted(&format!("--output={logs}/slurm-%A_%a.log")));
    for lines in [&plan.cluster.sbatch, &class.sbatch] {
        options.extend(lines.iter().cloned());
    }
    // From the command line they come word by word.
    for word in further {
        match options.last_mut().filter(|_| !word.starts_with('-')) {
            _ if word.contains(['\n', '\r']) => {
                let message = format!("an option of sbatch is one line, and not `{word}`");
                return Err(CliError::Usage { message, help: None });
            }
            Some(option) => *option = format!("{option} {}", quoted(word)),
            None => options.push(quoted(word)),
        }
    }
    let options = options.iter().map(|option| format!("#SBATCH {option}\n")).collect::<Vec<_>>().concat();
    let (folder, setup) = (quoted(&plan.folder.display().to_string()), plan.setup());
    let command = plan.command_of(&plan.program.display().to_string(), class);
    Ok(format!(
        "#!/bin/bash
{options}
cd {folder} || exit 4
{setup}# Slurm warns this shell, and it the worker, which ends in good order; what is left goes on when it is requeued.
{command} &
worker=$!
stopped=
trap 'kill -USR1 $worker 2>/dev/null' USR1
trap 'stopped=1; kill -TERM $worker 2>/dev/null' TERM
# A signal ends `wait`, too: how the worker ended is what it says once there is none.
while wait $worker; kill -0 $worker 2>/dev/null; do :; done
wait $worker; code=$?
if [ $code = 75 ] && [ -z \"$stopped\" ]; then
    scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\"
fi
exit $code
"
    ))
}

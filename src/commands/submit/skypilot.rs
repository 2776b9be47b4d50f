//! A task file of SkyPilot for each class.

use super::{Plan, WorkerClass, quoted};

/// The task of a class.
pub(super) fn task(plan: &Plan<'_>, class: &WorkerClass) -> String {
    let mut wants = vec![format!("cpus: {}+", class.cpus)];
    wants.extend((class.memory > 0).then(|| format!("memory: {}+", class.memory.div_ceil(1_000_000_000))));
    if class.gpus > 0 {
        // What a class is called is what SkyPilot calls the GPU, as `A100`.
        let gpu = if class.is_named() { class.name.to_ascii_uppercase() } else { "A100".to_owned() };
        wants.push(format!("accelerators: {}", super::yaml_text(&format!("{gpu}:{}", class.gpus))));
    }
    let folder = quoted(&plan.folder.display().to_string());
    // The program is the image's.
    let script = format!("{}cd {folder}\n{}", plan.setup(), plan.command_of("pipe", class));
    let script = script.lines().map(|line| format!("  {line}\n")).collect::<Vec<_>>().concat();
    format!(
        "---
# The project's folder has to be there on every node: mount it, or use a store with a remote.
name: {name}
num_nodes: {count}
resources: {{ {wants} }}
run: |
{script}  # 75: there is more to do, and sky starts it again.
",
        name = super::yaml_text(&plan.job_name(class)),
        count = class.count,
        wants = wants.join(", "),
    )
}

//! A task file of SkyPilot for each class.

use super::{Plan, WorkerClass, is_special, quoted, yaml_text};

/// The task of a class.
pub(super) fn task(plan: &Plan<'_>, class: &WorkerClass) -> String {
    let mut wants = vec![format!("cpus: {}+", class.cpus)];
    wants.extend((class.memory > 0).then(|| format!("memory: {}+", class.memory.div_ceil(1_000_000_000))));
    if class.gpus > 0 {
        // What a class is called is what SkyPilot calls the GPU, as `A100`.
        let gpu = if class.is_named() { class.name.to_ascii_uppercase() } else { "A100".to_owned() };
        wants.push(format!("accelerators: {}", yaml_text(&format!("{gpu}:{}", class.gpus))));
    }
    let folder = quoted(&plan.folder.display().to_string());
    // The program is the image's. When one node's script fails, sky ends those of all others: 75 is no failure.
    let script = format!(
        "cd {folder} || exit 4
{setup}# 75: there is more to do, and as much time again for it.
code=75
while [ $code = 75 ]; do
    {command}
    code=$?
done
exit $code
",
        setup = plan.setup(),
        command = plan.command_of("pipe", class),
    );
    format!(
        "---
# The project's folder has to be there on every node: mount it, or use a store with a remote.
name: {name}
num_nodes: {count}
resources: {{ {wants} }}
run: {script}",
        name = yaml_text(&plan.job_name(class)),
        count = class.count,
        wants = wants.join(", "),
        script = block(&script),
    )
}

/// Lines as a block, where YAML takes every character as it stands.
fn block(text: &str) -> String {
    if text.contains(|c| c != '\n' && c != '\t' && is_special(c)) {
        return yaml_text(text) + "\n";
    }
    let lines = text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
    format!("|\n{}", lines.collect::<Vec<_>>().concat())
}

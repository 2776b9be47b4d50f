//! An indexed Job of Kubernetes for each class.

use super::{Plan, WorkerClass};
use crate::error::CliError;

/// Text as YAML reads it, on one line.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Names of objects are those of hosts.
fn name(text: &str) -> String {
    text.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The job of a class.
pub(super) fn job(plan: &Plan<'_>, class: &WorkerClass) -> Result<String, CliError> {
    let missing = |what: &str, why: &str| CliError::Usage {
        message: format!("the cluster's file names no {what}"),
        help: Some(format!("add `{what}:` below `cluster:`: {why}")),
    };
    let image = plan.cluster.image.as_deref().ok_or_else(|| missing("image", "one in which pipe is installed"))?;
    let claim = plan.cluster.claim.as_deref();
    let claim = claim.ok_or_else(|| missing("claim", "the claim of the volume on which the project lies"))?;
    let folder = plan.folder.display().to_string();
    let setup = match plan.cluster.setup.trim_end() {
        "" => String::new(),
        lines => format!("{lines}\n"),
    };
    // The program is the image's.
    let command = plan.command_of(class);
    let command = command.split_once(' ').map_or("", |(_, arguments)| arguments);
    let script = format!("{setup}exec pipe {command} --idle={}", plan.cluster.idle());
    let mut limits = vec![format!("cpu: {}", class.cpus)];
    limits.extend((class.memory > 0).then(|| format!("memory: {}Mi", class.memory.div_ceil(1 << 20))));
    limits.extend((class.gpus > 0).then(|| format!("nvidia.com/gpu: {}", class.gpus)));
    let limits = limits.join(", ");
    let root = root_of(plan);
    Ok(format!(
        "---
apiVersion: batch/v1
kind: Job
metadata: {{ name: {name} }}
spec:
  completionMode: Indexed
  completions: {count}
  parallelism: {count}
  # A worker that ends with 75 has more to do, and is started again; one whose stage failed is not.
  backoffLimitPerIndex: 100
  podFailurePolicy:
    rules:
      - {{ action: Ignore, onPodConditions: [{{ type: DisruptionTarget }}] }}
      - {{ action: FailIndex, onExitCodes: {{ containerName: worker, operator: In, values: [1, 2, 3, 4, 5, 6] }} }}
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 120
      containers:
        - name: worker
          image: {image}
          workingDir: {folder}
          command: [/bin/sh, -c, {script}]
          resources: {{ requests: {{ {limits} }}, limits: {{ {limits} }} }}
          volumeMounts: [{{ name: project, mountPath: {root} }}]
      volumes: [{{ name: project, persistentVolumeClaim: {{ claimName: {claim} }} }}]
",
        name = name(&plan.job_name(class)),
        count = class.count,
        image = text(image),
        folder = text(&folder),
        script = text(&script),
        root = text(&root),
        claim = text(claim),
    ))
}

/// Where the volume is mounted: the folder above all that workers read and write.
fn root_of(plan: &Plan<'_>) -> String {
    let common = plan.folder.ancestors().find(|folder| plan.logs.starts_with(folder));
    common.unwrap_or(&plan.folder).display().to_string()
}

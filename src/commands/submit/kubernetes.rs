//! An indexed Job of Kubernetes for each class.

use std::path::{Path, PathBuf};

use super::{Plan, WorkerClass, io_error, yaml_text as text};
use crate::error::CliError;

/// The longest name that a host, and so an object, may have; that of a pod has a number behind it.
const LONGEST: usize = 63 - "-99999-xxxxx".len();

/// Names of objects are those of hosts.
fn name(text: &str) -> String {
    let text = text.to_ascii_lowercase().replace(['_', '.'], "-");
    text[..text.len().min(LONGEST)].trim_matches('-').to_owned()
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
    // The program is the image's. Kubernetes fills in `$(NAME)` before the shell sees it, and takes `$$` for a dollar.
    let script = format!("{}exec {}", plan.setup(), plan.command_of("pipe", class)).replace('$', "$$");
    let mut limits = vec![format!("cpu: {}", class.cpus)];
    limits.extend((class.memory > 0).then(|| format!("memory: {}Mi", class.memory.div_ceil(1 << 20))));
    limits.extend((class.gpus > 0).then(|| format!("nvidia.com/gpu: {}", class.gpus)));
    let limits = limits.join(", ");
    let root = root_of(plan)?.display().to_string();
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
      - {{ action: Ignore, onPodConditions: [{{ type: DisruptionTarget, status: \"True\" }}] }}
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
fn root_of(plan: &Plan<'_>) -> Result<PathBuf, CliError> {
    let store = plan.store.layout().root();
    let store = store.canonicalize().map_err(|source| io_error("find", store, source))?;
    let base = &plan.pipeline.base_dir;
    let base = base.canonicalize().map_err(|source| io_error("find", base, source))?;
    common(&plan.folder, &[&base, &store]).map(Path::to_owned).ok_or_else(|| CliError::Usage {
        message: format!(
            "{}, {} and the store {} lie below no common folder, and workers have one volume",
            plan.folder.display(),
            base.display(),
            store.display()
        ),
        help: Some("keep the store beside the project (`--store`), and submit from its folder".to_owned()),
    })
}

/// The innermost folder that holds all of them, if that is not the whole machine.
fn common<'a>(folder: &'a Path, others: &[&Path]) -> Option<&'a Path> {
    let mut above = folder.ancestors().filter(|above| above.parent().is_some());
    above.find(|above| others.iter().all(|other| other.starts_with(above)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_mounted_where_all_lies_and_never_over_the_whole_machine() {
        let at = |others: &[&str]| {
            let others: Vec<&Path> = others.iter().map(Path::new).collect();
            common(Path::new("/lab/me/study"), &others).and_then(Path::to_str)
        };
        assert_eq!(at(&["/lab/me/study", "/lab/me/study/.pipe"]), Some("/lab/me/study"));
        assert_eq!(at(&["/lab/me/study", "/lab/me/store"]), Some("/lab/me"));
        assert_eq!(at(&["/lab/me/study", "/scratch/store"]), None);
    }

    #[test]
    fn names_are_those_of_hosts() {
        assert_eq!(name("pipe-My_study.2-a100"), "pipe-my-study-2-a100");
        assert_eq!(name(&format!("pipe-{}-gpu", "x".repeat(90))).len(), LONGEST);
        assert_eq!(name("pipe-x-"), "pipe-x");
    }
}

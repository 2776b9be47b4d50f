//! Commands that only look write nothing, wherever the store lies; and where nothing may be written, what is there is
//! served.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{TestEnvironment, environment::Outcome};

const PIPELINE: &str = "pipeline: p
vars: { n: 1 }
ablate: { n: [2] }
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  twice:
    kind: command
    inputs: { rows: rows }
    params:
      input_format: jsonl
      shell: |
        echo n > \"$PIPE_OUTPUT_out\"
        echo ${n} >> \"$PIPE_OUTPUT_out\"
      outputs: { out: { format: csv } }
  kept:
    kind: command
    params: { shell: 'echo x > \"$PIPE_OUTPUT_dir/f\"', outputs: { dir: { format: files } } }
";

const LOOKING: &[&[&str]] = &[
    &["plan", "p.yaml"],
    &["why", "p.yaml", "twice"],
    &["show", "twice"],
    &["show", "kept"],
    &["ls"],
    &["ls", "--runs"],
    &["diff", "baseline", "n=2"],
    &["logs"],
    &["dag", "p.yaml"],
    &["verify"],
    &["gc", "--dry-run", "--unreachable", "--max-age", "0s"],
];

fn project() -> TestEnvironment {
    TestEnvironment::with(&[("p.yaml", PIPELINE), ("rows.jsonl", "{\"a\": 1}\n")])
}

/// Every path below a folder, with its size and time of change.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                folders.push(entry.path());
            }
            all.insert(entry.path(), (meta.len(), meta.modified().unwrap()));
        }
    }
    all
}

#[test]
fn commands_that_look_write_nothing() {
    let project = project();
    project.ok(&["run", "p.yaml"]);
    let before = tree(project.path());
    for command in LOOKING {
        project.ok(command);
        assert_eq!(tree(project.path()), before, "pipe {}", command.join(" "));
    }
}

#[test]
fn commands_that_look_make_no_store() {
    let project = project();
    fs::create_dir(project.file("mine")).unwrap();
    project.write("mine/notes.txt", "x");
    let before = tree(project.path());
    for store in [&[][..], &["--store", "nowhere"], &["--store", "mine"]] {
        for command in LOOKING {
            let outcome = project.pipe(&[store, command].concat());
            assert_ne!(outcome.code, None);
            assert_eq!(tree(project.path()), before, "pipe {} {}", store.join(" "), command.join(" "));
        }
    }
    assert!(project.ok(&["plan", "p.yaml"]).stdout.contains("twice"));
}

unsafe extern "C" {
    /// Of the C library, which the standard library is linked to.
    fn prctl(option: i32, ...) -> i32;
}

/// Runs the binary as somebody for whom permissions count, also where the tests are root's.
fn as_a_user(project: &TestEnvironment, arguments: &[&str]) -> Outcome {
    let mut command = project.command(arguments);
    let give_up = || {
        const PR_CAPBSET_DROP: i32 = 24;
        const CAP_DAC_OVERRIDE: u64 = 1;
        // SAFETY: it takes numbers alone. Others than root have nothing to give up, and may not: then it fails.
        unsafe { prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) };
        Ok(())
    };
    // SAFETY: between fork and exec, this makes one system call and allocates nothing.
    unsafe { command.pre_exec(give_up) };
    project.outcome(command.output().unwrap())
}

fn permit_writing(folder: &Path, permit: bool) {
    let mode = fs::metadata(folder).unwrap().permissions().mode();
    let mode = if permit { mode | 0o200 } else { mode & !0o222 };
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            permit_writing(&entry.path(), permit);
        }
    }
}

#[test]
fn a_store_that_may_not_be_written_to_serves_what_it_has() {
    let project = project();
    project.ok(&["run", "p.yaml"]);
    permit_writing(&project.file(".pipe"), false);
    for command in LOOKING.iter().chain([&["run", "p.yaml"][..], &["run", "p.yaml", "--until", "rows"]].iter()) {
        let outcome = as_a_user(&project, command);
        assert_eq!(outcome.code, Some(0), "pipe {}\n{}{}", command.join(" "), outcome.stdout, outcome.stderr);
    }
    let outcome = as_a_user(&project, &["run", "p.yaml"]);
    assert!(outcome.stderr.contains("read-only") && outcome.stderr.contains("4 reused"), "{}", outcome.stderr);
    // What is not there cannot be computed, and says why.
    let outcome = as_a_user(&project, &["run", "p.yaml", "--set", "n=3"]);
    assert_eq!(outcome.code, Some(1), "{}{}", outcome.stdout, outcome.stderr);
    assert!(format!("{}{}", outcome.stdout, outcome.stderr).contains("read-only"), "{}", outcome.stdout);
    permit_writing(&project.file(".pipe"), true);
}

#[test]
fn a_folder_called_as_a_store_that_is_none_is_told_and_passed_over() {
    let project = TestEnvironment::new();
    project.write(".pipe/notes.txt", "mine");
    project.write("below/p.yaml", PIPELINE);
    project.write("below/rows.jsonl", "{\"a\": 1}\n");
    fs::create_dir(project.file("below/.git")).unwrap();
    project.ok(&["run", "below/p.yaml"]);
    assert!(project.file("below/.pipe/v1").is_dir());
    fs::remove_dir(project.file("below/.git")).unwrap();
    fs::remove_dir_all(project.file("below/.pipe")).unwrap();

    // The root that `.git` marks has it in its place.
    let outcome = project.pipe(&["run", "below/p.yaml"]);
    assert_eq!(outcome.code, Some(2), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stderr.contains("is not a store") && outcome.stderr.contains("--store"), "{}", outcome.stderr);
    assert_eq!(tree(&project.file(".pipe")).len(), 1, "nothing was written there");

    // Without such a mark, the search passes it over.
    fs::remove_dir_all(project.file(".git")).unwrap();
    let outcome = project.ok(&["run", "below/p.yaml"]);
    assert!(outcome.stderr.contains(".pipe is not a store, and is passed over"), "{}", outcome.stderr);
    assert!(project.file("below/.pipe/v1").is_dir());
    // A file of that name is none either.
    project.write("other/p.yaml", PIPELINE);
    project.write("other/.pipe", "x");
    project.write("other/.git/HEAD", "x");
    let outcome = project.pipe(&["run", "other/p.yaml"]);
    assert!(outcome.stderr.contains("is not a store"), "{}", outcome.stderr);
}

#[test]
fn a_store_in_a_folder_with_other_things_takes_its_own_part_alone_out_of_backups() {
    let project = project();
    project.ok(&["--store", ".", "run", "p.yaml"]);
    assert!(!project.file("CACHEDIR.TAG").exists() && project.file("v1/CACHEDIR.TAG").exists());
    project.ok(&["--store", "new", "run", "p.yaml"]);
    assert!(project.file("new/CACHEDIR.TAG").exists());
}

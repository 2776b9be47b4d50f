//! A row-wise stage that takes its time, and writes down which rows it has answered: for tests in which processes come,
//! help and go meanwhile.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::environment::TestEnvironment;

/// The stage `said`, and the table before it.
pub(crate) const STAGES: &str = "
  rows: { kind: table, params: { path: rows.jsonl } }
  said:
    kind: command
    inputs: { rows: rows }
    params:
      rows: each
      batch: 4
      argv: [python3, slow.py]
      sources: [slow.py]
      outputs: { out: { format: jsonl, columns: { said: string } } }
";

/// It answers rows in portions, and writes them down in `log`.
const PROGRAM: &str = "
import json, sys, time
for line in sys.stdin:
    row = json.loads(line)
    time.sleep(0.03)
    with open('log', 'a') as log:
        log.write(str(row['n']) + '\\n')
    print(json.dumps({'said': 'n' + str(row['n'])}), flush=True)
";

/// A pipeline with further stages, for so many rows.
pub(crate) fn study(name: &str, rows: usize, further: &str) -> TestEnvironment {
    let yaml = format!("pipeline: {name}\nstages:{STAGES}{further}");
    let rows = (0..rows).map(|n| format!("{{\"n\": {n}}}\n")).collect::<Vec<_>>().concat();
    TestEnvironment::with(&[(&format!("{name}.yaml"), &yaml), ("slow.py", PROGRAM), ("rows.jsonl", &rows)])
}

/// Cheap stages, each upon `near` or others of them: the first five upon one of two stages.
pub(crate) fn cheap(stages: usize, near: [&str; 2]) -> String {
    let mut yaml = String::new();
    for n in 0..stages {
        let from = if n < 5 { near[n % 2].to_owned() } else { format!("c{}", n - 5) };
        let params = format!("{{ steps: [{{ filter: \"row_index != {n}\" }}] }}");
        writeln!(yaml, "  c{n}: {{ kind: select, inputs: {{ rows: {from} }}, params: {params} }}").unwrap();
    }
    yaml
}

/// What every result is: the digest that its link leads to.
pub(crate) fn results(test: &TestEnvironment) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(test.file("results/study/baseline")).unwrap().map(Result::unwrap);
    let links = entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().into_string().unwrap(), Path::new(target.file_name()?).to_owned()))
    });
    links.collect()
}

/// The rows that were answered, as often as they were.
pub(crate) fn answered(test: &TestEnvironment) -> Vec<usize> {
    let log = fs::read_to_string(test.file("log")).unwrap_or_default();
    let mut rows: Vec<usize> = log.lines().map(|line| line.parse().unwrap()).collect();
    rows.sort_unstable();
    rows
}

/// Waits for something, but for no more than minutes.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(300), "{what} did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(process: u64, name: &str) -> bool {
    std::process::Command::new("kill").args([name, &process.to_string()]).status().unwrap().success()
}

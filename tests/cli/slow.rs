//! A row-wise stage that takes its time, and writes down which rows it has answered: for tests in which processes come,
//! help and go meanwhile.

use std::{
    fs, thread,
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

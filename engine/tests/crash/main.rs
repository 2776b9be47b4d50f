//! Kills a run of more than 50 stages at random moments; the next run must end as if nothing had happened.
//!
//! `PIPE_CRASH_ROUNDS` sets the number of kills (20 by default; 200 for the acceptance run).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Instant,
};

use pipe_cache::{ArtifactRef, Digest, GcPolicy, Store, StoreOptions, VerifyOptions};
use pipe_engine::{
    events::{EventKind, RunEnd},
    execute::{RunOptions, run},
    resolve::{Overrides, resolve},
    spec,
};
use pipe_testing::logged;

/// Names the folder for the process that is to be killed.
const SUBJECT: &str = "PIPE_CRASH_SUBJECT";
/// Names the pipeline file there.
const FILE: &str = "PIPE_CRASH_FILE";

/// Two streams, a row-wise stage on each, and chains of whole stages behind them: 58 stages.
fn pipeline() -> String {
    let mut yaml = String::from("pipeline: crash\nstages:\n");
    for s in ["a", "b"] {
        writeln!(yaml, "  numbers_{s}: {{ kind: thirds, params: {{ tag: n{s}, count: 20 }} }}").unwrap();
        writeln!(yaml, "  answer_{s}: {{ kind: answer, inputs: {{ rows: numbers_{s} }}, params: {{ tag: r{s} }} }}")
            .unwrap();
        for chain in 0..3 {
            for i in 0..9 {
                let upstream = if i == 0 { format!("answer_{s}") } else { format!("mark_{s}{chain}_{}", i - 1) };
                let tag = format!("{s}{chain}{i}");
                writeln!(
                    yaml,
                    "  mark_{s}{chain}_{i}: {{ kind: mark, inputs: {{ rows: {upstream} }}, params: {{ tag: {tag} }} }}"
                )
                .unwrap();
            }
        }
    }
    yaml
}

/// A folder with a store, the pipeline, and the list of work done.
struct Place(PathBuf);

/// Every (stage, outputs) of a finished run.
type Results = BTreeMap<String, Vec<ArtifactRef>>;

impl Place {
    fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("pipeline.yaml"), pipeline()).unwrap();
        Self(folder)
    }

    fn store(&self) -> Store {
        Store::open(self.0.join("store"), StoreOptions::default()).unwrap()
    }

    /// Runs in this process; returns the stages that were computed.
    fn run(&self) -> Vec<String> {
        self.run_file("pipeline.yaml")
    }

    fn run_file(&self, file: &str) -> Vec<String> {
        let registry = logged::registry(self.0.join("work"));
        let spec = spec::load(&self.0.join(file));
        let pipeline =
            resolve(&spec, &registry, &Overrides::default()).map_err(|d| format!("{:?}", d.items)).unwrap().pipeline;
        let options = RunOptions { results: Some(self.0.join("results")), ..RunOptions::default() };
        let mut ran = Vec::new();
        let summary = run(&pipeline, &self.store(), &options, &mut |event| {
            if let EventKind::Finished { node, .. } = &event.kind {
                ran.push(node.label.to_string());
            }
        });
        assert_eq!(summary.unwrap().outcome, RunEnd::Succeeded);
        ran
    }

    /// Begins a run in another process.
    fn spawn(&self) -> Child {
        self.spawn_file("pipeline.yaml")
    }

    fn spawn_file(&self, file: &str) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "subject"]).env(SUBJECT, &self.0).env(FILE, file);
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    /// A pipeline of its own that shares the recipes of all made so: a stream of that extent, and a row-wise stage.
    fn extent(&self, count: u64) -> String {
        let file = format!("extent-{count}.yaml");
        let yaml = format!(
            "pipeline: extent-{count}
stages:
  numbers: {{ kind: thirds, params: {{ tag: n, count: {count} }} }}
  answer: {{ kind: answer, inputs: {{ rows: numbers }}, params: {{ tag: r }} }}
"
        );
        fs::write(self.0.join(&file), yaml).unwrap();
        file
    }

    /// The list of work: what was done, and when each time.
    fn work(&self) -> BTreeMap<String, Vec<u64>> {
        let mut done: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for line in fs::read_to_string(self.0.join("work")).unwrap_or_default().lines() {
            let (time, what) = line.split_once(' ').unwrap();
            done.entry(what.to_owned()).or_default().push(time.parse().unwrap());
        }
        done
    }

    /// Tags of the whole stages that have a manifest, whether or not the killed run came to write references.
    fn published_tags(&self) -> BTreeSet<String> {
        let read = |path: PathBuf| serde_json::from_slice::<serde_json::Value>(&fs::read(path).ok()?).ok();
        files_below(&self.0.join("store/v1/manifests"))
            .into_iter()
            .filter_map(read)
            .filter_map(|v| find(&v, "tag"))
            .collect()
    }

    /// The keys that were published.
    fn published(&self) -> BTreeMap<String, Digest> {
        self.store().refs("crash").unwrap().remove("baseline").unwrap_or_default().into_iter().collect()
    }

    fn results(&self) -> Results {
        let store = self.store();
        let outputs = |key| store.manifest(key).unwrap().unwrap().outputs.iter().map(|o| o.artifact).collect();
        self.published().iter().map(|(stage, key)| (stage.clone(), outputs(key))).collect()
    }

    /// Every file of the store that a sound, collected store has no place for.
    fn leftovers(&self) -> Vec<PathBuf> {
        let folder = |name: &str| self.0.join("store/v1").join(name);
        let mut found = Vec::new();
        for name in ["tmp", "work", "quarantine"] {
            if let Ok(entries) = fs::read_dir(folder(name)) {
                found.extend(entries.map(|e| e.unwrap().path()));
            }
        }
        found
    }
}

/// The process that is to be killed.
#[test]
#[ignore = "started by the other test"]
fn subject() {
    let folder = std::env::var_os(SUBJECT).expect("a place to work in");
    Place(folder.into()).run_file(&std::env::var(FILE).expect("a pipeline"));
}

/// Uniform in `0..1`, from a seed and a number.
fn uniform(seed: u64, i: u64) -> f64 {
    let digest = Digest::of_bytes(format!("{seed} {i}").as_bytes());
    let bits = u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap());
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Rows are written down ten times a second, or batch by batch where batches take longer. Processes are slow to start
/// and to die.
const LOST_MS: u64 = 100 + 900;

fn check_round(place: &Place, expect: &Results, killed: u64, round: u64) {
    let (published, done) = (place.published_tags(), place.work());
    place.run();
    assert_eq!(place.results(), *expect, "round {round}: other artifacts than those of an uninterrupted run");

    for (what, times) in place.work() {
        let before = done.get(&what).map_or(0, Vec::len);
        assert!(before <= 1 && times.len() <= 2, "round {round}: `{what}` was done at {times:?}");
        let again = before == 1 && times.len() == 2;
        if let Some(tag) = what.strip_prefix("stage ") {
            assert!(
                !(again && published.contains(tag)),
                "round {round}: `{tag}` had been published and was computed again"
            );
        } else {
            assert!(!again || times[0] + LOST_MS >= killed, "round {round}: `{what}` was lost long after it was done");
        }
    }
    assert!(place.run().is_empty(), "round {round}: there was something to do after a finished run");

    let report = place.store().verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_sound(), "round {round}: {:?}", report.findings);
    place.store().gc(&GcPolicy::default()).unwrap();
    let report = place.store().verify(&VerifyOptions::default()).unwrap();
    assert!(report.findings.is_empty(), "round {round}: after gc {:?}", report.findings);
    // The sessions of the stores that were just dropped end a moment later, in the background.
    let patience = Instant::now();
    while !place.leftovers().is_empty() && patience.elapsed().as_secs() < 5 {
        sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(place.leftovers(), Vec::<PathBuf>::new(), "round {round}: left behind");
    assert_eq!(place.results(), *expect, "round {round}: gc took results away");
}

/// The first text under a field of that name, at any depth.
fn find(value: &serde_json::Value, name: &str) -> Option<String> {
    match value {
        serde_json::Value::Object(map) => map
            .get(name)
            .and_then(|v| v.as_str())
            .map(str::to_owned)
            .or_else(|| map.values().find_map(|v| find(v, name))),
        serde_json::Value::Array(items) => items.iter().find_map(|v| find(v, name)),
        _ => None,
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.map(Result::unwrap) {
        if entry.path().is_dir() { files.extend(files_below(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

#[test]
fn a_killed_run_is_finished_by_the_next() {
    let rounds: u64 = std::env::var("PIPE_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let dir = tempfile::tempdir().unwrap();
    let reference = Place::new(dir.path().join("reference"));
    let start = Instant::now();
    assert!(reference.spawn().wait().unwrap().success());
    let mut whole = start.elapsed();
    let expect = reference.results();
    assert_eq!(expect.len(), 58);

    let mut moment = 0;
    for round in 0..rounds {
        let (place, killed) = loop {
            let place = Place::new(dir.path().join(format!("kill-{moment}")));
            moment += 1;
            let (start, mut child) = (Instant::now(), place.spawn());
            sleep(whole.mul_f64(uniform(1, moment)));
            let killed = logged::now();
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                child.wait().unwrap();
                break (place, killed);
            }
            // The run was over before: the machine is faster than it was. The moment does not count.
            whole = whole.min(start.elapsed()).mul_f64(0.95);
        };
        check_round(&place, &expect, killed, round);
        fs::remove_dir_all(&place.0).unwrap();
    }
}

#[test]
fn four_processes_compute_each_key_once() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path().to_owned());
    let children: Vec<Child> = (0..4).map(|_| place.spawn()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let work = place.work();
    let twice: Vec<_> = work.iter().filter(|(_, times)| times.len() > 1).collect();
    assert!(twice.is_empty(), "done more than once: {twice:?}");
    assert_eq!(work.keys().filter(|line| line.starts_with("stage")).count(), 54);
    assert_eq!(place.results().len(), 58);
}

/// What was done more than once.
fn repeated(place: &Place) -> Vec<(String, usize)> {
    let work = place.work().into_iter().map(|(what, times)| (what, times.len()));
    work.filter(|(_, times)| *times > 1).collect()
}

#[test]
fn processes_that_want_different_extents_share_attempts_and_rows() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path().to_owned());
    let extents = [200, 50, 150, 100];
    let children: Vec<Child> = extents.iter().map(|&n| place.spawn_file(&place.extent(n))).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(repeated(&place), []);
    let of = |what: &str| place.work().keys().filter(|line| line.starts_with(what)).count();
    // Every third attempt is kept, and a batch may be on the way when there is enough.
    assert!((598..598 + 3 * 5 * extents.len()).contains(&of("attempt")), "{} attempts", of("attempt"));
    assert_eq!(of("row"), 200);
}

#[test]
fn processes_take_over_what_a_killed_one_had_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path().to_owned());
    let mut leader = place.spawn_file(&place.extent(300));
    while place.work().len() < 40 {
        sleep(std::time::Duration::from_millis(2));
    }
    let mut others: Vec<Child> = [250, 100].iter().map(|&n| place.spawn_file(&place.extent(n))).collect();
    sleep(std::time::Duration::from_millis(60));
    leader.kill().unwrap();
    leader.wait().unwrap();
    for child in &mut others {
        assert!(child.wait().unwrap().success());
    }
    // What was done and not written down yet is done again, once.
    let repeated = repeated(&place);
    assert!(repeated.iter().all(|(_, times)| *times == 2), "{repeated:?}");
    let answers = |n: u64| {
        let store = place.store();
        let key = store.refs(&format!("extent-{n}")).unwrap()["baseline"]["answer"];
        store.manifest(&key).unwrap().unwrap().outputs[0].artifact.rows
    };
    assert_eq!((answers(250), answers(100)), (250, 100));
    let report = place.store().verify(&VerifyOptions::default()).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

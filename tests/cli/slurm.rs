//! Workers on a real Slurm: Debian's packages, started here, on one machine, without accounting.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::environment::TestEnvironment;

/// Its configuration; no daemon of another test or of the system is met.
const CONFIGURATION: &str = "ClusterName=one
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=@CONTROLLER@
SlurmdPort=@NODE@
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=@DIR@/munge/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=@DIR@/state
SlurmdSpoolDir=@DIR@/spool
SlurmctldPidFile=@DIR@/slurmctld.pid
SlurmdPidFile=@DIR@/slurmd.pid
SlurmctldLogFile=@DIR@/log/controller.log
SlurmdLogFile=@DIR@/log/node.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=localhost NodeAddr=127.0.0.1 CPUs=@CPUS@ RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
";

/// The daemons; they end with it.
struct Slurm {
    daemons: Vec<Child>,
    dir: PathBuf,
    _dir: tempfile::TempDir,
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            // In good order: a node's daemon ends its jobs.
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
            thread::sleep(Duration::from_millis(300));
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Slurm {
    fn start() -> Self {
        let kept = tempfile::tempdir().unwrap();
        let dir = kept.path().to_owned();
        for name in ["munge", "state", "spool", "log"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let at = |name: &str| dir.join(name).display().to_string();
        fs::write(at("munge/munge.key"), [7; 1024]).unwrap();
        let modes = Command::new("chmod").args(["0400", &at("munge/munge.key")]).status().unwrap();
        assert!(modes.success() && Command::new("chmod").args(["0711", &at("")]).status().unwrap().success());
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let text = CONFIGURATION.replace("@DIR@", dir.to_str().unwrap()).replace("@CPUS@", &cpus.to_string());
        let text = text.replace("@CONTROLLER@", &free_port().to_string()).replace("@NODE@", &free_port().to_string());
        fs::write(at("slurm.conf"), text).unwrap();
        let mut slurm = Self { daemons: Vec::new(), dir: dir.clone(), _dir: kept };
        let munge = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            format!("--socket={}", at("munge/munge.socket")),
            format!("--key-file={}", at("munge/munge.key")),
            format!("--pid-file={}", at("munge/pid")),
            format!("--log-file={}", at("log/munge.log")),
            format!("--seed-file={}", at("munge/seed")),
        ];
        slurm.daemon("munged", &munge);
        until("munged's socket", || dir.join("munge/munge.socket").exists());
        let configuration = ["-D".to_owned(), "-f".to_owned(), at("slurm.conf")];
        slurm.daemon("slurmctld", &configuration);
        slurm.daemon("slurmd", &configuration);
        until("the node", || slurm.says("sinfo", &["-h", "-o", "%t"]) == "idle");
        slurm
    }

    fn daemon(&mut self, program: &str, arguments: &[String]) {
        let log = fs::File::create(self.dir.join("log").join(program)).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap_or_else(|e| panic!("{program} (Debian: slurmd, munge): {e}")));
    }

    /// What a command of Slurm prints.
    fn says(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.with(Command::new(program).args(arguments)).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn with<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SLURM_CONF", self.dir.join("slurm.conf"))
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(240), "{what} did not come");
        thread::sleep(Duration::from_millis(200));
    }
}

const PROGRAM: &str = "
import json, sys, time
for line in sys.stdin:
    row = json.loads(line)
    time.sleep(0.03)
    with open('log', 'a') as log:
        log.write(str(row['n']) + '\\n')
    print(json.dumps({'said': 'n' + str(row['n'])}), flush=True)
";

/// A long row-wise stage, and cheap ones around it, each upon others.
fn study(rows: usize, cheap: usize) -> TestEnvironment {
    let mut yaml = String::from(
        "pipeline: study
stages:
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
",
    );
    for n in 0..cheap {
        let from =
            if n < 5 { if n % 2 == 0 { "rows".to_owned() } else { "said".to_owned() } } else { format!("c{}", n - 5) };
        writeln!(
            yaml,
            "  c{n}: {{ kind: select, inputs: {{ rows: {from} }}, params: {{ steps: [{{ filter: \"n != {n}\" }}] }} }}"
        )
        .unwrap();
    }
    let rows = (0..rows).map(|n| format!("{{\"n\": {n}}}\n")).collect::<Vec<_>>().concat();
    TestEnvironment::with(&[("study.yaml", &yaml), ("slow.py", PROGRAM), ("rows.jsonl", &rows)])
}

/// What every result is: the digest that its link leads to.
fn results(test: &TestEnvironment) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(test.file("results/study/baseline")).unwrap().map(Result::unwrap);
    let links = entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some((entry.file_name().into_string().unwrap(), Path::new(target.file_name()?).to_owned()))
    });
    links.collect()
}

fn status(test: &TestEnvironment) -> serde_json::Value {
    test.json(&["status", "study.yaml", "--format", "json"])
}

/// Numbers of jobs of the workers that are at work, with their processes.
fn at_work(test: &TestEnvironment) -> Vec<(String, u64)> {
    let status = status(test);
    let runs = status["runs"].as_array().unwrap().iter();
    let named =
        runs.filter_map(|run| Some((run["place"].as_str()?.strip_prefix("slurm ")?.to_owned(), run["pid"].as_u64()?)));
    named.collect()
}

fn an_array_of_workers(rows: usize, cheap: usize, kills: usize) {
    let slurm = Slurm::start();
    let (alone, test) = (study(rows, cheap), study(rows, cheap));
    alone.ok(&["run", "study.yaml"]);
    let submitted = slurm
        .with(&mut test.command(&[
            "submit",
            "study.yaml",
            "--on",
            "slurm",
            "--workers",
            "cpu=4",
            "--",
            "--open-mode=append",
        ]))
        .output()
        .unwrap();
    let said = String::from_utf8(submitted.stderr).unwrap();
    assert!(submitted.status.success() && said.contains("4 workers of class cpu: job "), "{said}");
    let answered = || fs::read_to_string(test.file("log")).unwrap_or_default().lines().count();
    let mut lost = 0;
    for kill in 0..kills {
        until("rows", || answered() > (kill + 1) * rows / (kills + 3));
        until("a worker", || !at_work(&test).is_empty());
        let (_, pid) = at_work(&test).remove(0);
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        lost += usize::from(killed.success());
    }
    // One is asked to go and come back, as a cluster does that wants its node for others.
    until("a worker", || !at_work(&test).is_empty());
    let (job, _) = at_work(&test).remove(0);
    slurm.says("scontrol", &["requeue", &job]);
    until("the end of the study", || {
        let status = status(&test);
        status["done"] == status["stages"]
    });
    until("the end of all workers that are not to come back", || {
        slurm.says("squeue", &["-h", "-t", "R,CG"]).is_empty()
    });
    // Each row once, but for what was under way where a worker was killed or sent away.
    let all = answered();
    assert!((rows..=rows + (lost + 1) * 16).contains(&all), "{all} rows answered, {lost} workers killed");
    test.ok(&["run", "study.yaml"]);
    assert_eq!(results(&test), results(&alone));
    assert_eq!(results(&test).len(), cheap + 3, "{:?}", results(&test).keys());
    let logs = test.ok(&["logs", "--worker"]).stdout;
    assert!(logs.contains("== worker ") && logs.contains("study done: "), "{logs}");
    let cancelled = slurm.with(&mut test.command(&["cancel", "study.yaml"])).output().unwrap();
    assert!(cancelled.status.success(), "{}", String::from_utf8_lossy(&cancelled.stderr));
    until("an empty queue", || slurm.says("squeue", &["-h"]).is_empty());
    assert_eq!(test.pipe(&["cancel", "study.yaml"]).code, Some(6));
}

#[test]
#[ignore = "runs Slurm"]
fn an_array_of_workers_does_a_study_while_one_is_killed_and_one_requeued() {
    an_array_of_workers(240, 20, 1);
}

/// By hand: `cargo test --test cli -- --ignored hundreds_of_stages`.
#[test]
#[ignore = "takes minutes: the acceptance run on Slurm"]
fn hundreds_of_stages_and_thousands_of_rows_survive_a_kill_every_few_seconds() {
    an_array_of_workers(5_000, 200, 12);
}

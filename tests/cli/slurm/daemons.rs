//! Slurm's daemons: Debian's packages, started here, on one machine, without accounting.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::slow::until;

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
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=localhost NodeAddr=127.0.0.1 CPUs=@CPUS@ RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
";

/// The daemons; they end with it.
pub(super) struct Slurm {
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
    /// A node that takes so many jobs at once, however many cores there are.
    pub(super) fn start(cpus: usize) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let dir = kept.path().to_owned();
        for name in ["munge", "state", "spool", "log"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let at = |name: &str| dir.join(name).display().to_string();
        fs::write(at("munge/munge.key"), [7; 1024]).unwrap();
        let modes = Command::new("chmod").args(["0400", &at("munge/munge.key")]).status().unwrap();
        assert!(modes.success() && Command::new("chmod").args(["0711", &at("")]).status().unwrap().success());
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
        until("the node", || slurm.asks("sinfo", &["-h", "-o", "%t"]).is_ok_and(|state| state == "idle"));
        slurm
    }

    fn daemon(&mut self, program: &str, arguments: &[String]) {
        let log = fs::File::create(self.dir.join("log").join(program)).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap_or_else(|e| panic!("{program} (Debian: slurmd, munge): {e}")));
    }

    /// What a command of Slurm prints.
    pub(super) fn says(&self, program: &str, arguments: &[&str]) -> String {
        self.asks(program, arguments).unwrap_or_else(|said| panic!("{program} {}: {said}", arguments.join(" ")))
    }

    /// The same, or what it says of its failure.
    pub(super) fn asks(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.with(Command::new(program).args(arguments)).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// A command that asks this Slurm.
    pub(super) fn with<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SLURM_CONF", self.dir.join("slurm.conf"))
    }
}

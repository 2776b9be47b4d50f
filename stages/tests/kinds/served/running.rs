//! Servers that run already.

use std::time::Duration;

use pipe_testing::Lab;

use super::{STAGES, answers, asked, lab, run, told};

/// A server of somebody else's, which the test starts: no child of this process, whose stages look after their
/// programs, and take what they do not know for something that one of these has left.
pub(super) struct Other {
    pid: i32,
    pub port: u16,
}

impl Other {
    pub(super) fn start(lab: &Lab, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        // Between its choice and the server's start somebody else may take a port.
        let (pid, port) = (0..9).find_map(|_| Self::on_a_port(lab, arguments, env)).expect("a server that answers");
        Self { pid, port }
    }

    /// The beginning of its description.
    fn described(&self) -> String {
        format!("endpoint: 'http://127.0.0.1:{}/v1', server: vllm, max_retries: 0", self.port)
    }

    fn on_a_port(lab: &Lab, arguments: &[&str], env: &[(&str, &str)]) -> Option<(i32, u16)> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", r#""$@" >/dev/null 2>&1 & echo $!"#, "sh"]).arg(lab.path("vllm")).arg("serve");
        shell.arg(lab.path("base")).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        shell.args(["--served-model-name", "org/base"]).args(arguments).envs(env.iter().copied());
        let pid: i32 = String::from_utf8(shell.output().ok()?.stdout).ok()?.trim().parse().ok()?;
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some((pid, port));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.pid).expect("the number of a process");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

#[test]
fn a_vllm_that_runs_already_loads_an_adapter_and_forgets_it() {
    let lab = lab();
    let updating = [("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "True")];
    let ask = |server: &Other, model: &str| {
        run(&lab, &[super::ask("s", ", adapter: adapter", &format!("{}, model: {model}", server.described()), "")])
    };
    let plain = Other::start(&lab, &["--enable-lora"], &[]);
    let failure = told(&ask(&plain, "org/base"));
    assert!(failure.contains("VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"), "{failure}");
    // A run says so before it trains anything.
    let refused = |server: &Other| {
        let stage = super::ask("s", ", adapter: adapter", &format!("{}, model: org/base", server.described()), "");
        let pipeline = lab.pipeline(&format!("pipeline: p\nstages:\n{STAGES}{stage}"));
        let mut plan = pipe_engine::inspect::plan(&pipeline, &lab.store, &lab.options).unwrap();
        pipe_engine::inspect::ask_servers(&pipeline, &lab.store, &lab.options, &mut plan);
        let told = format!("{:?}", plan.nodes.iter().map(|node| &node.action).collect::<Vec<_>>());
        told.contains("does not load adapters") && told.contains("VLLM_ALLOW_RUNTIME_LORA_UPDATING=True")
    };
    assert!(refused(&plain));
    let without = Other::start(&lab, &[], &updating);
    let failure = told(&ask(&without, "org/base"));
    assert!(failure.contains("start vLLM with --enable-lora"), "{failure}");
    let low = Other::start(&lab, &["--enable-lora", "--max-lora-rank", "4"], &updating);
    let failure = told(&ask(&low, "org/base"));
    assert!(
        failure.contains("start vLLM with a higher --max-lora-rank") && failure.contains("LoRA rank 8"),
        "{failure}"
    );
    let right = Other::start(&lab, &["--enable-lora"], &updating);
    let failure = told(&ask(&right, "org/other"));
    assert!(failure.contains("does not have the model `org/other`") && failure.contains("org/base"), "{failure}");
    assert!(!refused(&right));
    assert_eq!(ask(&right, "org/base").failures(), [""; 0]);
    assert_eq!(answers(&lab, "s"), ["adapter"; 4]);
    let (loaded, mut unloaded) = (asked(&lab, "/v1/load_lora_adapter"), asked(&lab, "/v1/unload_lora_adapter"));
    unloaded.retain(|body| loaded.iter().any(|loaded| loaded["lora_name"] == body["lora_name"]));
    assert_eq!(unloaded.len(), 2, "what was loaded: {loaded:?}");
}

//! Servers of this process: started when they are first asked, shared, ended when nobody has a use for them.
//!
//! Whoever asks a server holds an `Arc` of it; the run holds one more of the last that was started under a name, until
//! no stage is left that shares it ([`StageContext::keep_for_others`]). The last of them to be dropped ends it.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pipe_cache::{Digest, Hasher};
use pipe_engine::{context::StageContext, diag, kind::StageError};
use pipe_lm::{
    generate::{
        GenerateError,
        endpoint::{ApiKey, Endpoint, EndpointConfig, EndpointError},
    },
    origin::LocalModel,
};

use super::{super::place, Program, ServeRef, adapter::GgufAdapter, told};
use crate::{
    model::key_of,
    programs::{BASIC_ENV, service::Service},
};

/// The name under which a server is asked.
const NAME: &str = "served";
/// Where an adapter stands among those that llama.cpp is started with.
const FIRST: u32 = 0;
/// How often it is looked whether a server is ready: at first, and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long after its last sign of life the end of a server is seen, at most.
const NOTICED: Duration = Duration::from_secs(3);
/// How often another port is tried: between its choice and the server's start somebody else may take it.
const PORTS: usize = 3;
/// In the environment of a server: its log, by which all that it starts is known.
const LOG: &str = "PIPE_SERVER_LOG";

/// What servers read of the environment, beside what all programs do: where devices, libraries, caches and the hub are.
const SERVER_ENV: [&str; 31] = [
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ROCM_PATH",
    "GGML_VK_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "VLLM_CACHE_ROOT",
    "VLLM_CONFIG_ROOT",
    "VLLM_ATTENTION_BACKEND",
    "VLLM_LOGGING_LEVEL",
    "VLLM_WORKER_MULTIPROC_METHOD",
    "TRITON_CACHE_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "NCCL_DEBUG",
    "NCCL_SOCKET_IFNAME",
    "HTTPS_PROXY",
    "NO_PROXY",
    "CONDA_PREFIX",
    "OMP_NUM_THREADS",
];

/// A server that runs.
pub(super) struct Instance {
    service: Service,
    program: Program,
    url: String,
    key: Option<ApiKey>,
    /// The adapter that it was started with.
    lora: Option<Digest>,
}

/// The servers of one command line, whatever their adapters. Who starts one holds the lock meanwhile.
type Running = Arc<Mutex<Vec<Weak<Instance>>>>;

static RUNNING: Mutex<BTreeMap<Digest, Running>> = Mutex::new(BTreeMap::new());
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// A server that a stage asks for.
pub(super) struct Starting<'a> {
    pub cx: &'a StageContext,
    pub served: &'a ServeRef,
    pub local: &'a LocalModel,
}

/// What became of a server that is waited for.
enum Became {
    Ready,
    Dead(String),
}

impl Starting<'_> {
    /// The running server of that description, with that adapter; started if there is none. Where no adapter is asked
    /// for, one that has some does as well: every request says whether it counts.
    ///
    /// # Errors
    /// It cannot be started, dies, or is not ready in time; the run is being cancelled.
    pub(super) fn instance(&self, lora: Option<&GgufAdapter>) -> Result<Arc<Instance>, StageError> {
        let program = self.served.find(self.cx.base_dir(), self.cx.env("PATH"))?;
        let running = Arc::clone(RUNNING.lock().entry(self.identity(&program)).or_default());
        let mut running = loop {
            self.cx.check_cancelled()?;
            if let Some(running) = running.try_lock_for(LOOKS.0) {
                break running;
            }
        };
        running.retain(|instance| instance.strong_count() > 0);
        let fits = |instance: &Arc<Instance>| {
            instance.service.ended().is_none() && lora.is_none_or(|lora| instance.lora == Some(lora.digest))
        };
        if let Some(found) = running.iter().filter_map(Weak::upgrade).find(fits) {
            return Ok(found);
        }
        // What was kept of it would lie beside the new one in memory.
        self.cx.keep_for_others(());
        let instance = Arc::new(self.start(&program, lora)?);
        running.push(Arc::downgrade(&instance));
        self.cx.keep_for_others(Arc::clone(&instance));
        Ok(instance)
    }

    /// What two stages must agree in to be answered by one process.
    fn identity(&self, program: &Path) -> Digest {
        let mut hasher = Hasher::new("pipe.served.v1");
        hasher.str(&program.to_string_lossy()).str(&place(self.local).to_string_lossy());
        let served = serde_json::to_string(&ServeRef { model: None, program: None, ..self.served.clone() });
        hasher.str(&served.expect("a description of a server is JSON")).finish()
    }

    fn start(&self, program: &Path, lora: Option<&GgufAdapter>) -> Result<Instance, StageError> {
        let (cx, served) = (self.cx, self.served);
        let key = key_of(served.api_key_env.as_deref(), &served.serve.to_string(), |name| cx.env(name))?;
        let deadline = Instant::now() + Duration::from_secs(served.start_seconds);
        for port_left in (0..PORTS).rev() {
            let port = free_port()?;
            let (service, shown) = self.run(program, port, lora, key.as_ref())?;
            let instance = Instance {
                service,
                program: served.serve,
                url: format!("http://127.0.0.1:{port}/v1"),
                key: key.clone(),
                lora: lora.map(|lora| lora.digest),
            };
            cx.note(format!("{} is started: {shown}", served.serve));
            match self.wait(&instance, deadline)? {
                Became::Ready => {
                    cx.note(format!("{} is ready; log: {}", served.serve, instance.service.log().display()));
                    return Ok(instance);
                }
                Became::Dead(words) if port_left > 0 && words.to_lowercase().contains("address already in use") => {}
                Became::Dead(words) => {
                    return Err(StageError::user_help(
                        format!("{} did not start: {words}", served.serve),
                        "look at what it says; arguments of its own stand in `args` and `local_args`",
                    ));
                }
            }
        }
        Err(StageError::transient(format!("no free port was left for {}", served.serve)))
    }

    /// Starts the program, with its words for people.
    fn run(
        &self,
        program: &Path,
        port: u16,
        lora: Option<&GgufAdapter>,
        key: Option<&ApiKey>,
    ) -> Result<(Service, String), StageError> {
        let (cx, served) = (self.cx, self.served);
        let name = format!("server-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let (file, log) = cx.run_log(&name)?;
        let mut command = Command::new(program);
        command.current_dir(cx.base_dir()).env_clear().stdin(Stdio::null());
        let port = port.to_string();
        let model = place(self.local);
        match served.serve {
            Program::Vllm => {
                command.arg("serve").arg(model).args(["--host", "127.0.0.1", "--port", &port]);
                command.args(["--served-model-name", NAME]);
                if let Some(rank) = served.max_lora_rank {
                    command.args(["--enable-lora", "--max-lora-rank", &rank.to_string()]);
                }
            }
            Program::LlamaCpp => {
                command.arg("-m").arg(model).args(["--host", "127.0.0.1", "--port", &port, "--alias", NAME]);
                if let Some(lora) = lora {
                    command.arg("--lora").arg(&lora.path).arg("--lora-init-without-apply");
                }
            }
        }
        command.args(&served.args).args(&served.local_args);
        let passed = served.pass_env.iter().map(String::as_str);
        for name in BASIC_ENV.into_iter().chain(SERVER_ENV).chain(passed) {
            if let Some(value) = cx.env(name) {
                command.env(name, value);
            }
        }
        command.env(LOG, &log);
        if served.max_lora_rank.is_some() {
            command.env("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "True");
        }
        if let Some(key) = key {
            // Never among the arguments, which everybody on the machine can read.
            let variable = match served.serve {
                Program::Vllm => "VLLM_API_KEY",
                Program::LlamaCpp => "LLAMA_API_KEY",
            };
            command.env(variable, key.reveal());
        }
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let shown = diag::redact(&words.join(" ")).into_owned();
        let to_log = |e| StageError::other("hand the log to the server", e);
        command.stdout(file.try_clone().map_err(to_log)?).stderr(file);
        let service =
            Service::start(command, log).map_err(|e| StageError::user(format!("failed to start {shown}: {e}")))?;
        Ok((service, shown))
    }

    /// Waits until the server is ready.
    fn wait(&self, instance: &Instance, deadline: Instant) -> Result<Became, StageError> {
        let endpoint = instance.endpoint(self.served, false, None).map_err(told)?;
        let mut pause = LOOKS.0;
        loop {
            self.cx.check_cancelled()?;
            if let Some(death) = instance.death() {
                return Ok(Became::Dead(death));
            }
            // Somebody else may have taken the port, and be healthy, too: then the server is about to say so and end.
            if endpoint.is_healthy() && is_ours(&endpoint) {
                return Ok(Became::Ready);
            }
            if Instant::now() >= deadline {
                return Err(StageError::user_help(
                    format!(
                        "{} was not ready within {} s; it said last:\n{}",
                        self.served.serve,
                        self.served.start_seconds,
                        instance.last_words()
                    ),
                    format!("raise `start_seconds`; its log is {}", instance.service.log().display()),
                ));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LOOKS.1);
        }
    }
}

fn is_ours(endpoint: &Endpoint) -> bool {
    endpoint.models().is_ok_and(|models| models.iter().any(|model| model.id == NAME))
}

fn free_port() -> Result<u16, StageError> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(listener.map_err(|e| StageError::other("find a free port", e))?.port())
}

impl Instance {
    /// The server as it is asked, with its adapter or without.
    pub(super) fn endpoint(
        &self,
        served: &ServeRef,
        with_lora: bool,
        first_token: Option<u32>,
    ) -> Result<Endpoint, EndpointError> {
        Endpoint::new(EndpointConfig {
            text_as_chat: served.chat,
            api_key: self.key.clone(),
            concurrency: served.concurrency,
            timeout: Duration::from_secs(served.timeout_seconds),
            max_retries: served.max_retries,
            extra: served.extra.clone(),
            first_token,
            lora: self.lora.map(|_| (FIRST, f64::from(u8::from(with_lora)))),
            ..EndpointConfig::new(&*self.url, NAME, self.program.dialect())
        })
    }

    /// How it ended and what it said last, if it has ended.
    pub(super) fn death(&self) -> Option<String> {
        let end = self.service.ended()?;
        let log = self.service.log().display();
        Some(format!("{} ended ({end}); it said last:\n{}\n(its log is {log})", self.program, self.last_words()))
    }

    /// [`Self::death`], where it may be what a request failed of: a connection breaks a moment before the end of a
    /// process is seen.
    pub(super) fn death_behind(&self, error: &GenerateError) -> Option<String> {
        let is_cut = matches!(error, GenerateError::Endpoint(e) if matches!(**e, EndpointError::Transport { .. }));
        let until = Instant::now() + if is_cut { NOTICED } else { Duration::ZERO };
        while self.service.ended().is_none() && Instant::now() < until {
            thread::sleep(LOOKS.0);
        }
        self.death()
    }

    /// The end of its log, without its key.
    fn last_words(&self) -> String {
        let words = diag::redact(&self.service.last_words()).into_owned();
        self.key.as_ref().map_or_else(|| words.clone(), |key| key.redact(&words))
    }
}

//! Fakes of vLLM's and llama.cpp's servers: programs with their command lines, which refuse whatever those would.
//!
//! A test's own executable is the program: a shell script hands the arguments over in the environment, since the test
//! harness has arguments of its own.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "it is a program, which says what it does"
)]

mod model;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::exit,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use self::model::Model;
pub(super) use self::model::tokens;

/// Where a fake finds its command line, one argument to a line.
const ARGUMENTS: &str = "FAKE_SERVER_ARGUMENTS";
/// Where it writes down what it is asked, a line of JSON for each request.
const JOURNAL: &str = "FAKE_SERVER_JOURNAL";
/// How often it says that it is not ready yet.
const LOADING: usize = 2;

/// Writes the program `vllm` or `llama-server` into a folder; what it is asked stands in `journal`.
pub(super) fn program(folder: &Path, name: &str, journal: &Path) -> PathBuf {
    let (path, itself) = (folder.join(name), env::current_exe().unwrap());
    let script = format!(
        "#!/bin/sh\n{ARGUMENTS}=\"$(printf '%s\\n' {name} \"$@\")\" {JOURNAL}='{}' exec '{}' --ignored --exact \
         served::fake::it_serves --nocapture\n",
        journal.display(),
        itself.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// What the server is, by its command line.
#[derive(Default)]
struct Fake {
    vllm: bool,
    port: u16,
    name: String,
    version: String,
    key: Option<String>,
    /// vLLM: the highest rank of adapters. llama.cpp: how many it was started with.
    ranks: Option<u64>,
    loras: usize,
    updating: bool,
    journal: PathBuf,
    /// Dies before it listens, after so many answers; is never ready.
    dies: Option<usize>,
    hangs: bool,
    /// vLLM: the model, and how long its texts may be.
    model: Option<Model>,
    max_model_len: usize,
    /// How long it says that they may be.
    told_len: Option<usize>,
    tokenizer_info: bool,
    /// Something of vLLM's that it does not do.
    lacks: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    health: usize,
    answers: usize,
    adapters: BTreeMap<String, PathBuf>,
}

#[test]
#[ignore = "is a program that tests start"]
fn it_serves() {
    let Ok(arguments) = env::var(ARGUMENTS) else { return };
    let fake = Arc::new(Fake::of(&mut arguments.lines()));
    println!("(fake) loading {}", fake.name);
    if fake.dies == Some(0) {
        println!("RuntimeError: out of memory; the key is {}", fake.key.as_deref().unwrap_or("none"));
        exit(1);
    }
    let Ok(listener) = TcpListener::bind(("127.0.0.1", fake.port)) else {
        println!("OSError: [Errno 98] Address already in use");
        exit(1);
    };
    fake.note(&json!({ "started": arguments.lines().collect::<Vec<_>>(), "pid": std::process::id() }));
    for stream in listener.incoming().flatten() {
        let fake = Arc::clone(&fake);
        thread::spawn(move || drop(fake.serve(stream)));
    }
}

impl Fake {
    /// Reads a command line; an argument that the program does not know ends it.
    fn of(arguments: &mut dyn Iterator<Item = &str>) -> Self {
        let set = |name: &str| env::var(name).ok();
        let mut fake = Self {
            vllm: arguments.next() == Some("vllm"),
            version: "0.11.0".to_owned(),
            journal: set(JOURNAL).unwrap().into(),
            ..Self::default()
        };
        fake.key = set(if fake.vllm { "VLLM_API_KEY" } else { "LLAMA_API_KEY" });
        fake.updating =
            set("VLLM_ALLOW_RUNTIME_LORA_UPDATING").is_some_and(|v| ["1", "true"].contains(&&*v.to_lowercase()));
        if fake.vllm {
            assert_eq!(arguments.next(), Some("serve"));
            let model = Path::new(arguments.next().unwrap());
            assert!(model.join("config.json").is_file(), "{}", model.display());
            fake.model = Some(Model::of(model));
            fake.max_model_len = 96;
        }
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} wants a value"));
            match (fake.vllm, argument) {
                (_, "--host") => assert_eq!(value(), "127.0.0.1"),
                (_, "--port") => fake.port = value().parse().unwrap(),
                (true, "--served-model-name") | (false, "--alias") => value().clone_into(&mut fake.name),
                (true, "--enable-lora") => fake.ranks = fake.ranks.or(Some(16)),
                (true, "--max-lora-rank") => fake.ranks = Some(value().parse().unwrap()),
                (true, "--max-model-len") => fake.max_model_len = value().parse().unwrap(),
                (true, "--enable-tokenizer-info-endpoint") => fake.tokenizer_info = true,
                (true, "--fake-told-len") => fake.told_len = Some(value().parse().unwrap()),
                (true, "--fake-lacks") => value().clone_into(&mut fake.lacks),
                (false, "--ctx-size") => drop(value().parse::<u32>().unwrap()),
                (false, "-m") => assert_eq!(&fs::read(value()).unwrap()[..4], b"GGUF"),
                (false, "--lora") => {
                    assert_eq!(&fs::read(value()).unwrap()[..4], b"GGUF");
                    fake.loras += 1;
                }
                (false, "--lora-init-without-apply") => {}
                (_, "--fake-version") => value().clone_into(&mut fake.version),
                (_, "--fake-dies") => fake.dies = Some(value().parse().unwrap()),
                (_, "--fake-hangs") => fake.hangs = true,
                (_, other) => {
                    eprintln!("error: unrecognized arguments: {other}");
                    exit(2)
                }
            }
        }
        fake
    }

    fn note(&self, what: &Value) {
        let mut file = fs::File::options().create(true).append(true).open(&self.journal).unwrap();
        file.write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if !path.ends_with("/health") {
            self.note(&json!({ "asked": path, "body": body }));
        }
        let (status, answer) = self.answer(&method, &path, &headers, &body);
        let mut stream = stream;
        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all((head + &answer).as_bytes())
    }

    fn answer(&self, method: &str, path: &str, headers: &BTreeMap<String, String>, body: &Value) -> (u16, String) {
        let error = |status: u16, kind: &str, message: String| {
            let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": status } });
            (status, body.to_string())
        };
        let is_open = matches!(path, "/health" | "/version");
        if let Some(key) = self.key.as_ref().filter(|_| !is_open)
            && headers.get("authorization") != Some(&format!("Bearer {key}"))
        {
            return (401, json!({ "error": "Unauthorized" }).to_string());
        }
        if method == "POST" && headers.get("content-type").map(String::as_str) != Some("application/json") {
            return error(415, "Unsupported Media Type", "only application/json is allowed".to_owned());
        }
        let only = |keys: &[&str]| body.as_object().is_some_and(|o| o.keys().all(|key| keys.contains(&&**key)));
        match (self.vllm, method, path) {
            (_, "GET", "/health") => {
                let mut state = self.state.lock().unwrap();
                state.health += 1;
                match () {
                    () if self.hangs || state.health <= LOADING => {
                        error(503, "unavailable_error", "Loading model".to_owned())
                    }
                    () if self.vllm => (200, String::new()),
                    () => (200, json!({ "status": "ok" }).to_string()),
                }
            }
            (true, "GET", "/version") => (200, json!({ "version": self.version }).to_string()),
            (false, "GET", "/props") => (200, json!({ "build_info": self.version, "total_slots": 1 }).to_string()),
            (_, "GET", "/v1/models") => {
                let card = |id: &str, parent: Option<&str>| {
                    let owner = if self.vllm { "vllm" } else { "llamacpp" };
                    let created = 1;
                    json!({ "id": id, "object": "model", "created": created, "owned_by": owner, "parent": parent })
                };
                let state = self.state.lock().unwrap();
                let adapters = state.adapters.keys().map(|id| card(id, Some(&self.name)));
                let all: Vec<Value> = std::iter::once(card(&self.name, None)).chain(adapters).collect();
                (200, json!({ "object": "list", "data": all }).to_string())
            }
            (true, "POST", "/v1/load_lora_adapter") if self.updating => {
                assert!(only(&["lora_name", "lora_path", "load_inplace", "is_3d_lora_weight"]), "{body}");
                self.load(body["lora_name"].as_str().unwrap(), Path::new(body["lora_path"].as_str().unwrap()), &error)
            }
            (true, "POST", "/v1/unload_lora_adapter") if self.updating => {
                assert!(only(&["lora_name", "lora_int_id"]), "{body}");
                let name = body["lora_name"].as_str().unwrap();
                match self.state.lock().unwrap().adapters.remove(name) {
                    Some(_) => (200, format!("Success: LoRA adapter '{name}' removed successfully.")),
                    None => error(404, "NotFoundError", format!("The lora adapter '{name}' cannot be found.")),
                }
            }
            (true, "GET", "/tokenizer_info") if self.tokenizer_info => (200, self.model().info().to_string()),
            (true, "POST", "/tokenize" | "/detokenize") if self.lacks != "tokenize" => {
                if !self.has(body["model"].as_str().unwrap()) {
                    return error(404, "NotFoundError", format!("The model {} does not exist.", body["model"]));
                }
                if path == "/detokenize" {
                    assert!(only(&["model", "tokens"]), "{body}");
                    let text = self.model().detokenize(body);
                    return (200, json!({ "prompt": text }).to_string());
                }
                assert!(
                    only(&["model", "prompt", "add_special_tokens"])
                        || only(&["model", "messages", "add_generation_prompt", "chat_template_kwargs"]),
                    "{body}"
                );
                match self.model().tokenize(body) {
                    Ok(tokens) => {
                        let len = self.told_len.unwrap_or(self.max_model_len);
                        let answer = json!({
                            "count": tokens.len(), "max_model_len": len, "tokens": tokens, "token_strs": null
                        });
                        (200, answer.to_string())
                    }
                    Err(problem) => error(400, "BadRequestError", problem),
                }
            }
            (_, "POST", "/v1/completions" | "/v1/chat/completions") => self.complete(path, body, &error),
            _ => (404, json!({ "detail": "Not Found" }).to_string()),
        }
    }

    fn model(&self) -> &Model {
        self.model.as_ref().expect("vLLM has a model")
    }

    /// Whether it is the model, or an adapter.
    fn has(&self, name: &str) -> bool {
        name == self.name || self.state.lock().unwrap().adapters.contains_key(name)
    }

    /// Puts the log-probabilities of the prompt into a choice, or says why it will not.
    fn read_prompt(&self, body: &Value, choice: &mut Value) -> Result<(), String> {
        let prompt = body["prompt"].as_array().expect("tokens");
        let (sent, most) = (prompt.len(), body["max_tokens"].as_u64().unwrap() as usize);
        assert!(most > 0 && body["stream"] == false && body["prompt_logprobs"] == 1, "{body}");
        if sent + most > self.max_model_len {
            return Err(format!(
                "You passed {sent} input tokens and requested {most} output tokens. However, the model's context \
                 length is only {} tokens, resulting in a maximum input length of {} tokens. Please reduce the length \
                 of the input prompt.",
                self.max_model_len,
                self.max_model_len - most
            ));
        }
        let adapter = self.state.lock().unwrap().adapters.get(body["model"].as_str().unwrap()).cloned();
        let mut told = self.model().prompt_logprobs(&body["prompt"], adapter.as_deref());
        match &*self.lacks {
            "prompt_logprobs" => return Ok(()),
            "a token" => drop(told.as_array_mut().unwrap().pop()),
            "the right token" => told[1] = json!({ "0": { "logprob": -1.0, "rank": 1, "decoded_token": "x" } }),
            _ => {}
        }
        choice["prompt_logprobs"] = told;
        Ok(())
    }

    fn load(&self, name: &str, path: &Path, error: &dyn Fn(u16, &str, String) -> (u16, String)) -> (u16, String) {
        let mut state = self.state.lock().unwrap();
        if state.adapters.contains_key(name) {
            let message = format!("The lora adapter '{name}' has already been loaded.");
            return error(400, "InvalidUserInput", message);
        }
        let config = fs::read(path.join("adapter_config.json")).ok();
        let Some(config) = config.filter(|_| path.join("adapter_model.safetensors").is_file() && path.is_absolute())
        else {
            let message = format!("Loading lora {name} failed: No adapter found for {}", path.display());
            return error(404, "NotFoundError", message);
        };
        let config: Value = serde_json::from_slice(&config).unwrap();
        let rank = config["r"].as_u64().unwrap();
        let failed = |message: String| error(500, "InternalServerError", message);
        match self.ranks {
            None => failed("Call to add_lora method failed: LoRA is not enabled.".to_owned()),
            Some(most) if rank > most => failed(format!("LoRA rank {rank} is greater than max_lora_rank {most}.")),
            _ if !config["modules_to_save"].is_null() => {
                failed("vLLM only supports modules_to_save being None.".to_owned())
            }
            _ if config["use_dora"] == true => failed("vLLM does not yet support DoRA.".to_owned()),
            Some(_) => {
                state.adapters.insert(name.to_owned(), path.to_owned());
                (200, format!("Success: LoRA adapter '{name}' added successfully."))
            }
        }
    }

    /// Answers `base`, or `adapter`, as whichever it is asked.
    fn complete(&self, path: &str, body: &Value, error: &dyn Fn(u16, &str, String) -> (u16, String)) -> (u16, String) {
        let mut state = self.state.lock().unwrap();
        if self.dies.is_some_and(|after| state.answers >= after) {
            println!("CUDA error: an illegal memory access was encountered");
            exit(134);
        }
        state.answers += 1;
        let model = body["model"].as_str().unwrap();
        let is_adapter = if self.vllm {
            assert_eq!(body.get("lora"), None, "vLLM has no such key");
            if model != self.name && !state.adapters.contains_key(model) {
                return error(404, "NotFoundError", format!("The model `{model}` does not exist."));
            }
            model != self.name
        } else {
            let scales = body.get("lora").map_or(&[][..], |lora| lora.as_array().unwrap());
            let of = |entry: &Value| (entry["id"].as_u64().unwrap() as usize, entry["scale"].as_f64().unwrap());
            if scales.iter().any(|entry| of(entry).0 >= self.loras) {
                return error(400, "invalid_request_error", "invalid lora id".to_owned());
            }
            match body.get("lora") {
                Some(_) => scales.iter().any(|entry| of(entry).1 > 0.0),
                // As seen on llama.cpp b11549, whatever `--lora-init-without-apply` says.
                None => self.loras > 0,
            }
        };
        // As long as two stages ask at once.
        drop(state);
        thread::sleep(Duration::from_millis(20));
        let text = if is_adapter { "adapter" } else { "base" };
        let mut choice = json!({ "index": 0, "logprobs": null, "finish_reason": "stop", "stop_reason": null });
        if path.ends_with("chat/completions") {
            choice["message"] = json!({ "role": "assistant", "content": text, "refusal": null, "tool_calls": [] });
        } else {
            choice["text"] = json!(text);
        }
        if body.get("prompt_logprobs").is_some() {
            assert!(self.vllm, "llama.cpp has no such key");
            if let Err(problem) = self.read_prompt(body, &mut choice) {
                return error(400, "BadRequestError", problem);
            }
        }
        let usage = json!({ "prompt_tokens": 3, "total_tokens": 5, "completion_tokens": 2 });
        let object = if path.ends_with("chat/completions") { "chat.completion" } else { "text_completion" };
        let answer = json!({
            "id": "cmpl-1", "object": object, "created": 1, "model": model, "choices": [choice], "usage": usage
        });
        (200, answer.to_string())
    }
}

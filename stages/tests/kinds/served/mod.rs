//! Servers that are started for a run, and adapters on servers.

mod fake;
mod real;
mod running;
mod scored;

use std::fs;

use pipe_engine::events::EventKind;
use pipe_testing::{Lab, Ran};
use serde_json::{Value, json};

use crate::models::random_model;

/// An adapter, an exam, and the program `NAME` with its journal.
const STAGES: &str = "  rows: { kind: table, params: { path: rows.jsonl } }
  exam: { kind: table, params: { path: exam.jsonl } }
  adapter: { kind: train, inputs: { examples: rows }, params: { model: base, budget: { steps: 1 }, lora: { r: 8 } } }
  gguf: { kind: export, params: { model: base, format: gguf } }
";

/// What a pipeline without arms is called.
const ARM: &str = "baseline";

/// A lab with a model, questions, and both fakes.
fn lab() -> Lab {
    let lab = Lab::with(pipe_stages::registry());
    fs::create_dir(lab.path("base")).unwrap();
    random_model(&lab.path("base"), 1);
    let row =
        |i: usize| json!({ "id": format!("q{i}"), "instruction": format!("What is item {i}?"), "output": "base" });
    lab.jsonl("rows.jsonl", (0..4).map(row));
    lab.jsonl("exam.jsonl", (0..4).map(row));
    for name in ["vllm", "llama-server"] {
        fake::program(&lab.path("."), name, &lab.path("journal.jsonl"));
    }
    lab
}

/// A stage that asks a started server.
fn ask(name: &str, inputs: &str, model: &str, more: &str) -> String {
    format!(
        "  {name}: {{ kind: evaluate, inputs: {{ items: exam{inputs} }}, params: {{ model: {{ {model} }}, template: \
         plain }}{more} }}\n"
    )
}

const VLLM: &str = "serve: vllm, model: base, program: ./vllm, args: [--max-model-len, 512], max_lora_rank: 8";
const LLAMA: &str = "serve: llama_cpp, program: ./llama-server, args: [--ctx-size, 512]";

fn run(lab: &Lab, stages: &[String]) -> Ran {
    lab.run_stages(&(STAGES.to_owned() + &stages.concat()))
}

fn journal(lab: &Lab) -> Vec<Value> {
    if lab.path("journal.jsonl").exists() { lab.lines("journal.jsonl") } else { Vec::new() }
}

/// What was asked at an address.
fn asked(lab: &Lab, path: &str) -> Vec<Value> {
    journal(lab).into_iter().filter(|line| line["asked"] == path).map(|line| line["body"].clone()).collect()
}

/// The servers that were started: none of them runs any more.
fn started(lab: &Lab) -> Vec<Value> {
    let all: Vec<Value> = journal(lab).into_iter().filter(|line| line.get("started").is_some()).collect();
    for server in &all {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server["pid"])).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z"), "left behind: {stat}");
    }
    all
}

/// What went wrong in the one stage that failed, and what to do.
fn told(ran: &Ran) -> String {
    let all = ran.pick(|e| match e {
        EventKind::Failed { error, help, .. } => {
            Some(format!("{}\n{}", error.join(": "), help.as_deref().unwrap_or("")))
        }
        _ => None,
    });
    assert_eq!(all.len(), 1, "{all:?}");
    all.concat()
}

fn answers(lab: &Lab, stage: &str) -> Vec<String> {
    let rows = lab.rows(&format!("{stage}.predictions"));
    rows.iter().map(|row| row["prediction"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn stages_share_one_vllm_which_loads_adapters_and_forgets_them() {
    let lab = lab();
    let stages = [
        ask("plain", "", VLLM, ""),
        ask("adapted", ", adapter: adapter", VLLM, ""),
        "  written: { kind: respond, inputs: { instructions: exam, adapter: adapter }, params: { model: { VLLM }, \
         num_demonstrations: 0, filters: { echo: false } } }\n"
            .replace("VLLM", VLLM),
    ];
    let ran = run(&lab, &stages);
    assert_eq!(ran.failures(), [""; 0]);
    let servers = started(&lab);
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert_eq!(
        (answers(&lab, "plain"), answers(&lab, "adapted")),
        (vec!["base".to_owned(); 4], vec!["adapter".to_owned(); 4])
    );
    assert_eq!(lab.rows("written.responses")[0]["output"], "adapter");
    let (loaded, unloaded) = (asked(&lab, "/v1/load_lora_adapter"), asked(&lab, "/v1/unload_lora_adapter"));
    assert!(!loaded.is_empty() && loaded.len() == unloaded.len(), "{loaded:?} {unloaded:?}");
    let name = loaded[0]["lora_name"].as_str().unwrap();
    assert!(name.starts_with("pipe-") && loaded.iter().chain(&unloaded).all(|body| body["lora_name"] == name));
    let notes = ran.pick(|e| if let EventKind::Log { line, .. } = e { Some(line.clone()) } else { None }).join("\n");
    assert!(notes.contains("vLLM is started:") && notes.contains("vLLM is ready; log: "), "{notes}");
    // Nothing is asked again, and nothing is started for it.
    assert_eq!(run(&lab, &stages).failures(), [""; 0]);
    assert_eq!(started(&lab).len(), 1);
}

#[test]
fn llama_cpp_is_started_with_the_adapter_and_applies_it_where_a_request_says_so() {
    let mut lab = lab();
    // One after the other: the base is then asked of the server that has the adapter.
    lab.options.jobs = 1;
    let stages =
        [ask("adapted", ", adapter: adapter, model: gguf", LLAMA, ""), ask("plain", ", model: gguf", LLAMA, "")];
    assert_eq!(run(&lab, &stages).failures(), [""; 0]);
    assert_eq!(
        (answers(&lab, "plain"), answers(&lab, "adapted")),
        (vec!["base".to_owned(); 4], vec!["adapter".to_owned(); 4])
    );
    let servers = started(&lab);
    assert!(servers.len() == 1 && servers[0]["started"].to_string().contains("\"--lora\""), "{servers:?}");
    let scales: Vec<Value> = asked(&lab, "/v1/completions").iter().map(|body| body["lora"].clone()).collect();
    let all = |scale: f64| vec![json!([{ "id": 0, "scale": scale }]); 4];
    assert_eq!(scales, [all(1.0), all(0.0)].concat());
}

#[test]
fn what_a_server_says_when_it_dies_is_told_and_its_key_is_not() {
    let mut lab = lab();
    lab.env("THE_KEY", "sk-secret-1");
    let dying = |after: usize| {
        format!("{VLLM}, api_key_env: THE_KEY, max_retries: 0, concurrency: 1, local_args: [--fake-dies, {after}]")
    };
    let failure = told(&run(&lab, &[ask("s", "", &dying(0), "")]));
    assert!(failure.contains("vLLM did not start: vLLM ended (exit status: 1); it said last:"), "{failure}");
    assert!(failure.contains("RuntimeError: out of memory; the key is [key]"), "{failure}");
    let failure = told(&run(&lab, &[ask("s", "", &dying(2), "")]));
    assert!(failure.contains("exit status: 134") && failure.contains("illegal memory access"), "{failure}");
    assert_eq!(started(&lab).len(), 1);
    // What was answered is kept, and another attempt has another server.
    let ran = run(&lab, &[ask("s", "", &dying(1), ", retries: 3, backoff: 1ms")]);
    assert_eq!(ran.failures(), [""; 0]);
    let arguments = serde_json::to_string(&started(&lab)).unwrap();
    assert!(started(&lab).len() > 1 && !arguments.contains("sk-secret-1"), "{arguments}");
    let wrong = told(&run(&lab, &[ask("s", "", &VLLM.replace("args: [", "args: [--no-such-thing, "), "")]));
    assert!(wrong.contains("unrecognized arguments: --no-such-thing"), "{wrong}");
}

#[test]
fn a_server_that_is_not_ready_in_time_or_not_wanted_any_more_is_ended() {
    let lab = lab();
    let hanging = format!("{VLLM}, local_args: [--fake-hangs]");
    let failure = told(&run(&lab, &[ask("s", "", &format!("{hanging}, start_seconds: 1"), "")]));
    assert!(failure.contains("vLLM was not ready within 1 s; it said last:\n"), "{failure}");
    assert!(failure.contains("(fake) loading served"), "{failure}");
    assert_eq!(started(&lab).len(), 1);
    let stages = STAGES.to_owned() + &ask("s", "", &hanging, "");
    let ran = lab.run_until(&stages, |event| matches!(event, EventKind::Log { line, .. } if line.contains("started")));
    assert_eq!(ran.failures(), [""; 0]);
    // It may not have got so far as to write it down.
    assert!(started(&lab).len() <= 2);
    let stages = STAGES.to_owned() + &ask("s", "", VLLM, "");
    lab.run_until(&stages, |event| matches!(event, EventKind::Log { line, .. } if line.contains("ready")));
    started(&lab);
}

/// When a program gets the GPUs, the server whose stages had them is gone; else it stays until its last use.
#[test]
fn a_server_makes_room_on_the_gpus() {
    let gpu = ", resources: { gpu: 1 }";
    for (resources, runs) in [("", true), (gpu, false)] {
        let lab = lab();
        let between = format!(
            "  between:
    kind: command
    inputs: {{ first: first.scores }}
    params:
      shell: |
        cp exam.jsonl $PIPE_OUTPUT_rows
        pid=$(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p' journal.jsonl)
        if kill -0 $pid 2> /dev/null; then runs=true; else runs=false; fi
        echo \"{{\\\"runs\\\": $runs}}\" > $PIPE_OUTPUT_state
      outputs: {{ rows: {{ format: jsonl }}, state: {{ format: jsonl }} }}{}
",
            resources.replace(", ", "\n    ")
        );
        let second = ask("second", "", VLLM, gpu).replace("items: exam", "items: between.rows");
        let second = second.replace("template: plain", "template: plain, max_new_tokens: 9");
        let ran = run(&lab, &[ask("first", "", VLLM, gpu), between, second]);
        assert_eq!(ran.failures(), [""; 0]);
        assert_eq!(lab.rows("between.state")[0]["runs"], json!(runs));
        assert_eq!(started(&lab).len(), if runs { 1 } else { 2 });
    }
}

#[test]
fn a_plan_says_what_will_be_started() {
    let lab = lab();
    let place = |resources: &str| {
        let stage = ask("s", "", VLLM, resources);
        let pipeline = lab.pipeline(&format!("pipeline: p\nstages:\n{STAGES}{stage}"));
        let plan = pipe_engine::inspect::plan(&pipeline, &lab.store, &lab.options).unwrap();
        let node = plan.nodes.into_iter().find(|node| node.node.label.to_string() == "s");
        node.unwrap().place.unwrap()
    };
    assert_eq!(place(""), "starts vLLM, model base");
    assert_eq!(place(", resources: { gpu: 1 }"), "1 gpu, starts vLLM, model base");
}

#[test]
fn what_a_server_cannot_take_is_refused_before_it_is_started() {
    let lab = lab();
    lab.write("x.gguf", "GGUF");
    let without = VLLM.replace(", max_lora_rank: 8", "");
    let large = "  large: { kind: train, inputs: { examples: rows }, params: { model: base, lora: { r: 12 } } }\n";
    let cases = [
        (ask("s", ", adapter: adapter", &without, ""), "add `max_lora_rank: 64`"),
        (
            ask("s", ", adapter: adapter", "endpoint: 'http://localhost:1/v1', model: m, server: llama_cpp", ""),
            "reads adapters only when it starts",
        ),
        (ask("s", ", adapter: adapter", "endpoint: 'http://localhost:1/v1', model: m", ""), "if it is vLLM, say so"),
        (
            ask("s", "", "serve: vllm, model: base, program: ./missing", ""),
            "vLLM cannot be started: there is no program",
        ),
        (ask("s", "", "serve: llama_cpp, model: x.gguf", ""), "whose `llama-server` belongs on the PATH"),
        (
            ask("s", "", &format!("{VLLM}, api_key_env: NO_SUCH"), ""),
            "`NO_SUCH`, which `api_key_env` names, is not set",
        ),
        (ask("s", ", model: gguf", VLLM, ""), "the model is given twice"),
        // Told before the adapter is trained.
        (ask("s", ", adapter: large", VLLM, "") + large, "its rank is 12, and the server is started for ranks up to 8"),
        (
            "  s: { kind: respond, inputs: { instructions: exam, adapter: large }, params: { model: { VLLM } } }\n"
                .replace("VLLM", VLLM)
                + large,
            "its rank is 12, and the server is started for ranks up to 8",
        ),
    ];
    for (stage, message) in cases {
        let pipeline = lab.pipeline(&format!("pipeline: p\nstages:\n{STAGES}{stage}"));
        let plan = pipe_engine::inspect::plan(&pipeline, &lab.store, &lab.options).unwrap();
        let told = format!("{:?}", plan.nodes.iter().map(|node| &node.action).collect::<Vec<_>>());
        assert!(told.contains(message), "{message}: {told}");
    }
    for (model, message) in [
        ("serve: vllm, model: base, args: [--port, 8000]", "a free port of this machine is chosen"),
        ("serve: vllm, model: base, args: [--api-key=sk]", "name the variable that holds it with `api_key_env`"),
        ("serve: vllm, model: base, max_lora_rank: 10", "`max_lora_rank` is 10, and vLLM knows 1, 8, 16"),
        ("serve: vllm, model: x.gguf", "not with a GGUF file"),
        ("serve: llama_cpp, model: base", "llama.cpp reads GGUF files"),
        ("serve: llama_cpp, model: x.gguf, max_lora_rank: 8", "`max_lora_rank` is vLLM's"),
        ("serve: vllm, model: base, args: 3", "args"),
        ("serve: sglang, model: base", "sglang"),
    ] {
        let problems = lab.problems(&(STAGES.to_owned() + &ask("s", "", model, "")));
        assert!(problems.contains(message), "{model}: {problems}");
    }
    assert_eq!(journal(&lab), [] as [Value; 0]);
}

#[test]
fn adapters_that_vllm_would_refuse_or_misread_are_refused_before_it_is_started() {
    let lab = lab();
    let train = |lora: &str| STAGES.replace("lora: { r: 8 }", lora) + &ask("s", ", adapter: adapter", VLLM, "");
    let failure = told(&lab.run_stages(&train("lora: { r: 12 }")));
    assert!(failure.contains("its rank is 12, and the server is started for ranks up to 8"), "{failure}");
    // One of somebody else's, with what vLLM has no place for.
    assert_eq!(lab.run_stages(STAGES).failures(), [""; 0]);
    let own = lab.path("own");
    fs::create_dir(&own).unwrap();
    let made = lab.object("adapter");
    fs::copy(made.join("adapter_model.safetensors"), own.join("adapter_model.safetensors")).unwrap();
    let config = fs::read_to_string(made.join("adapter_config.json")).unwrap();
    for (key, value) in [
        ("rank_pattern", json!({ "q_proj": 4 })),
        ("alpha_pattern", json!({ "q_proj": 4 })),
        ("use_dora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
    ] {
        let mut config: Value = serde_json::from_str(&config).unwrap();
        config[key] = value;
        fs::write(own.join("adapter_config.json"), config.to_string()).unwrap();
        let stages = STAGES.to_owned()
            + "  own: { kind: command, params: { shell: 'cp own/* $PIPE_OUTPUT_adapter', sources: [own/**], outputs: \
               { adapter: { format: files } } } }\n"
            + &ask("s", ", adapter: own", VLLM, "");
        let failure = told(&lab.run_stages(&stages));
        assert!(failure.contains(key), "{failure}");
    }
    assert_eq!(journal(&lab), [] as [Value; 0]);
}

#[test]
fn a_version_is_kept_warned_of_when_it_changes_and_pinned_where_that_is_said() {
    let lab = lab();
    let version = |version: &str, more: &str| {
        let model = format!("{VLLM}, local_args: [--fake-version, {version}]{more}");
        run(&lab, &[ask("s", "", &model, "")])
    };
    let warned = |ran: &Ran| ran.warnings().into_iter().any(|warning| warning.contains("vLLM"));
    assert!(!warned(&version("0.11.0", "")));
    let key = lab.key(ARM, "s");
    let machine = lab.store.manifest(&key).unwrap().unwrap().provenance.machine;
    assert_eq!(machine["took_part"], json!({ "vLLM": "0.11.0" }), "{machine}");
    // Nothing is left to ask.
    assert!(!warned(&version("0.12.0", "")));
    assert_eq!(lab.key(ARM, "s"), key);
    let row = json!({ "id": "more", "instruction": "What is item 9?", "output": "base" });
    lab.jsonl("exam.jsonl", [row]);
    let said = version("0.12.0", "").warnings().join("\n");
    assert!(said.contains("vLLM is 0.12.0 now, and was 0.11.0 when it was last asked"), "{said}");
    let unpinned = lab.key(ARM, "s");
    let failure = told(&version("0.12.0", ", version: 0.13.0"));
    assert!(failure.contains("the pipeline wants vLLM 0.13.0") && failure.contains("is 0.12.0"), "{failure}");
    assert_eq!(version("0.12.0", ", version: 0.12.0").failures(), [""; 0]);
    assert_ne!(lab.key(ARM, "s"), unpinned, "a version that is pinned is part of the key");
}

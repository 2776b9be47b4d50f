//! Training by a program: here one that tells and leaves what the built-in trainer made.

use std::{fs, path::Path};

use arrow::{
    array::RecordBatch,
    compute::{filter_record_batch, is_not_null},
};
use pipe_engine::events::{EventKind, RunEnd};
use pipe_testing::Lab;
use serde_json::{Value, json};

use crate::{
    tables::numbers,
    train_evaluate::{TRAIN, questions, with},
};

const SCRIPT: &str = include_str!("external/trainer.py");
const TRAINED: &str = "{ model: base, lora: { r: 8, alpha: 16 }, learning_rate: 0.02, budget: { steps: 6 }, \
                       micro_batch_size: 4, gradient_accumulation_steps: 2, eval_fraction: 0.2, eval_steps: 3, \
                       seed: 3 }";

fn external(engine: &str) -> String {
    let engine = format!("{{ engine: {engine}, ");
    with(&TRAINED.replacen("{ ", &engine, 1))
}

/// A pipeline of the program, with its rows and base.
fn program() -> String {
    external("{ program: [python3, trainer.py, made] }")
}

/// A lab with what the built-in trainer makes of `TRAINED` in the folder `made`, and the script.
fn lab() -> Lab {
    let lab = questions();
    assert_eq!(lab.run_stages(&with(TRAINED)).failures(), [""; 0]);
    keep(&lab, "made");
    lab.write("trainer.py", SCRIPT);
    lab
}

/// Puts the stage's adapter and log into a folder.
fn keep(lab: &Lab, folder: &str) {
    fs::create_dir_all(lab.path(folder)).unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        copy(&lab.object("train.adapter").join(file), &lab.path(folder).join(file));
    }
    lab.jsonl(&format!("{folder}/log.jsonl"), lab.rows("train.log"));
}

/// The store's files are read-only, and copies of them would be.
fn copy(from: &Path, to: &Path) {
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

fn notes(ran: &pipe_testing::Ran) -> Vec<String> {
    ran.pick(|e| if let EventKind::Log { line, .. } = e { Some(line.clone()) } else { None })
}

#[test]
fn what_a_program_trains_is_the_same_artifact() {
    let lab = lab();
    let made = (lab.digest("train.adapter"), lab.digest("train.log"), lab.key("baseline", "train"));
    let ran = lab.run_stages(&program());
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!((lab.digest("train.adapter"), lab.digest("train.log")), (made.0, made.1));
    assert_ne!(lab.key("baseline", "train"), made.2, "a result of one class never answers for another");
    assert!(ran.computed().contains(&"train".to_owned()));
    assert_eq!((lab.counter("train", "steps"), lab.counter("train", "examples")), (6, 12));
    assert_eq!(lab.run_stages(&program()).computed(), [""; 0], "and answers for itself");

    let config: Value = serde_json::from_str(&fs::read_to_string(lab.path("seen/config.json")).unwrap()).unwrap();
    assert_eq!((&config["format"], &config["steps"], &config["weights"]), (&json!(1), &json!(6), &json!("f32")));
    assert_eq!((&config["eval_steps"], &config["patience"]), (&json!(3), &Value::Null));
    let base = Path::new(config["base"].as_str().unwrap());
    assert!(base.is_absolute() && base.join("model.safetensors").is_file(), "{}", base.display());
    for file in ["rows.parquet", "evaluation.parquet", "start/adapter_model.safetensors"] {
        assert!(lab.path("seen").join(file).is_file(), "{file}");
    }
}

#[test]
fn a_program_goes_on_from_its_checkpoint() {
    let lab = lab();
    let made = (lab.digest("train.adapter"), lab.digest("train.log"));
    lab.write("tricks.json", r#"{"die": 6}"#);
    let failure = lab.run_stages(&program()).failure();
    assert!(failure.contains("exit status: 3") && failure.contains("OutOfMemoryError"), "{failure}");
    assert!(!failure.contains("grad_norm"), "progress is no part of what went wrong: {failure}");
    lab.write("tricks.json", r#"{"wait": 6}"#);
    let seen = |_: &EventKind| lab.path("waiting").exists();
    let stopped = lab.run_until(&program(), seen);
    assert_eq!(stopped.summary.outcome, RunEnd::Cancelled);
    lab.write("tricks.json", "{}");
    let ran = lab.run_stages(&program());
    assert_eq!(ran.failures(), [""; 0]);
    let notes = notes(&ran);
    assert!(notes.contains(&"went on from the checkpoint of step 4".to_owned()), "{notes:?}");
    assert_eq!((lab.digest("train.adapter"), lab.digest("train.log")), made);
}

#[test]
fn the_key_has_what_the_program_is() {
    let lab = lab();
    let key = |engine: &str| {
        let ran = lab.run_stages(&external(engine));
        assert_eq!(ran.failures(), [""; 0]);
        lab.key("baseline", "train")
    };
    let first = key("{ program: [python3, trainer.py, made] }");
    assert_eq!(
        key("{ program: [/usr/bin/env, python3, trainer.py, made] }"),
        key("{ program: [env, python3, trainer.py, made] }")
    );
    fs::create_dir(lab.path("moved")).unwrap();
    lab.write("moved/copy.py", SCRIPT);
    assert_eq!(key("{ program: [python3, moved/copy.py, made] }"), first, "where it lies is no matter");
    assert_ne!(key("{ program: [python3, trainer.py, made, --more] }"), first);
    assert_ne!(key("{ program: [python3, trainer.py, made], versions: { torch: 2.9.1 } }"), first);
    assert_eq!(key("{ program: [python3, trainer.py, made], pass_env: [HOME] }"), first);
    assert_ne!(key("{ program: [python3, trainer.py, made], sources: [exam.jsonl] }"), first);
    lab.write("trainer.py", &format!("# /// script\n# dependencies = [\"torch==2.9.1\"]\n# ///\n{SCRIPT}"));
    let pinned = key("{ program: [python3, trainer.py, made] }");
    assert_ne!(pinned, first);
    assert_ne!(key("{ program: [python3, trainer.py, made], versions: { torch: 2.9.1+cpu } }"), pinned);
    assert_ne!(lab.run_stages(&with(TRAIN)).computed(), [""; 0]);
}

#[test]
fn what_a_program_does_wrong_is_told() {
    let lab = lab();
    fs::create_dir(lab.path("wrong")).unwrap();
    let check = |tricks: Value, expect: &str| {
        lab.write("tricks.json", &tricks.to_string());
        let failure = lab.run_stages(&program()).failure();
        assert!(failure.contains(expect), "{tricks}: {failure}");
    };
    check(json!({ "end": 3 }), "trainer.py ended well, but told of 3 steps of 6");
    check(json!({ "loss": "nan" }), "`loss` is no finite number");
    check(json!({ "leave": "nowhere" }), "there is no adapter_config.json");
    check(json!({ "leave": "seen/start" }), "trainer.py left the adapter as it was given to it");
    let config = fs::read_to_string(lab.path("made/adapter_config.json")).unwrap();
    let weights = lab.path("made/adapter_model.safetensors");
    let leaves = |config: &str, bytes: &[u8], expect: &str| {
        lab.write("wrong/adapter_config.json", config);
        fs::write(lab.path("wrong/adapter_model.safetensors"), bytes).unwrap();
        check(json!({ "leave": "wrong" }), expect);
    };
    let bytes = fs::read(&weights).unwrap();
    leaves(&config.replace("\"r\": 8", "\"r\": 4"), &bytes, "base model and rank ask for");
    leaves(&config.replace("\"lora_alpha\": 16", "\"lora_alpha\": 8"), &bytes, "(alpha over rank) is 1, not 2");
    leaves(&config.replace("\"all-linear\"", "[\"q_proj\"]"), &bytes, "belongs to no module");
    let mut broken = bytes.clone();
    let end = broken.len();
    broken[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    leaves(&config, &broken, "has numbers that are not finite");

    // Half of one.
    leaves(&config, &bytes[..bytes.len() / 2], "is not the adapter that was asked for");
    leaves(&config[..config.len() / 2], &bytes, "is not the adapter that was asked for");
    let at = bytes.windows(6).position(|name| name == b"lora_B").unwrap();
    let renamed = [&bytes[..at], b"lora_X", &bytes[at + 6..]].concat();
    leaves(&config, &renamed, "is missing, though `target_modules` names its module");

    lab.write("tricks.json", "{}");
    let pinned = external("{ program: [python3, trainer.py, made], versions: { torch: 2.8.0 } }");
    let failure = lab.run_stages(&pinned).failure();
    assert!(failure.contains("torch 2.8.0 is pinned, and trainer.py has 2.9.1+cpu"), "{failure}");
    let missing = lab.run_stages(&external("{ program: [python3, builtin:trainer.py] }")).failure();
    assert!(missing.contains("there is no built-in file `trainer.py`"), "{missing}");
    let problem = lab.problems(&external("{ program: [] }"));
    assert!(problem.contains("program"), "{problem}");
    let full = lab.problems(&external("{ program: [python3, t.py] }, method: full"));
    assert!(full.contains("trains adapters, and the whole model is to be trained"), "{full}");
}

#[test]
fn a_program_that_ends_early_has_said_why() {
    let lab = questions();
    let stopping = |engine: &str| {
        with(&TRAIN.replace("{ epochs: 30 }", "{ steps: 40 }").replacen(
            "{ ",
            &format!("{{ {engine}eval_fraction: 0.2, eval_steps: 2, early_stopping: {{ patience: 2 }}, keep: best, "),
            1,
        ))
    };
    assert_eq!(lab.run_stages(&stopping("")).failures(), [""; 0]);
    let (made, best) = ((lab.digest("train.adapter"), lab.digest("train.log")), lab.counter("train", "best_step"));
    assert!(lab.rows("train.log").len() < 40, "it stops early");
    keep(&lab, "made");
    lab.write("trainer.py", SCRIPT);
    assert_eq!(lab.run_stages(&stopping("engine: { program: [python3, trainer.py, made] }, ")).failures(), [""; 0]);
    assert_eq!((lab.digest("train.adapter"), lab.digest("train.log")), made);
    assert_eq!(lab.counter("train", "best_step"), best);
}

/// transformers and PEFT on the CPU, in the versions that the trainer pins; PIPE_TEST_PEFT is the Python that has them,
/// and bitsandbytes, which an engine may pin although an arm in f32 does not need it.
#[test]
#[ignore = "runs PIPE_TEST_PEFT"]
fn peft_trains_as_the_built_in_trainer_does() {
    let python = std::env::var("PIPE_TEST_PEFT").expect("PIPE_TEST_PEFT names a Python with torch and PEFT");
    let trained = "{ model: base, lora: { r: 8, alpha: 16 }, learning_rate: 0.005, budget: { steps: 50 }, \
                   micro_batch_size: 4, gradient_accumulation_steps: 2, eval_fraction: 0.2, eval_steps: 20, \
                   checkpoint_steps: 10, weight_decay: 0.01, lr_scheduler: cosine, max_grad_norm: 0.5, seed: 3 }";
    let engine = format!(
        "{{ engine: {{ program: ['{python}', 'builtin:peft_trainer.py', --device, cpu], versions: \
         {{ bitsandbytes: 0.50.2 }} }}, "
    );
    let peft = with(&trained.replacen("{ ", &engine, 1));
    let lab = questions();
    assert_eq!(lab.run_stages(&with(trained)).failures(), [""; 0]);
    let (ours, scores) = (lab.table("train.log"), lab.rows("after.scores"));

    assert_eq!(lab.run_stages(&peft).failures(), [""; 0]);
    let (theirs, adapter) = (lab.table("train.log"), lab.digest("train.adapter"));
    for column in ["loss", "grad_norm"] {
        for (step, (a, b)) in numbers(&ours, column).into_iter().zip(numbers(&theirs, column)).enumerate() {
            assert!((a - b).abs() < 1e-3 * a, "{column} of step {}: {a}, with PEFT {b}", step + 1);
        }
    }
    for column in ["learning_rate", "tokens", "target_tokens", "epoch"] {
        assert_eq!(numbers(&ours, column), numbers(&theirs, column), "{column}");
    }
    let evals = |table: &RecordBatch| {
        let there = is_not_null(table.column_by_name("eval_loss").unwrap()).unwrap();
        numbers(&filter_record_batch(table, &there).unwrap(), "eval_loss")
    };
    let (ours, theirs) = (evals(&ours), evals(&theirs));
    assert_eq!(ours.len(), 3);
    assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-3 * a), "{ours:?} {theirs:?}");
    let f1 = |scores: &[Value]| scores[0]["token_f1"].as_f64().unwrap();
    assert!((f1(&lab.rows("after.scores")) - f1(&scores)).abs() < 0.1, "and answers as well");

    let stopped = questions();
    let reached = |e: &EventKind| matches!(e, EventKind::Progress { done, unit, .. } if unit == "steps" && *done >= 25);
    assert_eq!(stopped.run_until(&peft, reached).summary.outcome, RunEnd::Cancelled);
    let resumed = stopped.run_stages(&peft);
    assert_eq!(resumed.failures(), [""; 0]);
    assert!(
        notes(&resumed).iter().any(|line| line.starts_with("went on from the checkpoint")),
        "{:?}",
        notes(&resumed)
    );
    assert_eq!(stopped.digest("train.adapter"), adapter, "the same bytes, wherever it was stopped");
}

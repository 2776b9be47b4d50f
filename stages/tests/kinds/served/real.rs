//! llama.cpp's own server.

use std::{fs, os::unix::fs::PermissionsExt};

use super::answers;
use crate::{
    tools,
    train_evaluate::{TRAIN, questions, with},
};

/// `llama-server`'s command line on the server of Python's package `xllamacpp`.
const SERVER: &str = include_str!("llama_server.py");

/// The same base and adapter, asked greedily here and there. The server is started with keys and values in f32.
#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn llama_cpp_answers_with_an_adapter_as_the_built_in_path_does() {
    let mut lab = questions();
    // The base is asked of the server that has the adapter, too.
    lab.options.jobs = 1;
    let python = tools::python().get_program().to_string_lossy().into_owned();
    lab.write("llama-server", &format!("#!{python}\n{SERVER}"));
    fs::set_permissions(lab.path("llama-server"), fs::Permissions::from_mode(0o755)).unwrap();
    let there = |name: &str, adapter: &str| {
        format!(
            "  {name}: {{ kind: evaluate, inputs: {{ items: exam, model: gguf{adapter} }}, params: {{ model: {{ serve: \
             llama_cpp, program: ./llama-server, args: [--ctx-size, 128], concurrency: 1 }}, template: plain, \
             max_new_tokens: 8 }} }}\n"
        )
    };
    let gguf = "  gguf: { kind: export, params: { model: base, format: gguf, dtype: float32 } }\n";
    let stages = with(TRAIN) + gguf + &there("after_there", ", adapter: train") + &there("before_there", "");
    let ran = lab.run_stages(&stages);
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!(answers(&lab, "after_there"), answers(&lab, "after"));
    assert_eq!(answers(&lab, "before_there"), answers(&lab, "before"));
    assert_ne!(answers(&lab, "before"), answers(&lab, "after"), "the adapter changes the answers");
}

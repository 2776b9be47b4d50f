//! The files that decide what a model computes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::OriginError;

/// Files besides the weights that decide what a model computes. Readmes, licences and pictures do not.
const MATTERS: &[&str] = &[
    "adapter_config.json",
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
];
/// How an embedding model of sentence-transformers pools.
pub(crate) const POOLING: &str = "1_Pooling/config.json";
/// What an embedding model of sentence-transformers wants in front of texts. It matters where it names something.
pub(crate) const PROMPTS: &str = "config_sentence_transformers.json";
/// The modules of an embedding model of sentence-transformers, in their order.
pub(crate) const MODULES: &str = "modules.json";

/// Whether a folder is one of a module of sentence-transformers, such as `2_Dense`.
pub(crate) fn is_module_folder(name: &str) -> bool {
    name.split_once('_').is_some_and(|(number, kind)| {
        !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
            && !kind.is_empty()
            && !kind.contains(['/', '.'])
    })
}

/// The configuration, tokenizer and `*.safetensors` files of a model's directory, sorted by name. Their names and
/// contents are what the model is, whatever the directory is called.
///
/// # Errors
/// The directory cannot be read.
pub fn files_of(dir: &Path) -> Result<Vec<PathBuf>, OriginError> {
    let read = |source| OriginError::Read { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let matters =
            MATTERS.contains(&name) || name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
        if matters && path.is_file() {
            files.push(path);
        }
    }
    files.extend(Some(dir.join(POOLING)).filter(|path| path.is_file()));
    files.extend(Some(dir.join(PROMPTS)).filter(|path| names_prompts(path)));
    files.extend(further_modules(dir).into_iter().filter(|path| path.is_file()));
    files.sort();
    Ok(files)
}

/// Whether a file names prompts that are not empty.
fn names_prompts(path: &Path) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    // What cannot be read is told of when the model is opened.
    let Ok(said) = serde_json::from_str::<Value>(&text) else { return true };
    said["prompts"].as_object().is_some_and(|prompts| prompts.values().any(|prompt| prompt != ""))
}

/// The files of an embedding model's modules other than the usual ones (pooling in its usual place, which is looked at
/// by itself, and lengths of 1), and then the list of modules. Most models have none.
fn further_modules(dir: &Path) -> Vec<PathBuf> {
    let list = dir.join(MODULES);
    let paths: Vec<String> = match fs::read_to_string(&list).map(|text| serde_json::from_str::<Vec<Value>>(&text)) {
        Ok(Ok(modules)) => {
            let usual = |module: &Value| {
                let kind = module["type"].as_str().unwrap_or_default();
                match kind.rsplit('.').next() {
                    Some("Transformer") => module["path"] == "",
                    Some("Pooling") => module["path"] == "1_Pooling",
                    Some("Normalize") => true,
                    _ => false,
                }
            };
            if modules.iter().all(usual) {
                return Vec::new();
            }
            modules.iter().filter_map(|module| Some(module["path"].as_str()?.to_owned())).collect()
        }
        // A list that cannot be read is told of when the model is opened.
        Ok(Err(_)) => return vec![list],
        Err(_) => fs::read_dir(dir)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| *name != "1_Pooling")
            .collect(),
    };
    let folders = paths.into_iter().filter(|name| is_module_folder(name) && name != "1_Pooling");
    let files = folders.flat_map(|name| ["config.json", "model.safetensors"].map(|file| dir.join(&name).join(file)));
    files.chain([list]).collect()
}

/// The name of one of these files: its path in the directory, with `/`.
pub fn name_in(dir: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(dir).unwrap_or(file);
    inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

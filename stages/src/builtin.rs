//! The files that this program carries: the method, the studies, and the embedded model. `pipe show-builtin` prints
//! them; pipelines include them and name the model as `builtin:NAME`.

use pipe_engine::{
    diag::one_of,
    spec::{BUILTIN, Builtin, Builtins, Content, NotBuiltin},
};
use pipe_lm::origin::Carried;

/// A file of `pipelines/`, by its name there, at a revision.
macro_rules! file {
    ($name:literal, $revision:literal, $about:literal) => {
        Builtin {
            name: $name,
            revision: $revision,
            about: $about,
            content: Content::File(include_bytes!(concat!("../../pipelines/", $name))),
        }
    };
}

/// The files of a folder of `pipelines/`, at a revision.
macro_rules! folder {
    ($name:literal, $revision:literal, $about:literal, [$($file:literal),*]) => {
        Builtin {
            name: $name,
            revision: $revision,
            about: $about,
            content: Content::Folder(&[
                $(($file, include_bytes!(concat!("../../pipelines/", $name, "/", $file)))),*
            ]),
        }
    };
}

/// All of them, each with its revision. A test holds their contents: where it fails, raise the revision if what the
/// file means has changed.
pub static BUILTINS: Builtins = Builtins(&[
    file!("method.yaml", 1, "self-specialization: the stages that all studies share; to be included"),
    file!("embedded.yaml", 1, "the method on the embedded model and its invented world; to be included"),
    file!("quickstart.yaml", 1, "the whole method in a minute: 250 and 1,000 rows"),
    file!("data_size.yaml", 1, "does more synthetic data make a better specialist? 1K, 5K, 10K, 20K"),
    file!("data_size_draws.yaml", 1, "the same in three draws of guide, seeds and training"),
    file!("seed_count.yaml", 1, "how many seeds does it take? 20, 40, 80, 160"),
    file!("seed_quality.yaml", 1, "how good must they be? expert, noisy, shuffled, off-domain"),
    file!("retrieval.yaml", 1, "what do passages contribute? none, BM25, dense, hybrid"),
    file!("compute_matched.yaml", 1, "is it the data, or the number of updates?"),
    file!("iterations.yaml", 1, "is a second round of answers better?"),
    file!("baselines.yaml", 1, "what else could be done with the same seeds and documents?"),
    file!("tuning.yaml", 1, "learning rate and epochs, on the development exam"),
    file!("medquad.yaml", 1, "the method on real texts with a model of your own"),
    file!("base_model.yaml", 1, "how the embedded model was made"),
    file!("scripts/box_seeds.py", 1, "makes seeds for medquad.yaml"),
    folder!(
        "models/nano",
        1,
        "the embedded model: 2.2M parameters",
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    ),
]);

/// The built-in model of a name, with or without `builtin:` and its folder.
///
/// # Errors
/// There is none, or it is of another revision.
pub fn model(name: &str) -> Result<Carried, NotBuiltin> {
    let found = BUILTINS.find(name).map_err(|error| {
        let asked = name.strip_prefix(BUILTIN).unwrap_or(name);
        // Another revision of a model is told as it is.
        if asked.contains('@') { error } else { NotBuiltin { help: one_of(asked, "there is", ["nano"]), ..error } }
    })?;
    match found.content {
        Content::Folder(files) => Ok(Carried { name: found.name, files }),
        Content::File(_) => Err(NotBuiltin {
            message: format!("the built-in file `{}` is no model", found.name),
            help: Some(format!("the built-in model is `{BUILTIN}nano`")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use pipe_cache::{Digest, Hasher};

    use super::*;

    /// What each revision holds. A file whose digest differs from that of its revision has changed.
    const REVISIONS: &[(&str, u32, &str)] = &[
        ("method.yaml", 1, "c0d4a742f150"),
        ("embedded.yaml", 1, "e15cbbc8b882"),
        ("quickstart.yaml", 1, "65eab75cd01e"),
        ("data_size.yaml", 1, "d6e058d3decd"),
        ("data_size_draws.yaml", 1, "00e0410714c1"),
        ("seed_count.yaml", 1, "8102c1724da5"),
        ("seed_quality.yaml", 1, "e914b8238668"),
        ("retrieval.yaml", 1, "4a9b6f2b8370"),
        ("compute_matched.yaml", 1, "ff0df1fc71bc"),
        ("iterations.yaml", 1, "58c7d23c8a92"),
        ("baselines.yaml", 1, "d1b7d1b047cb"),
        ("tuning.yaml", 1, "3393dfab542d"),
        ("medquad.yaml", 1, "a1cfa3670c3e"),
        ("base_model.yaml", 1, "e1764f2328ff"),
        ("scripts/box_seeds.py", 1, "fd67304849d2"),
        ("models/nano", 1, "03118cd47a1f"),
    ];

    fn digest(content: Content) -> Digest {
        match content {
            Content::File(bytes) => Digest::of_bytes(bytes),
            Content::Folder(files) => {
                let mut hasher = Hasher::new("folder");
                for (name, bytes) in files {
                    hasher.str(name).bytes(bytes);
                }
                hasher.finish()
            }
        }
    }

    #[test]
    fn what_a_revision_holds_does_not_change() {
        let mut wrong = String::new();
        for builtin in BUILTINS.0 {
            let now = digest(builtin.content).short();
            let (name, revision) = (builtin.name, builtin.revision);
            if !REVISIONS.contains(&(name, revision, &now)) {
                writeln!(wrong, "        (\"{name}\", {revision}, \"{now}\"),").unwrap();
            }
        }
        assert!(
            wrong.is_empty(),
            "if what these mean has changed, raise their revisions in BUILTINS; then write down here\n{wrong}"
        );
        assert_eq!(REVISIONS.len(), BUILTINS.0.len(), "one line for every built-in, of its current revision");
    }

    #[test]
    fn all_pipelines_of_the_folder_are_carried() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                assert_eq!(BUILTINS.find(name).map(|found| found.name), Ok(name));
            }
        }
    }

    #[test]
    fn the_model_is_found_by_its_short_name() {
        assert_eq!(model("builtin:nano").unwrap().name, "models/nano");
        assert_eq!(model("builtin:/models/nano@1").unwrap().files.len(), 4);
        let told = |name: &str| model(name).map_err(|e| format!("{} ({})", e.message, e.help.unwrap())).unwrap_err();
        assert_eq!(told("builtin:nani"), "there is no built-in file `nani` (did you mean `nano`?)");
        assert_eq!(
            told("builtin:method.yaml"),
            "the built-in file `method.yaml` is no model (the built-in model is `builtin:nano`)"
        );
        assert!(told("builtin:nano@9").starts_with("this program carries `models/nano@1`, not `models/nano@9`"));
    }
}

//! The files that this program carries: the method, the studies, and the embedded model. `pipe show-builtin` prints
//! them; pipelines include them and name the model as `builtin:NAME`.

use pipe_engine::{
    diag::one_of,
    kind::StageError,
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

/// All of them, each with its revision. A test holds their contents, and the revisions of what they include: where it
/// fails, raise the revision if what the file means has changed.
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
    file!("real_model.yaml", 1, "the method on a real small model, beside what else could be done"),
    file!("base_model.yaml", 1, "how the embedded model was made"),
    file!("scripts/box_seeds.py", 1, "makes seeds for medquad.yaml"),
    file!("trainers/peft_trainer.py", 1, "trains adapters with transformers and PEFT, for `engine` of `train`"),
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

/// The built-in file of a name, with or without `builtin:` and its folder: its whole name, and its bytes.
///
/// # Errors
/// There is none, it is of another revision, or it is a folder.
pub fn file(name: &str) -> Result<(&'static str, &'static [u8]), NotBuiltin> {
    let found = BUILTINS.find(name)?;
    match found.content {
        Content::File(bytes) => Ok((found.name, bytes)),
        Content::Folder(_) => {
            Err(NotBuiltin { message: format!("the built-in `{}` is a folder", found.name), help: None })
        }
    }
}

/// As stages fail.
pub(crate) fn told(error: NotBuiltin) -> StageError {
    match error.help {
        Some(help) => StageError::user_help(error.message, help),
        None => StageError::user(error.message),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use pipe_cache::{Digest, Hasher};

    use super::*;

    /// What each revision holds. A file whose digest differs from that of its revision has changed, or what it includes
    /// is of another revision.
    const REVISIONS: &[(&str, u32, &str)] = &[
        ("method.yaml", 1, "386c1fc05734"),
        ("embedded.yaml", 1, "a36feb6e72bd"),
        ("quickstart.yaml", 1, "b563cc04f586"),
        ("data_size.yaml", 1, "7dc0a258dd80"),
        ("data_size_draws.yaml", 1, "a99cc459e804"),
        ("seed_count.yaml", 1, "918ad4280fa0"),
        ("seed_quality.yaml", 1, "f739341d17e4"),
        ("retrieval.yaml", 1, "74f74c34d7fe"),
        ("compute_matched.yaml", 1, "1293fb6def50"),
        ("iterations.yaml", 1, "a08623484e49"),
        ("baselines.yaml", 1, "0c79e527526c"),
        ("tuning.yaml", 1, "646599e102fc"),
        ("medquad.yaml", 1, "0e247e3518ea"),
        ("real_model.yaml", 1, "e15e14604eea"),
        ("base_model.yaml", 1, "3bbc9ae63eff"),
        ("scripts/box_seeds.py", 1, "140603e40269"),
        ("trainers/peft_trainer.py", 1, "adfba94abbff"),
        ("models/nano", 1, "b7830538386d"),
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

    /// The built-ins that a file includes or names outside of comments, at their revisions.
    fn needs(all: &[Builtin], of: &Builtin) -> Vec<String> {
        let Content::File(bytes) = of.content else { return Vec::new() };
        let text = String::from_utf8_lossy(bytes);
        let code = text.lines().map(|line| {
            let code = line.split_once(" #").map_or(line, |(code, _)| code);
            if code.trim_start().starts_with('#') { "" } else { code }
        });
        let words: Vec<&str> =
            code.flat_map(|line| line.split(|c: char| c.is_whitespace() || "[]{},'\"".contains(c))).collect();
        let named = |word: &&str, name: &str| match word.strip_prefix(BUILTIN) {
            Some(word) => name == word || name.ends_with(&format!("/{word}")),
            None => name == *word,
        };
        let needed = all.iter().filter(|other| other.name != of.name && words.iter().any(|w| named(w, other.name)));
        needed.map(|other| format!("{}@{}", other.name, other.revision)).collect()
    }

    /// Of its own content, and of the revisions of what it needs.
    fn closure(all: &[Builtin], of: &Builtin) -> Digest {
        let mut hasher = Hasher::new("closure");
        hasher.digest(&digest(of.content));
        for needed in needs(all, of) {
            hasher.str(&needed);
        }
        hasher.finish()
    }

    #[test]
    fn a_revision_holds_what_is_included_and_named() {
        let file = |name, text: &'static str| Builtin {
            name,
            revision: 1,
            about: "",
            content: Content::File(text.as_bytes()),
        };
        let all = [
            file("method.yaml", "# study.yaml\nvars:\n  model: models/nano        # or other.yaml\n"),
            file("study.yaml", "include: method.yaml\n"),
            file("short.yaml", "vars: { model: builtin:nano, x: \"builtin:other.yaml\" }\n"),
            file("other.yaml", "pipeline: method.yaml.old\n"),
            Builtin { name: "models/nano", revision: 1, about: "", content: Content::Folder(&[("a", b"1")]) },
        ];
        let needed = |name: &str| needs(&all, all.iter().find(|b| b.name == name).unwrap());
        assert_eq!(needed("method.yaml"), ["models/nano@1"]);
        assert_eq!(needed("study.yaml"), ["method.yaml@1"]);
        assert_eq!(needed("short.yaml"), ["other.yaml@1", "models/nano@1"]);
        assert_eq!(needed("other.yaml"), [""; 0]);
        assert_eq!(needed("models/nano"), [""; 0]);
        for (raised, moved) in [(0, vec![1]), (1, vec![]), (3, vec![2]), (4, vec![0, 2])] {
            let mut later = all;
            later[raised].revision = 2;
            let differs = |i: &usize| closure(&all, &all[*i]) != closure(&later, &later[*i]);
            assert_eq!((0..all.len()).filter(differs).collect::<Vec<_>>(), moved, "{}", all[raised].name);
        }
        // In earnest: whoever changes the method has to raise all studies, one after the other.
        for (name, expect) in [
            ("quickstart.yaml", "embedded.yaml@1"),
            ("embedded.yaml", "method.yaml@1"),
            ("medquad.yaml", "method.yaml@1"),
        ] {
            let first = needs(BUILTINS.0, BUILTINS.find(name).unwrap()).into_iter().next();
            assert_eq!(first.as_deref(), Some(expect), "{name}");
        }
    }

    #[test]
    fn what_a_revision_holds_does_not_change() {
        let mut wrong = String::new();
        for builtin in BUILTINS.0 {
            let now = closure(BUILTINS.0, builtin).short();
            let (name, revision) = (builtin.name, builtin.revision);
            if !REVISIONS.contains(&(name, revision, &now)) {
                writeln!(wrong, "        (\"{name}\", {revision}, \"{now}\"),").unwrap();
            }
        }
        assert!(
            wrong.is_empty(),
            "if what these mean has changed, raise their revisions in BUILTINS, and those of what includes them; then \
             write down here\n{wrong}"
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

//! `pipe init --domain NAME`, `pipe init --like STUDY`: a project of one's own, with example rows in the right shape.

use std::path::Path;

use pipe_engine::{diag::one_of, spec::Content};
use pipe_stages::builtin::BUILTINS;

use crate::error::CliError;

/// What a study is in small: sizes that suit the example rows.
struct Shape {
    study: &'static str,
    about: &'static str,
    n_seeds: u32,
    n_synthetic: u32,
    budget: &'static str,
    /// Further variables, a line each.
    vars: &'static str,
    factors: &'static str,
}

const DRAWS: &str = "# Each draw has a seed subset, instructions, an initial adapter and an order of training of its \
                     own.\nreplicate: { seed: [17, 18, 19] }\n";

const SHAPES: [Shape; 10] = [
    Shape {
        study: "quickstart",
        about: "Self-specialization on {domain}, with few and with more synthetic rows.",
        n_seeds: 16,
        n_synthetic: 16,
        budget: "{ epochs: 3 }",
        vars: "",
        factors: "ablate: { n_synthetic: [48] } # <- change\n",
    },
    Shape {
        study: "data_size",
        about: "Does more synthetic data make a better specialist on {domain}?",
        n_seeds: 16,
        n_synthetic: 8,
        budget: "{ epochs: 3 }",
        vars: "",
        factors: "ablate: { n_synthetic: [16, 32, 64] } # <- change\n",
    },
    Shape {
        study: "data_size_draws",
        about: "Does more synthetic data make a better specialist on {domain}? In three draws.",
        n_seeds: 16,
        n_synthetic: 8,
        budget: "{ epochs: 3 }",
        vars: "",
        factors: "ablate: { n_synthetic: [16, 32] } # <- change\n{draws}",
    },
    Shape {
        study: "seed_count",
        about: "How many seed instructions does it take on {domain}?",
        n_seeds: 4,
        n_synthetic: 16,
        budget: "{ epochs: 3 }",
        vars: "",
        factors: "ablate: { n_seeds: [8, 16] } # <- change\n{draws}",
    },
    Shape {
        study: "seed_quality",
        about: "How good must the seeds on {domain} be?",
        n_seeds: 8,
        n_synthetic: 16,
        budget: "{ epochs: 3 }",
        vars: "  # Seeds of another domain, for the arms that are called so.\n  off_domain: off_domain\n",
        factors: "ablate:\n  seeds_are:\n    noisy_half: { quality: noisy, fraction: 0.5 }\n    noisy_all: { quality: \
                  noisy, fraction: 1.0 }\n    shuffled_half: { quality: shuffled, fraction: 0.5 }\n    shuffled_all: { \
                  quality: shuffled, fraction: 1.0 }\n    off_domain_half: { quality: off_domain, fraction: 0.5 }\n    \
                  off_domain_all: { quality: off_domain, fraction: 1.0 }\n{draws}",
    },
    Shape {
        study: "retrieval",
        about: "What does retrieval contribute on {domain}? None, BM25, dense, hybrid.",
        n_seeds: 16,
        n_synthetic: 16,
        budget: "{ epochs: 3 }",
        vars: "",
        factors: "ablate: { retrieval: [none, dense, hybrid] }\n{draws}",
    },
    Shape {
        study: "compute_matched",
        about: "Is it the data on {domain}, or the number of updates?",
        n_seeds: 16,
        n_synthetic: 8,
        budget: "{ steps: 3 }",
        vars: "",
        factors: "matrix:\n  n_synthetic: [8, 32] # <- change\n  length:\n    short: { budget: { steps: 3 } } # <- \
                  change\n    long: { budget: { steps: 12 } } # <- change\n{draws}",
    },
    Shape {
        study: "iterations",
        about: "Iterative self-specialization on {domain}, a second round of answers.",
        n_seeds: 16,
        n_synthetic: 16,
        budget: "{ epochs: 3 }",
        vars: "",
        factors: "{draws}",
    },
    Shape {
        study: "baselines",
        about: "Self-specialization on {domain} beside few-shot prompts, open books, and training on the seeds alone.",
        n_seeds: 16,
        n_synthetic: 16,
        budget: "{ epochs: 3 }",
        vars: "  # Seeds in the prompt of `base_few_shot`, and how long is trained on the seeds alone.\n  num_fewshot: \
               1\n  seed_epochs: 3\n",
        factors: "{draws}",
    },
    Shape {
        study: "tuning",
        about: "Learning rate and epochs on {domain}; choose them on another exam than you report.",
        n_seeds: 16,
        n_synthetic: 16,
        budget: "{ epochs: 3 }",
        vars: "",
        factors: "matrix:\n  budget: [{ epochs: 1 }, { epochs: 3 }] # <- change\n  learning_rate: [1e-3, 4e-3] # <- \
                  change\n",
    },
];

/// A file of the example, with `{domain}` for what the domain is called.
macro_rules! example {
    ($name:literal) => {
        (concat!("data/", $name), include_str!(concat!("domain/", $name)))
    };
}

const EXAMPLE: [(&str, &str); 10] = [
    example!("seeds.jsonl"),
    example!("exam.jsonl"),
    example!("documents/corrections.txt"),
    example!("documents/dates.txt"),
    example!("documents/glossary.txt"),
    example!("documents/questions.txt"),
    example!("documents/review.txt"),
    example!("documents/sources.txt"),
    example!("documents/summary.txt"),
    example!("documents/units.txt"),
];

const PIPELINE: &str = include_str!("domain/pipeline.yaml");
const OFF_DOMAIN: &str = include_str!("starter/data/weather.jsonl");

/// The files of a project for a domain, in the shape of a study.
pub(super) fn files(domain: Option<&str>, like: Option<&str>) -> Result<Vec<(&'static str, String)>, CliError> {
    let study = like.map_or("quickstart", |name| name.strip_suffix(".yaml").unwrap_or(name));
    let Some(shape) = SHAPES.iter().find(|shape| shape.study == study) else {
        return Err(CliError::NotFound {
            message: format!("there is no study `{study}` that a project could be like"),
            help: one_of(study, "there are", SHAPES.iter().map(|shape| shape.study)),
        });
    };
    let domain = domain.map(str::trim).filter(|domain| !domain.is_empty());
    let named = match (domain, like) {
        (Some(domain), _) => folder_name(domain),
        (None, _) => study.to_owned(),
    };
    let domain = domain.unwrap_or("your field");
    // Texts of others are JSON strings, which YAML reads as they are.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    // Within a text of JSON: without the marks around it, which are one each.
    let inside = |text: &str| {
        let text = quoted(text);
        text[1..text.len() - 1].to_owned()
    };
    let about = shape.about.replace("{domain}", domain);
    let one_line = about.replace(['\n', '\r'], " ");
    let stages = stages_of(study);
    let pipeline = PIPELINE
        .replace("{n_seeds}", &shape.n_seeds.to_string())
        .replace("{n_synthetic}", &shape.n_synthetic.to_string())
        .replace("{budget}", shape.budget)
        .replace("{vars}\n", shape.vars)
        .replace("{factors}", &shape.factors.replace("{draws}", DRAWS))
        .replace("{stages}\n", &stages)
        // Last, because a domain may be called `{name}`.
        .replace("{about}", &one_line)
        .replace("{about_value}", &quoted(&one_line))
        .replace("{name}", &named)
        .replace("{domain_value}", &quoted(domain).replace("${", "$${"));
    let mut files = vec![("pipeline.yaml", pipeline), (".gitignore", include_str!("domain/gitignore").to_owned())];
    for (name, text) in EXAMPLE {
        let is_json = Path::new(name).extension().is_some_and(|extension| extension == "jsonl");
        let value = if is_json { inside(domain) } else { domain.to_owned() };
        files.push((name, text.replace("{domain}", &value)));
    }
    if shape.vars.contains("off_domain") {
        files.push(("data/off_domain.jsonl", OFF_DOMAIN.to_owned()));
    }
    Ok(files)
}

/// The stages that a study has besides the method's, as its file has them.
fn stages_of(study: &str) -> String {
    let mut text = String::new();
    if study == "seed_quality" {
        text.push_str("\n  # Seeds of another domain, with the same columns.\n  off_domain:\n    kind: table\n");
        text.push_str("    params: { path: data/off_domain.jsonl } # <- change\n");
    }
    let file = BUILTINS.find(&format!("{study}.yaml")).map(|found| found.content);
    let Ok(Content::File(bytes)) = file else { return text };
    let whole = String::from_utf8_lossy(bytes);
    if let Some((_, stages)) = whole.split_once("\nstages:\n") {
        text.push('\n');
        text.push_str(stages);
    }
    text
}

/// A name as pipelines have them.
fn folder_name(domain: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = domain.chars().map(plain).take(60).collect();
    let name = name.trim_matches('_');
    if name.is_empty() { "domain".to_owned() } else { name.to_owned() }
}

//! `pipe export-samples`: exams as lm-evaluation-harness keeps them, for what reads its files.

mod files;

use pipe_cache::{Digest, Manifest, Store};
use pipe_engine::{diag::one_of, keys::ResultRecord};

use self::files::Exam;
use super::{files::write, target};
use crate::{
    cli,
    error::CliError,
    exit::Exit,
    output::{self, plural},
    project::{self, from_here},
};

/// The kind whose results are exams.
const KIND: &str = "evaluate";

pub(crate) fn export(global: &cli::Global, args: &cli::ExportSamples) -> Result<Exit, CliError> {
    let store = project::existing_store(global, project::READ_ONLY)?;
    let exams = exams(&store, args)?;
    for (name, key, manifest, record) in exams {
        let exam = Exam::read(&store, &name, &manifest, &record)?;
        let folder = args.to.join(exam.folder());
        for (file, text) in exam.files(&key) {
            write(&folder.join(file), text.as_bytes())?;
        }
        if !global.quiet {
            output::say(format_args!("{}: {}", from_here(&folder), plural(exam.samples() as u64, "sample")));
        }
    }
    Ok(Exit::Success)
}

/// An exam: what it is called (`pipeline/stage@variant`), its key, and what is known of it.
type Found = (String, Digest, Manifest, ResultRecord);

/// The exams that are meant, one for every variant.
fn exams(store: &Store, args: &cli::ExportSamples) -> Result<Vec<Found>, CliError> {
    let mut all: Vec<(String, String, Found)> = Vec::new();
    for pipeline in target::pipelines(store, args.pipeline.as_deref())? {
        for (variant, stages) in store.refs(&pipeline)? {
            for (stage, key) in stages {
                let Some(manifest) = store.manifest(&key)? else { continue };
                let record = serde_json::from_value::<ResultRecord>(manifest.provenance.record.clone());
                let Some(record) = record.ok().filter(|record| record.key.kind == KIND) else { continue };
                let name = format!("{pipeline}/{stage}@{variant}");
                all.push((stage, variant.clone(), (name, key, manifest, record)));
            }
        }
    }
    for wanted in &args.exams {
        if !all.iter().any(|(stage, variant, _)| is_meant(wanted, stage, variant)) {
            let known: Vec<String> = all.iter().map(|(stage, ..)| stage.clone()).collect();
            let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
            known.dedup();
            let help = one_of(wanted, "exams are", known);
            return Err(CliError::NotFound { message: format!("there is no result `{wanted}` of an exam"), help });
        }
    }
    all.retain(|(stage, variant, _)| {
        args.exams.is_empty() || args.exams.iter().any(|wanted| is_meant(wanted, stage, variant))
    });
    if all.is_empty() {
        return Err(CliError::NotFound {
            message: "there is no exam in the store".to_owned(),
            help: Some("run a pipeline with a stage of the kind `evaluate` first".to_owned()),
        });
    }
    Ok(all.into_iter().map(|(_, _, found)| found).collect())
}

/// Whether `stage`, or `stage@variant`, is this one.
fn is_meant(wanted: &str, stage: &str, variant: &str) -> bool {
    match wanted.split_once('@') {
        Some((of_stage, of_variant)) => of_stage == stage && of_variant == variant,
        None => wanted == stage,
    }
}

//! What a run leaves under which name: overrides, stages that were not looked at, variants and stages that left the
//! file.

use std::fs;

use pipe_cache::GcPolicy;
use pipe_engine::{
    events::{EventKind, Journal},
    inspect::plan,
    pipeline::{Pipeline, Selection},
    resolve::{Overrides, resolve},
    spec,
};
use pipe_testing::{Lab, Ran};

const STUDY: &str = "
pipeline: p
vars: { mark: '!', m: a }
ablate: { m: [b] }
stages:
  pool:  { kind: lines, params: { lines: [x, y] } }
  loud:  { kind: upper, inputs: { in: pool }, params: { mark: '${mark}${m}' } }
  score: { kind: dedup, inputs: { in: loud } }
";

fn with(lab: &Lab, yaml: &str, set: &[&str], name: Option<&str>) -> Pipeline {
    lab.write("pipeline.yaml", yaml);
    let overrides = Overrides {
        set: set.iter().map(|&s| s.to_owned()).collect(),
        name: name.map(str::to_owned),
        ..Overrides::default()
    };
    let resolved = resolve(&spec::load(&lab.path("pipeline.yaml")), &lab.registry, &overrides);
    resolved.map_err(|d| d.to_string()).unwrap().pipeline
}

fn variants(lab: &Lab) -> Vec<String> {
    lab.store.refs("p").unwrap().into_keys().collect()
}

fn stages(lab: &Lab, variant: &str) -> Vec<String> {
    lab.store.refs("p").unwrap().remove(variant).unwrap_or_default().into_keys().collect()
}

fn until(lab: &mut Lab, yaml: &str, stage: &str) -> Ran {
    lab.options.selection = Selection { until: vec![stage.to_owned()], ..Selection::default() };
    let ran = lab.run(yaml);
    lab.options.selection = Selection::default();
    ran
}

#[test]
fn a_run_with_overrides_has_results_of_its_own() {
    let mut lab = Lab::new();
    lab.options.results = Some(lab.path("results"));
    lab.run(STUDY);
    let before = lab.store.refs("p").unwrap();
    lab.run_pipeline(&with(&lab, STUDY, &["mark='?'"], None));
    assert_eq!(variants(&lab), ["baseline", "baseline+mark=-", "m=b", "m=b+mark=-"]);
    let after = lab.store.refs("p").unwrap();
    assert_eq!((&after["baseline"], &after["m=b"]), (&before["baseline"], &before["m=b"]));
    assert_ne!(after["baseline+mark=-"]["score"], after["baseline"]["score"]);
    assert_eq!(after["baseline+mark=-"]["pool"], after["baseline"]["pool"], "what is the same is computed once");
    for folder in ["baseline", "baseline+mark=-"] {
        assert!(lab.path("results/p").join(folder).join("score.parquet").exists(), "{folder}");
    }
    let unreachable = GcPolicy { unreachable: true, ..GcPolicy::default() };
    assert_eq!(lab.store.gc(&unreachable).unwrap().manifests, 0, "the results of both runs stand");

    lab.run_pipeline(&with(&lab, STUDY, &["mark='#'", "m=c"], Some("trial one")));
    assert!(variants(&lab).contains(&"baseline+trial-one".to_owned()), "{:?}", variants(&lab));
    lab.run_pipeline(&with(&lab, STUDY, &["mark='!'"], None));
    assert_eq!(lab.store.refs("p").unwrap()["baseline"], before["baseline"], "what the file says, said again");
    assert_eq!(variants(&lab).len(), 6);
}

#[test]
fn a_trial_without_later_stages_stands_beside_nobodys_scores() {
    let mut lab = Lab::new();
    lab.run(STUDY);
    lab.options.selection = Selection { until: vec!["loud".to_owned()], ..Selection::default() };
    lab.run_pipeline(&with(&lab, STUDY, &["mark='?'"], Some("t")));
    assert_eq!(stages(&lab, "baseline+t"), ["loud", "pool"]);
    assert_eq!(stages(&lab, "baseline"), ["loud", "pool", "score"]);
}

#[test]
fn the_journal_says_what_was_run() {
    let mut lab = Lab::new();
    lab.options.arguments = vec!["run".to_owned(), "pipeline.yaml".to_owned()];
    lab.run(STUDY);
    lab.run_pipeline(&with(&lab, STUDY, &["mark=https://user:secret@host/x"], None));
    lab.run(&(STUDY.to_owned() + "# another text\n"));
    let journal = Journal::new(&lab.store);
    let [edited, trial, plain]: [_; 3] = journal
        .runs()
        .unwrap()
        .iter()
        .map(|run| journal.info(run).unwrap().unwrap().origin)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(plain.arguments, ["run", "pipeline.yaml"]);
    assert!(plain.file.ends_with("pipeline.yaml") && plain.software.starts_with("pipe "));
    assert_eq!((plain.trial, plain.overrides.len()), (None, 0));
    assert_eq!(trial.overrides, ["mark=https://***@host/x"], "no password is written down");
    assert_eq!(trial.trial.as_deref(), Some("mark=https-------host-x"));
    assert_eq!(plain.file_digest, trial.file_digest, "the file is the same");
    assert_ne!(plain.file_digest, edited.file_digest);
}

#[test]
fn what_belongs_to_another_state_of_the_file_is_not_shown_as_one() {
    let mut lab = Lab::new();
    lab.options.results = Some(lab.path("results"));
    lab.run(STUDY);
    let link = lab.path("results/p/baseline/score.parquet");
    assert!(link.exists());
    let edited = STUDY.replace("'!'", "'?'");
    until(&mut lab, &edited, "loud");
    assert_eq!(stages(&lab, "baseline"), ["loud", "pool"], "the scores are of the instructions before");
    assert_eq!(lab.store.earlier_refs("p").unwrap()["baseline"].len(), 1, "and kept from gc");
    assert!(fs::symlink_metadata(&link).is_err());
    let pipeline = lab.pipeline(&edited);
    let why = pipe_engine::inspect::why(&pipeline, &lab.store, &lab.options.env, "score@baseline").unwrap();
    assert_eq!(why[0].changes, ["input `in`: 2 rows changed"], "compared with what it stood at last");
    // Put back, the old scores are what the file says again: also of a run that does not look at them.
    until(&mut lab, STUDY, "pool");
    assert_eq!(stages(&lab, "baseline"), ["pool"], "what `loud` stands at is another result");
    lab.run(STUDY);
    assert_eq!(stages(&lab, "baseline"), ["loud", "pool", "score"]);
    assert!(link.exists());
    until(&mut lab, STUDY, "pool");
    assert_eq!(stages(&lab, "baseline"), ["loud", "pool", "score"], "nothing changed");
    lab.options.selection = Selection { variants: vec!["m=b".to_owned()], ..Selection::default() };
    lab.run(STUDY);
    assert_eq!(stages(&lab, "baseline"), ["loud", "pool", "score"], "nor does it for a run of another variant");
}

#[test]
fn a_failed_stage_leaves_no_result_of_an_earlier_state() {
    let lab = Lab::new();
    let yaml = |file: &str| {
        format!(
            "
pipeline: p
stages:
  pool: {{ kind: file, params: {{ path: {file} }} }}
  loud: {{ kind: upper, inputs: {{ in: pool }} }}
"
        )
    };
    lab.write("a.txt", "x\n");
    lab.run(&yaml("a.txt"));
    assert_eq!(stages(&lab, "baseline"), ["loud", "pool"]);
    lab.run(&yaml("missing.txt"));
    assert_eq!(variants(&lab), [""; 0]);
    lab.run(&yaml("a.txt"));
    assert_eq!(stages(&lab, "baseline"), ["loud", "pool"]);
}

#[test]
fn what_left_the_file_is_forgotten() {
    let mut lab = Lab::new();
    lab.options.results = Some(lab.path("results"));
    lab.run(STUDY);
    lab.run_pipeline(&with(&lab, STUDY, &["mark='?'"], None));
    fs::write(lab.path("results/p/m=b/notes.txt"), "mine").unwrap();
    let unreachable = GcPolicy { unreachable: true, ..GcPolicy::default() };
    assert_eq!(lab.store.gc(&unreachable).unwrap().manifests, 0);

    lab.run(&STUDY.replace("[b]", "[c]"));
    assert_eq!(variants(&lab), ["baseline", "baseline+mark=-", "m=c"], "with the trials of what left");
    assert_eq!(fs::read_dir(lab.path("results/p/m=b")).unwrap().count(), 1, "only what is not ours");
    assert!(fs::read_dir(lab.path("results/p/m=b+mark=-")).is_err());
    assert_eq!(lab.store.gc(&unreachable).unwrap().manifests, 4);

    lab.run(&STUDY[..STUDY.find("  score").unwrap()].replace("[b]", "[c]"));
    assert_eq!(stages(&lab, "baseline"), ["loud", "pool"]);
    assert!(fs::symlink_metadata(lab.path("results/p/baseline/score.parquet")).is_err());
}

#[test]
fn beside_results_stands_where_they_come_from() {
    let mut lab = Lab::new();
    lab.options.results = Some(lab.path("results"));
    lab.options.software = "pipe 9 (abc)".to_owned();
    lab.run(STUDY);
    let text = fs::read(lab.path("results/p/m=b/provenance.json")).unwrap();
    let origins: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let loud = &origins["loud"];
    for (field, expect) in
        [("pipeline", "p"), ("variant", "m=b"), ("stage", "loud"), ("kind", "upper"), ("software", "pipe 9 (abc)")]
    {
        assert_eq!(loud[field], expect);
    }
    assert_eq!((loud["version"].as_u64(), loud["outputs"]["loud.parquet"]["rows"].as_u64()), (Some(1), Some(2)));
    let key = lab.key("m=b", "loud");
    assert_eq!(loud["key"], key.to_string());
    let record = lab.store.manifest(&key).unwrap().unwrap().provenance.record;
    assert_eq!(
        (&record["variant"], &record["stage"], &record["pipeline"]),
        (&"m=b".into(), &"loud".into(), &"p".into())
    );
    lab.options.software = "pipe 10".to_owned();
    lab.run(&STUDY.replace("[x, y]", "[y, x]").replace("dedup", "concat").replace("in: loud", "a: loud"));
    let again: serde_json::Value =
        serde_json::from_slice(&fs::read(lab.path("results/p/m=b/provenance.json")).unwrap()).unwrap();
    assert_eq!(again["score"]["software"], "pipe 10");
}

#[test]
fn estimates_go_by_kind_and_rows_whatever_the_pipeline() {
    let mut lab = Lab::new();
    let map = |name: &str, stage: &str, lines: &str| {
        format!(
            "
pipeline: {name}
stages:
  pool: {{ kind: lines, params: {{ lines: [{lines}] }} }}
  {stage}: {{ kind: map, inputs: {{ in: pool }}, params: {{ mark: '.' }} }}
"
        )
    };
    lab.run(&map("p", "each", "a, b"));
    let seconds = |plan: &pipe_engine::inspect::Plan| plan.nodes[1].estimate.unwrap();
    let small = plan(&lab.pipeline(&map("q", "other", "y, z")), &lab.store, &lab.options).unwrap();
    assert_eq!(small.unknown, 0, "another pipeline, another stage, the same kinds");
    // The pool is pending, so its rows are not known: whole times count. With it they do, those that the memo lacks.
    until(&mut lab, &map("q", "other", "y, z"), "pool");
    until(&mut lab, &map("r", "other", "c, d, e, f, g, h, i, j"), "pool");
    let ahead = |yaml: &str| plan(&lab.pipeline(yaml), &lab.store, &lab.options).unwrap();
    let (two, eight) = (ahead(&map("q", "other", "y, z")), ahead(&map("r", "other", "c, d, e, f, g, h, i, j")));
    assert!((seconds(&eight) / seconds(&two) - 4.0).abs() < 1e-6, "{} {}", seconds(&eight), seconds(&two));
}

#[test]
fn attempts_in_the_memo_are_not_taken_for_rows() {
    let lab = Lab::new();
    let stream = |count: u64| {
        format!("pipeline: p\nstages:\n  drawn: {{ kind: numbers, params: {{ count: {count}, without: '7' }} }}\n")
    };
    lab.run(&stream(4));
    let seconds = |count: u64| {
        let ahead = plan(&lab.pipeline(&stream(count)), &lab.store, &lab.options).unwrap().nodes.remove(0);
        let there = ahead.remembered.unwrap();
        assert!(there.rows >= 4 && there.of.is_none(), "{there:?}");
        ahead.estimate.unwrap()
    };
    // Of how many rows they are worth nothing is known: twice the rows are twice the work.
    let (five, ten) = (seconds(5), seconds(10));
    assert!((ten / five - 2.0).abs() < 1e-6, "{ten} {five}");
}

#[test]
fn rows_that_a_run_would_not_use_are_not_counted() {
    let mut lab = Lab::new();
    let yaml = |lines: &str, count: u64, file: &str| {
        format!(
            "
pipeline: p
stages:
  pool: {{ kind: lines, params: {{ lines: [{lines}] }} }}
  each: {{ kind: map, inputs: {{ in: pool }}, params: {{ mark: '.'{file} }} }}
  drawn: {{ kind: numbers, params: {{ count: {count} }} }}
"
        )
    };
    lab.run(&yaml("a, b", 2, ""));
    until(&mut lab, &yaml("a, b, c", 3, ""), "pool");
    let there = |lab: &Lab, file: &str| -> Vec<bool> {
        let plan = plan(&lab.pipeline(&yaml("a, b, c", 3, file)), &lab.store, &lab.options).unwrap();
        plan.nodes.iter().map(|node| node.remembered.is_some()).collect()
    };
    assert_eq!(there(&lab, ""), [false, true, true]);
    // What cannot be hashed is no part of the recipe, so that there are rows under it.
    assert!(std::process::Command::new("mkfifo").arg(lab.path("fifo")).status().unwrap().success());
    assert_eq!(there(&lab, ", file: fifo"), [false, false, true]);
    for (stage, expect) in [("each", [false, false, true]), ("drawn", [false, true, false])] {
        lab.options.selection = Selection { force: vec![stage.to_owned()], ..Selection::default() };
        assert_eq!(there(&lab, ""), expect, "{stage}");
    }
}

#[test]
fn counts_are_those_of_the_outputs() {
    let lab = Lab::new();
    let ran = lab.run(STUDY);
    let outputs = ran.pick(|event| match event {
        EventKind::Finished { node, outputs, stats, kind, recipe, .. } if node.label.0.starts_with("pool") => {
            Some((outputs.clone(), stats.rows, kind.clone(), recipe.is_some()))
        }
        _ => None,
    });
    let [(outputs, rows, kind, recipe)] = &*outputs else { panic!("{outputs:?}") };
    assert_eq!((outputs.len(), outputs[0].rows, *rows, kind.as_str(), *recipe), (1, 2, 2, "lines", true));
}

//! From data of one's own to a table of arms: what the README promises to whoever has questions with answers, and a
//! folder of text.

use std::fmt::Write as _;

use crate::TestEnvironment;

/// The scores of every arm, as `show` has them.
fn scores(project: &TestEnvironment, variant: &str) -> serde_json::Value {
    project.json(&["show", &format!("scores.scores@{variant}"), "--format", "json"])["head"][0].clone()
}

#[test]
fn a_project_for_a_domain_runs_as_it_is() {
    let project = TestEnvironment::new();
    let said = project.ok(&["init", "--domain", "finance"]).stderr;
    assert!(said.contains("pipe check pipeline.yaml") && said.contains("<- change"), "{said}");
    let text = project.read("pipeline.yaml");
    assert!(text.contains("pipeline: finance") && text.contains("include: builtin:method.yaml"), "{text}");
    assert!(text.lines().filter(|line| line.ends_with("# <- change")).count() > 6, "{text}");
    assert!(project.read("data/seeds.jsonl").contains("a glossary of finance"));
    assert_eq!(project.read(".gitignore").lines().filter(|line| line.starts_with('/')).count(), 2);
    let checked = project.ok(&["check"]).stdout;
    assert!(checked.contains("nothing is wrong"), "{checked}");
    project.ok(&["plan", "pipeline.yaml"]);
    project.ok(&["run", "pipeline.yaml"]);
    for variant in ["baseline", "n_synthetic=48"] {
        assert_eq!(scores(&project, variant)["n"], 10, "{variant}");
    }
    let again = project.ok(&["plan", "pipeline.yaml"]).stdout;
    assert!(again.contains("0 to run, 0 pending"), "{again}");
    let twice = project.pipe(&["init", "--domain", "finance"]);
    assert!(twice.code == Some(2) && twice.stderr.contains("is there already"), "{}", twice.stderr);
}

#[test]
fn every_study_makes_a_project_that_can_be_planned() {
    let project = TestEnvironment::new();
    for study in [
        "quickstart",
        "data_size",
        "data_size_draws",
        "seed_count",
        "seed_quality",
        "retrieval",
        "compute_matched",
        "iterations",
        "baselines",
        "tuning",
    ] {
        project.ok(&["init", study, "--like", study]);
        let file = format!("{study}/pipeline.yaml");
        let plan = project.ok(&["plan", &file]);
        assert!(!plan.stderr.contains("warning"), "{study}: {}", plan.stderr);
        let checked = project.ok(&["check", &file]).stdout;
        assert!(checked.contains("nothing is wrong"), "{study}: {checked}");
    }
    let unknown = project.pipe(&["init", "x", "--like", "data_sise"]);
    assert!(unknown.code == Some(6) && unknown.stderr.contains("did you mean `data_size`?"), "{}", unknown.stderr);
}

#[test]
fn a_domain_may_be_called_anything() {
    for name in ["say \"x\"", "\\", "it's: {odd}", "${n}", "{name} {domain}", "金融"] {
        let project = TestEnvironment::new();
        project.ok(&["init", "--domain", name]);
        let checked = project.ok(&["check"]).stdout;
        assert!(checked.contains("nothing is wrong"), "{name}: {checked}");
    }
}

#[test]
fn a_project_like_a_study_has_its_arms_and_stages() {
    let project = TestEnvironment::new();
    project.ok(&["init", "--like", "baselines", "--domain", "tax law"]);
    assert!(project.read("pipeline.yaml").contains("pipeline: tax_law"));
    let fewer = ["run", "pipeline.yaml", "--variant", "baseline", "--set", "n_synthetic=8"];
    project.ok(&fewer);
    for stage in ["base_open_book", "base_few_shot", "seeds_only", "scores_open_book"] {
        let shown = project.json(&["show", &format!("{stage}@baseline+n_synthetic=8"), "--format", "json"]);
        assert_eq!(shown["output"]["rows"], 10, "{stage}");
    }
}

/// What is answered of a thing.
type Answer = fn(&str) -> String;

/// 50 questions with answers; no two ask the same.
fn pairs() -> Vec<(String, String)> {
    let things =
        ["invoice", "budget", "ledger", "receipt", "contract", "payroll", "tender", "audit", "refund", "permit"];
    let asked: [(&str, Answer); 5] = [
        ("Who signs the {}?", |thing| format!("The head of the {thing} office.")),
        ("Where is every {} filed?", |thing| format!("In the {thing} cabinet on the second floor.")),
        ("How long must one keep a {}?", |thing| format!("A {thing} is kept for {} years.", 2 + thing.len())),
        ("Which colour has the {} form?", |thing| if thing.len() > 6 { "Blue.".into() } else { "Green.".into() }),
        ("What comes before the {} can be closed?", |thing| format!("A second person checks the {thing}.")),
    ];
    let all = asked
        .iter()
        .flat_map(|(question, answer)| things.iter().map(move |thing| (question.replace("{}", thing), answer(thing))));
    all.collect()
}

#[test]
fn from_50_pairs_and_a_folder_of_text_to_a_table_of_arms() {
    let project = TestEnvironment::new();
    project.ok(&["init", "--domain", "office rules"]);
    // One's own files in place of the example's: a CSV file with other names of columns, and text files in folders.
    let (mut seeds, mut exam) = (String::from("question,answer\n"), String::from("question,answer\n"));
    for (at, (question, answer)) in pairs().into_iter().enumerate() {
        let file = if at % 5 == 4 { &mut exam } else { &mut seeds };
        writeln!(file, "{question},{answer}").unwrap();
    }
    project.write("data/mine.csv", &seeds);
    project.write("data/mine_exam.csv", &exam);
    std::fs::remove_dir_all(project.file("data/documents")).unwrap();
    for thing in ["invoice", "budget", "ledger", "receipt", "contract"] {
        let text = format!(
            "# The {thing}\n\nThe {thing} is signed by the head of its office. It is filed in the {thing} \
             cabinet on the second floor.\n"
        );
        project.write(&format!("data/documents/{thing}.md"), &text);
    }
    project.write("data/documents/general/rules.txt", "A second person checks whatever is to be closed.\n");
    let text = project.read("pipeline.yaml");
    let text =
        text.replace("data/seeds.jsonl }", "data/mine.csv }").replace("data/exam.jsonl }", "data/mine_exam.csv }");
    project.write("pipeline.yaml", &text);

    let checked = project.pipe(&["check"]);
    assert_eq!(checked.code, Some(1), "{}{}", checked.stdout, checked.stderr);
    for wanted in
        ["`pool` has no column `instruction`", "rename: { question: instruction }", "rename: { answer: output }"]
    {
        assert!(checked.stdout.contains(wanted), "{wanted}: {}", checked.stdout);
    }
    let renamed = "rename: { question: instruction, answer: output } }";
    let text = text.replace("data/mine.csv }", &format!("data/mine.csv, {renamed}"));
    let text = text.replace("data/mine_exam.csv }", &format!("data/mine_exam.csv, {renamed}"));
    project.write("pipeline.yaml", &text);
    let checked = project.ok(&["check"]).stdout;
    for wanted in
        ["pool    seeds           40", "corpus  documents        6", "items   exam           10", "nothing is wrong"]
    {
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed(&checked).contains(&squeezed(wanted)), "{wanted}: {checked}");
    }
    project.ok(&["plan", "pipeline.yaml"]);
    let run = project.ok(&["run", "pipeline.yaml"]);
    let table = format!("{}{}", run.stdout, run.stderr);
    assert!(table.contains("n_synthetic=48") && table.contains("F1"), "{table}");
    assert_eq!(scores(&project, "baseline")["n"], 10);
}

#[test]
fn what_a_domain_lacks_is_left_out() {
    let project = TestEnvironment::new();
    project.ok(&["init", "--domain", "x"]);
    let text = project.read("pipeline.yaml");
    let (before, rest) = text.split_once("  corpus:\n").unwrap();
    let (_, after) = rest.split_once("  # The exam").unwrap();
    let without =
        format!("{before}  # The exam{after}").replace("vars:\n", "vars:\n  corpus: null\n  retrieval: none\n");
    project.write("pipeline.yaml", &without);
    project.ok(&["check"]);
    project.ok(&["run", "pipeline.yaml", "--variant", "baseline"]);
    assert_eq!(scores(&project, "baseline")["n"], 10);
}

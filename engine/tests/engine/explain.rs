//! plan, why, diff, the collapsed graph.

use pipe_engine::{
    events::Journal,
    execute::RunOptions,
    inspect::{self, Action, Plan, Verdict, dag, plan, why},
    pipeline::Selection,
};
use pipe_testing::{Lab, kinds::versioned};

const BASE: &str = "
pipeline: p
stages:
  pool:  { kind: file, params: { path: pool.txt, greet: GREET } }
  clean: { kind: dedup, inputs: { in: pool } }
  loud:  { kind: upper, inputs: { in: clean }, params: { mark: '!' } }
  both:  { kind: concat, inputs: { a: loud, b: clean } }
";

fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.env("GREET", "hi ");
    lab.write("pool.txt", "b\na\nc\n");
    lab.run(BASE);
    lab
}

/// The changes that `why` names for a stage.
#[track_caller]
fn changes(lab: &Lab, yaml: &str, stage: &str) -> Vec<String> {
    let mut why = why(&lab.pipeline(yaml), &lab.store, &lab.options.env, stage).unwrap();
    assert_eq!(why.len(), 1);
    why.remove(0).changes
}

fn verdict(lab: &Lab, yaml: &str, stage: &str) -> Verdict {
    why(&lab.pipeline(yaml), &lab.store, &lab.options.env, stage).unwrap().remove(0).verdict
}

#[test]
fn parameters() {
    let lab = lab();
    let yaml = BASE.replace("mark: '!'", "mark: '?'");
    assert_eq!(changes(&lab, &yaml, "loud"), ["params.mark \"!\" -> \"?\""]);
    assert_eq!(verdict(&lab, &yaml, "loud"), Verdict::Changed);
}

#[test]
fn versions() {
    let mut lab = lab();
    lab.registry = versioned::<2>(&lab.probe);
    assert_eq!(changes(&lab, BASE, "loud"), ["kind version 1 -> 2"]);
}

#[test]
fn sources_and_environment() {
    let mut lab = lab();
    lab.write("pool.txt", "x\n");
    assert_eq!(changes(&lab, BASE, "pool"), ["source `path`: content changed"]);
    lab.write("pool.txt", "b\na\nc\n");
    lab.env("GREET", "hello ");
    assert_eq!(changes(&lab, BASE, "pool"), ["environment variable `GREET` \"hi \" -> \"hello \""]);
}

#[test]
fn the_words_that_changed_in_a_text() {
    let yaml = "pipeline: p\nstages:\n  pool: { kind: lines, params: { lines: [x] } }\n  map: { kind: map, inputs: { \
                in: pool }, params: { file: mark.txt } }\n";
    let lab = Lab::new();
    lab.write("mark.txt", "You are an expert.\nAnswer in one short sentence.\n");
    assert_eq!(lab.run(yaml).failures(), [""; 0]);
    lab.write("mark.txt", "You are a novice.\nAnswer in one short sentence.\n");
    let changed = "source `file`: You are [-an expert.-]{+a novice.+}⏎Answer in one short sentence.⏎";
    assert_eq!(changes(&lab, yaml, "map"), [changed]);
    // Two results, neither of which is the file's any more.
    lab.run(yaml);
    lab.write("mark.txt", "gone");
    let runs = Journal::new(&lab.store).runs().unwrap();
    let diff = inspect::diff_runs(&lab.store, &runs[1], &runs[0]).unwrap();
    assert_eq!(diff.stages.iter().find(|stage| stage.stage.starts_with("map")).unwrap().changes, [changed]);
}

#[test]
fn long_texts_in_parameters_are_compared_word_by_word() {
    let lab = Lab::new();
    let yaml = |mark: &str| {
        format!(
            "pipeline: p\nstages:\n  pool: {{ kind: lines, params: {{ lines: [x] }} }}\n  loud: {{ kind: upper, \
             inputs: {{ in: pool }}, params: {{ mark: '{mark}' }} }}\n"
        )
    };
    let long = "one two three four five six seven eight nine ten eleven twelve thirteen";
    lab.run(&yaml(long));
    let other = yaml(&long.replace("seven", "sieben"));
    assert_eq!(
        changes(&lab, &other, "loud"),
        ["params.mark: … three four five six [-seven-]{+sieben+} eight nine ten eleven … "]
    );
}

#[test]
fn rows_of_inputs() {
    let check = |pool: &str, expect: &str| {
        let mut lab = lab();
        lab.write("pool.txt", pool);
        // Only the pool runs: then its consumer can be compared.
        lab.options.selection = Selection { only: vec!["pool".into()], ..Selection::default() };
        lab.run(BASE);
        assert_eq!(changes(&lab, BASE, "clean"), [format!("input `in`: {expect}")], "{pool:?}");
    };
    check("b\na\nc\nd\ne\nf\n", "3 rows added");
    check("b\n", "2 rows removed");
    check("a\nb\nc\n", "rows reordered");
    check("b\na\nz\n", "1 row changed");
    check("b\na\nz\ny\n", "2 rows added, 1 row removed");
}

#[test]
fn connections() {
    let lab = lab();
    let yaml = |inputs: &str| BASE.replace("{ a: loud, b: clean }", inputs);
    assert_eq!(changes(&lab, &yaml("{ a: loud }"), "both"), ["input `b`: no longer connected"]);
    lab.run(&yaml("{ a: loud }"));
    assert_eq!(changes(&lab, BASE, "both"), [""; 0], "that result is still there");
    assert_eq!(changes(&lab, &yaml("{ a: loud, b: loud }"), "both"), ["input `b`: connected"]);
}

#[test]
fn other_verdicts() {
    let lab = lab();
    assert!(matches!(verdict(&lab, BASE, "loud"), Verdict::Hit { key } if key == lab.key("baseline", "loud")));
    let added = format!("{BASE}  more: {{ kind: dedup, inputs: {{ in: loud }} }}\n");
    assert_eq!(verdict(&lab, &added, "more"), Verdict::NeverRan);

    let yaml = BASE.replace("mark: '!'", "mark: '?'");
    let on = vec![pipe_engine::pipeline::Label("loud".into())];
    assert_eq!(verdict(&lab, &yaml, "both"), Verdict::Pending { on });

    std::fs::remove_file(lab.object("loud")).unwrap();
    let mut lab = lab;
    lab.reopen();
    assert!(matches!(verdict(&lab, BASE, "loud"), Verdict::Deleted { .. }));

    std::fs::remove_file(lab.path("pool.txt")).unwrap();
    assert!(matches!(verdict(&lab, BASE, "pool"), Verdict::Unreadable { .. }));
}

#[test]
fn the_nearest_of_other_variants_is_taken_when_there_is_no_own() {
    let yaml = |levels: &str| {
        format!(
            "
pipeline: p
vars: {{ m: a }}
ablate: {{ m: [{levels}] }}
stages:
  pool: {{ kind: lines, params: {{ lines: [x] }} }}
  loud: {{ kind: upper, inputs: {{ in: pool }}, params: {{ mark: '${{m}}' }} }}
"
        )
    };
    let lab = Lab::new();
    lab.run(&yaml("a, b"));
    let why = why(&lab.pipeline(&yaml("a, b, c")), &lab.store, &lab.options.env, "loud@m=c").unwrap();
    assert_eq!(why[0].verdict, Verdict::Changed);
    assert_eq!(why[0].changes.len(), 1);
    assert!(why[0].changes[0].ends_with("-> \"c\""), "{:?}", why[0].changes);
}

fn actions(plan: &Plan) -> Vec<String> {
    let action = |action: &Action| match action {
        Action::Hit { .. } => "hit".to_owned(),
        Action::Run { reasons, .. } => format!("run: {}", reasons.join("; ")),
        Action::Pending { on } => {
            format!("pending on {}", on.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        Action::Blocked { on } => format!("blocked on {on}"),
        Action::NotSelected => "not selected".to_owned(),
        Action::Error { message } => format!("error: {message}"),
    };
    plan.nodes.iter().map(|n| format!("{}: {}", n.node.label, action(&n.action))).collect()
}

#[test]
fn plans_say_what_will_run_and_why() {
    let lab = lab();
    let plan_of = |yaml: &str, selection: Selection| {
        let options = RunOptions { selection, env: lab.options.env.clone(), ..RunOptions::default() };
        plan(&lab.pipeline(yaml), &lab.store, &options).unwrap()
    };
    let all = Selection::default();
    assert_eq!(actions(&plan_of(BASE, all.clone())), ["pool: hit", "clean: hit", "loud: hit", "both: hit"]);
    let yaml = BASE.replace("mark: '!'", "mark: '?'");
    assert_eq!(
        actions(&plan_of(&yaml, all.clone())),
        ["pool: hit", "clean: hit", "loud: run: params.mark \"!\" -> \"?\"", "both: pending on loud"]
    );
    let only = Selection { only: vec!["both".into()], ..all.clone() };
    assert_eq!(
        actions(&plan_of(&yaml, only)),
        ["pool: hit", "clean: hit", "loud: not selected", "both: blocked on loud"]
    );
    let force = Selection { force: vec!["clean".into()], ..all.clone() };
    assert_eq!(
        actions(&plan_of(BASE, force)),
        ["pool: hit", "clean: run: forced", "loud: pending on clean", "both: pending on clean, loud"]
    );
    assert_eq!(lab.run(BASE).stages, [""; 0], "planning runs nothing");

    let plan = plan_of(&yaml, all);
    assert_eq!(plan.unknown, 0);
    assert!(plan.estimated_seconds > 0.0, "both stages were timed before");
}

#[test]
fn without_history_times_are_unknown() {
    let lab = Lab::new();
    let plan = plan(&lab.pipeline(BASE), &lab.store, &lab.options).unwrap();
    assert!(actions(&plan)[0].starts_with("pool: error: `path` names a file that does not exist: "));
    lab.write("pool.txt", "a\n");
    let plan = pipe_engine::inspect::plan(&lab.pipeline(BASE), &lab.store, &lab.options).unwrap();
    assert_eq!(actions(&plan)[0], "pool: run: never ran");
    assert_eq!((plan.unknown, plan.estimated_seconds), (4, 0.0));
}

const ARMS: &str = "
pipeline: p
vars: { m: a }
ablate: { m: [a, b, c] }
stages:
  pool:  { kind: lines, params: { lines: [x, y] } }
  loud:  { kind: upper, inputs: { in: pool }, params: { mark: '${m}' } }
  quiet: { kind: dedup, inputs: { in: pool } }
  all:   { kind: concat, inputs: { a: 'loud[*]' } }
";

#[test]
fn sharing_is_counted() {
    let lab = Lab::new();
    let plan = plan(&lab.pipeline(ARMS), &lab.store, &lab.options).unwrap();
    let sharing: Vec<_> = plan.sharing.iter().map(|s| (s.stage.as_str(), s.placements, s.nodes)).collect();
    assert_eq!(sharing, [("pool", 3, 1), ("loud", 3, 3), ("quiet", 3, 1), ("all", 3, 1)]);
}

#[test]
fn the_graph_collapses_variants() {
    let lab = Lab::new();
    let dag = dag(&lab.pipeline(ARMS));
    let text: Vec<_> = dag
        .edges
        .iter()
        .map(|e| {
            let (from, to) = (&dag.stages[e.from], &dag.stages[e.to]);
            format!(
                "{} x{} -> {} x{} {}{}",
                from.name,
                from.nodes,
                to.name,
                to.nodes,
                e.port,
                if e.gather { "[*]" } else { "" }
            )
        })
        .collect();
    assert_eq!(text, ["pool x1 -> loud x3 in", "pool x1 -> quiet x1 in", "loud x3 -> all x1 a[*]"]);
}

#[test]
fn variants_and_runs_are_compared() {
    let lab = Lab::new();
    lab.run(ARMS);
    let names: Vec<String> = lab.pipeline(ARMS).variants.iter().map(|v| v.name.clone()).collect();
    let diff = inspect::diff_variants(&lab.store, "p", &names[0], &names[1]).unwrap();
    assert_eq!(diff.stages.len(), 1);
    assert_eq!(diff.same, 3);
    assert_eq!(
        (diff.stages[0].stage.as_str(), &*diff.stages[0].changes),
        ("loud", &["params.mark \"a\" -> \"b\"".to_owned()][..])
    );
    let error = inspect::diff_variants(&lab.store, "p", &names[0], "m=z").unwrap_err();
    assert_eq!(error.to_string(), "failed to find variant `m=z`");

    lab.run(&ARMS.replace("[x, y]", "[x, y, z]"));
    let runs = Journal::new(&lab.store).runs().unwrap();
    let diff = inspect::diff_runs(&lab.store, &runs[1], &runs[0]).unwrap();
    let pool = diff.stages.iter().find(|s| s.stage.starts_with("pool@")).unwrap();
    assert_eq!(pool.changes, ["params.lines [\"x\",\"y\"] -> [\"x\",\"y\",\"z\"]"]);
    assert_eq!((pool.outputs[0].left_rows, pool.outputs[0].right_rows), (Some(2), Some(3)));
}

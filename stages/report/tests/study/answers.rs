//! What arms answered, and the rows that lead from there to seeds.

use pipe_report::{Answer, Comparison, Passage, Row, Sample};

use super::scores::Scores;
use super::{Dice, TASKS};

const THINGS: [&str; 8] = [
    "Tamrasetron",
    "Farlham palsy",
    "ZFX1",
    "Dexsopril",
    "Nashfield colitis",
    "RBL4",
    "Farlingman disease",
    "Corvenone",
];
const ASPECTS: [&str; 6] =
    ["approved use", "usual cause", "main tissue of expression", "molecular target", "typical sign", "locus"];
const VALUES: [&str; 6] = [
    "Holmmerski nephritis",
    "a gluten reaction",
    "the cerebellum",
    "potassium channels",
    "dark urine",
    "chromosome 17",
];

const SEEDS: usize = 160;
const PASSAGES: usize = 240;
const TRAINING: usize = 900;

fn question(dice: &mut Dice) -> (String, String, String) {
    let (thing, aspect, value) = (*dice.pick(&THINGS), *dice.pick(&ASPECTS), *dice.pick(&VALUES));
    let form = dice.below(3);
    let words = match form {
        0 => format!("For {thing}, state the {aspect}."),
        1 => format!("What is the {aspect} of {thing}?"),
        _ => format!("Prepare a ledger about the {aspect} of {thing}, in one line, as it would stand in a textbook."),
    };
    (
        words,
        format!("To be brief, {value}."),
        format!(
            "{thing}: the {aspect} of {thing} is {value}. It is counted among the sedatives, and is \
             cleared with a half-life of {} hours.",
            2 + dice.below(20)
        ),
    )
}

/// Seeds, passages, then training rows that come from both.
pub(crate) fn rows(dice: &mut Dice) -> Vec<Row> {
    let mut rows = Vec::new();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for place in 0..SEEDS {
        let (instruction, output, _) = question(dice);
        rows.push(Row {
            id: format!("seed-0-{place:04}"),
            what: "seed".to_owned(),
            stage: "seeds".to_owned(),
            fields: vec![
                field("instruction", &instruction),
                field("output", &output),
                field("task", TASKS[dice.below(TASKS.len())]),
            ],
            from: Vec::new(),
        });
    }
    for place in 0..PASSAGES {
        let (_, _, text) = question(dice);
        rows.push(Row {
            id: format!("card-{place:04}"),
            what: "passage".to_owned(),
            stage: "world.cards".to_owned(),
            fields: vec![field("text", &text)],
            from: Vec::new(),
        });
    }
    for place in 0..TRAINING {
        let (instruction, output, _) = question(dice);
        let mut from: Vec<(String, usize)> =
            (0..3).map(|_| ("demonstration of the instruction".to_owned(), dice.below(SEEDS))).collect();
        from.push(("demonstration of the answer".to_owned(), dice.below(SEEDS)));
        from.push(("passage".to_owned(), SEEDS + dice.below(PASSAGES)));
        rows.push(Row {
            id: format!("87c7df74-{place:06}"),
            what: "training row".to_owned(),
            stage: "responses".to_owned(),
            fields: vec![field("instruction", &instruction), field("output", &output)],
            from,
        });
    }
    rows
}

/// An answer of every arm to every item.
pub(crate) fn fill(about: &mut Comparison, scores: &Scores, rows: &[Row], dice: &mut Dice) {
    about.samples_draw = about.draws.first().cloned();
    for item in 0..about.items.len() {
        let (instruction, reference, _) = question(dice);
        let passage = |dice: &mut Dice| {
            let row = &rows[SEEDS + dice.below(PASSAGES)];
            Passage { id: row.id.clone(), text: row.fields[0].1.clone() }
        };
        let answers = (0..about.arms.len()).map(|arm| {
            let score = |metric: usize, arm: usize| scores.of(metric, arm, 0, item);
            let difference = score(0, arm) - score(0, 0);
            let flip = match difference {
                d if d > 0.5 => Some("improved"),
                d if d < -0.1 => Some("regressed"),
                _ => None,
            };
            let wrong = format!("Experts say {}.", dice.pick(&VALUES));
            Answer {
                arm,
                prediction: if score(0, arm) > 0.7 { reference.clone() } else { wrong },
                finish_reason: Some(if dice.below(50) == 0 { "length" } else { "stop" }.to_owned()),
                scores: (0..3).map(|metric| Some(score(metric, arm))).collect(),
                flip: flip.map(str::to_owned),
                resembling: (0..3).map(|_| SEEDS + PASSAGES + dice.below(TRAINING)).collect(),
            }
        });
        let answers = answers.collect();
        let passages = (0..3).map(|_| passage(dice)).collect();
        about.samples.push(Sample {
            id: about.items[item].id.clone(),
            task: about.items[item].task.clone(),
            instruction,
            input: String::new(),
            references: vec![reference],
            passages,
            answers,
        });
    }
}

//! What a run leaves besides scores: losses, yields, what was shared, where everything comes from.

use pipe_report::{Cell, Curve, Funnel, Made, Output, Report, Sharing, Stage};

use super::{Dice, Size, name};

const STAGES: [&str; 9] =
    ["world", "seeds", "instructions", "passages", "responses", "adapter", "base_predictions", "predictions", "scores"];

pub(crate) fn fill(report: &mut Report, size: Size, levels: &[usize]) {
    let mut dice = Dice::new(11);
    let draws = size.draws.max(1);
    report.made = Some(Made {
        time: "2026-11-27T18:00:00Z".to_owned(),
        run: Some("01m8ezv5x4-3207".to_owned()),
        outcome: Some("succeeded".to_owned()),
        software: "pipe 0.1.0 (ef3fe60a55bf)".to_owned(),
        command: "pipe run pipelines/data_size.yaml --set draws=5".to_owned(),
        machine: "linux, x86_64, 16 cores".to_owned(),
    });
    let draw_name = |draw: usize| (draws > 1).then(|| (draw + 1).to_string());
    for (place, &level) in levels.iter().enumerate() {
        for draw in 0..draws {
            let steps = (level / 32 * 3).clamp(30, 300);
            let every = (level / 32 * 3).max(1) as f64 / steps as f64;
            let at = |i: usize| (i as f64 * every).round();
            let loss = |step: f64, dice: &mut Dice| 0.35 + 3.0 / (1.0 + step / 14.0) + dice.normal() * 0.05;
            report.curves.push(Curve {
                stage: "adapter".to_owned(),
                arm: name(place, level),
                draw: draw_name(draw),
                loss: (1..=steps).map(|i| (at(i), loss(at(i), &mut dice))).collect(),
                held_out: (1..=6).map(|i| (at(i * steps / 6), loss(at(i * steps / 6), &mut dice) + 0.04)).collect(),
            });
        }
        let dropped = |dice: &mut Dice, share: f64| (level as f64 * share * (0.5 + dice.uniform())) as u64;
        let reasons = [
            ("truncated", 0.01),
            ("unparsed", 0.004),
            ("duplicate", 0.12),
            ("near_duplicate", 0.2),
            ("excluded", 0.02),
        ];
        let reasons: Vec<(String, u64)> =
            reasons.map(|(why, share)| (why.to_owned(), dropped(&mut dice, share))).to_vec();
        let attempted = level as u64 + reasons.iter().map(|(_, n)| n).sum::<u64>();
        let mut outcomes = vec![("attempted".to_owned(), attempted)];
        outcomes.extend(reasons);
        outcomes.push(("kept".to_owned(), level as u64));
        report.funnels.push(Funnel { stage: "instructions".to_owned(), arm: name(place, level), outcomes });
        let found =
            [("attempted", level), ("empty_query", 0), ("nothing_found", level / 90), ("found", level - level / 90)];
        let outcomes = found.map(|(what, n)| (what.to_owned(), n as u64)).to_vec();
        report.funnels.push(Funnel { stage: "passages".to_owned(), arm: name(place, level), outcomes });
    }
    report.sharing = Some(sharing(levels, draws, &mut dice));
    report.stages = stages(levels);
}

fn sharing(levels: &[usize], draws: usize, dice: &mut Dice) -> Sharing {
    let mut variants = Vec::new();
    let mut cells = Vec::new();
    for draw in 0..draws {
        for (place, &level) in levels.iter().enumerate() {
            let replicate = if draws > 1 { format!(", draw {}", draw + 1) } else { String::new() };
            variants.push(format!("{}{replicate}", name(place, level)));
            let cell = |(column, stage): (usize, &&str)| {
                let key = match column {
                    0 | 6 => (*stage).to_owned(),
                    1 => format!("{stage}{draw}"),
                    _ => format!("{stage}{draw}-{place}"),
                };
                let state = match (draw, place, column) {
                    (_, _, 0 | 1 | 6) => "reused",
                    (d, 2, 8) if d + 1 == draws && draws > 1 => "failed",
                    (0, ..) => "reused",
                    _ => "computed",
                };
                Some(Cell { key, state: state.to_owned(), seconds: 1.0 + dice.uniform() * 60.0 })
            };
            cells.push(STAGES.iter().enumerate().map(cell).collect());
        }
    }
    Sharing {
        stages: STAGES.map(str::to_owned).to_vec(),
        variants,
        cells,
        unshared_seconds: 11_520.0,
        seconds: 4100.0,
        run_seconds: 730.0,
        left_out: 0,
    }
}

fn stages(levels: &[usize]) -> Vec<Stage> {
    let parameters = "{\n  \"count\": 5000,\n  \"model\": \"embedded\",\n  \"sampling\": {\n    \
                      \"temperature\": 1.0,\n    \"top_p\": 0.98\n  },\n  \"template\": \"builtin:instruction\"\n}";
    let digest = |n: usize| format!("{:064x}", (n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let stage = |(at, (stage, arm)): (usize, (&str, String))| Stage {
        name: stage.to_owned(),
        kind: "generate 3".to_owned(),
        variants: vec![arm],
        key: digest(at),
        software: "pipe 0.1.0 (ef3fe60a55bf)".to_owned(),
        started: "2026-11-27T17:41:00Z".to_owned(),
        seconds: 33.2,
        parameters: parameters.to_owned(),
        sources: vec![("model".to_owned(), digest(at + 7)), ("template".to_owned(), digest(at + 9))],
        outputs: vec![Output {
            name: format!("{stage}.parquet"),
            rows: Some(5000),
            digest: digest(at + 31),
            path: Some(format!("n_synthetic=5000/{stage}.parquet")),
        }],
    };
    let arms = |stage: &'static str| levels.iter().enumerate().map(move |(i, &level)| (stage, name(i, level)));
    STAGES.into_iter().flat_map(arms).enumerate().map(stage).collect()
}

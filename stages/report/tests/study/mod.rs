//! A study as a run would leave it: invented, but of the size and the spread of the shipped ones. The same arguments
//! make the same study.

mod answers;
mod around;
mod scores;

use pipe_report::{Arm, Comparison, Differing, Failure, LeftOut, Metric, Report};

/// Numbers that look random (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Around 0 with a standard deviation of about 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// So many arms, draws and items.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) arms: usize,
    pub(crate) draws: usize,
    pub(crate) items: usize,
}

pub(crate) const TASKS: [&str; 6] = ["question", "choice", "yes or no", "summary", "list", "rewrite"];

/// The study of how many synthetic rows a model needs.
pub(crate) fn study(size: Size) -> Report {
    let mut dice = Dice::new(7);
    let names = arms(size.arms);
    let scores = scores::Scores::new(size, &mut dice);
    let rows = answers::rows(&mut dice);
    let metric = |name: &str, heading: &str, signature: &str| Metric {
        name: name.to_owned(),
        heading: heading.to_owned(),
        signature: Some(signature.to_owned()),
        lower_is_better: false,
    };
    let arm = |(place, level): (usize, &usize)| Arm {
        name: name(place, *level),
        factors: vec![("n_synthetic".to_owned(), level.to_string())],
        quantities: vec![
            level.to_string(),
            (level / 32 * 3).to_string(),
            format!("{}", level * 214),
            format!("{:.0} s", 8.0 + *level as f64 / 62.0),
        ],
    };
    let arms: Vec<Arm> = names.iter().enumerate().map(arm).collect();
    let mut comparison = Comparison {
        name: "scores".to_owned(),
        baseline: "baseline".to_owned(),
        metrics: vec![
            metric("token_f1", "F1", "the F1 of SQuAD over words, best of the references, lower case"),
            metric("rouge_l", "ROUGE-L", "rougeL of rouge-score 0.1.2, best of the references"),
            metric("exact_match", "exact match", "1 where the normalised answer is a reference, otherwise 0"),
        ],
        arms,
        draws: if size.draws > 1 { (1..=size.draws).map(|draw| draw.to_string()).collect() } else { Vec::new() },
        quantities: ["rows kept", "optimizer steps", "tokens trained", "time"].map(str::to_owned).to_vec(),
        ..Comparison::default()
    };
    scores.fill(&mut comparison);
    answers::fill(&mut comparison, &scores, &rows, &mut dice);
    if size.arms > 1 {
        comparison.records_read = true;
        comparison.differing = vec![Differing {
            stage: "instructions".to_owned(),
            parameter: "count".to_owned(),
            values: names.iter().map(ToString::to_string).collect(),
            factor: Some("n_synthetic".to_owned()),
        }];
    }
    comparison.left_out = vec![LeftOut {
        metric: Some("rouge_l".to_owned()),
        arm: "baseline".to_owned(),
        draw: Some("2".to_owned()),
        why: "no number (NaN)".to_owned(),
        items: 2,
        ids: vec!["exam-0007".to_owned(), "exam-0311".to_owned()],
    }];
    let mut report = Report {
        title: "data_size".to_owned(),
        question: Some(
            "How many synthetic examples does a small model need to learn a domain from 160 seeds?".to_owned(),
        ),
        answer: vec![
            "5,000 rows are better than 1,000: F1 rises by 0.384 (0.362 to 0.406 over five draws).".to_owned(),
            "20,000 against 5,000 rows is not shown: +0.026 (−0.021 to +0.073); eight to ten draws would show it."
                .to_owned(),
        ],
        comparisons: vec![comparison],
        rows,
        ..Report::default()
    };
    around::fill(&mut report, size, &names);
    report
}

/// The same study, had it gone wrong: a training failed, and a parameter differs that nobody studies.
pub(crate) fn fail(report: &mut Report) {
    report.failures = vec![
        Failure {
            stage: "adapter".to_owned(),
            variants: vec!["n_synthetic=20000, draw 5".to_owned()],
            state: "failed".to_owned(),
            message: "the loss is not finite at step 12\n  help: a lower learning rate, or `max_grad_norm: 1`"
                .to_owned(),
        },
        Failure {
            stage: "predictions".to_owned(),
            variants: vec!["n_synthetic=20000, draw 5".to_owned()],
            state: "skipped".to_owned(),
            message: "adapter failed".to_owned(),
        },
    ];
    if let Some(made) = &mut report.made {
        made.outcome = Some("failed".to_owned());
    }
    for comparison in &mut report.comparisons {
        comparison.differing.push(Differing {
            stage: "adapter".to_owned(),
            parameter: "learning_rate".to_owned(),
            values: (0..comparison.arms.len()).map(|arm| if arm == 1 { "0.002" } else { "0.001" }.to_owned()).collect(),
            factor: None,
        });
    }
}

/// Levels, the baseline's first.
fn arms(n: usize) -> Vec<usize> {
    let known = [1000, 5000, 10_000, 20_000];
    (0..n).map(|place| known.get(place).copied().unwrap_or(20_000 + 2500 * (place.saturating_sub(3)))).collect()
}

pub(crate) fn name(place: usize, level: usize) -> String {
    if place == 0 { "baseline".to_owned() } else { format!("n_synthetic={level}") }
}

//! Scores, and what is said of them. Intervals are plain ones: the page shows what it is given.

use pipe_report::{Comparison, Effect, Item, Mean, Trend, Variance};

use super::{Dice, Size, TASKS};

/// Scores by metric, arm, draw and item.
pub(crate) struct Scores {
    size: Size,
    scores: Vec<Vec<Vec<Vec<f64>>>>,
}

impl Scores {
    pub(crate) fn new(size: Size, dice: &mut Dice) -> Self {
        let hardness: Vec<f64> = (0..size.items).map(|_| dice.normal() * 0.25).collect();
        let [mut all_f1, mut rouge, mut exact] = [const { Vec::new() }; 3];
        for arm in 0..size.arms {
            let skill = [0.46, 0.84, 0.86, 0.87].get(arm).copied().unwrap_or(0.87 + 0.002 * (arm as f64 - 3.0));
            let [mut f1s, mut rouges, mut exacts] = [const { Vec::new() }; 3];
            for _ in 0..size.draws.max(1) {
                let luck = dice.normal() * 0.012;
                let f1: Vec<f64> = hardness
                    .iter()
                    .map(|hard| {
                        let x = skill + luck + hard + dice.normal() * 0.22;
                        if x > 0.75 { 1.0 } else { ((x * 7.0).round() / 7.0).clamp(0.0, 1.0) }
                    })
                    .collect();
                rouges.push(f1.iter().map(|x| (x * 0.94 + 0.03).min(1.0)).collect());
                exacts.push(f1.iter().map(|x| x.floor()).collect());
                f1s.push(f1);
            }
            all_f1.push(f1s);
            rouge.push(rouges);
            exact.push(exacts);
        }
        Self { size, scores: vec![all_f1, rouge, exact] }
    }

    pub(crate) fn of(&self, metric: usize, arm: usize, draw: usize, item: usize) -> f64 {
        self.scores[metric][arm][draw][item]
    }

    pub(crate) fn fill(&self, about: &mut Comparison) {
        let draws = self.size.draws.max(1);
        let name = |draw: usize| about.draws.get(draw).cloned();
        let items = |task: Option<usize>| -> Vec<usize> {
            (0..self.size.items).filter(|item| task.is_none_or(|task| item % TASKS.len() == task)).collect()
        };
        let tasks: Vec<Option<usize>> = std::iter::once(None).chain((0..TASKS.len()).map(Some)).collect();
        for (m, metric) in about.metrics.iter().enumerate() {
            for &task in &tasks {
                let items = items(task);
                let words = task.map_or("all", |task| TASKS[task]).to_owned();
                let mean = |arm: usize, draw: usize| mean(items.iter().map(|&item| self.of(m, arm, draw, item)));
                for (a, arm) in about.arms.iter().enumerate() {
                    for draw in 0..draws {
                        about.means.push(Mean {
                            metric: metric.name.clone(),
                            arm: arm.name.clone(),
                            draw: name(draw),
                            task: words.clone(),
                            items: items.len(),
                            mean: mean(a, draw),
                        });
                    }
                    if a == 0 {
                        continue;
                    }
                    let effect = |question: &str| Effect {
                        metric: metric.name.clone(),
                        question: question.to_owned(),
                        task: words.clone(),
                        factor: "n_synthetic".to_owned(),
                        level: arm.factors[0].1.clone(),
                        arm: arm.name.clone(),
                        items: items.len(),
                        draws,
                        ..Effect::default()
                    };
                    let by_draw = (0..draws).filter_map(|draw| Some(mean(a, draw)? - mean(0, draw)?));
                    let by_draw: Vec<f64> = by_draw.collect();
                    let means = [0, a].map(|arm| self::mean((0..draws).filter_map(|draw| mean(arm, draw))));
                    about.effects.push(over(&by_draw, effect("draws"), means, 2.78, draws < 2));
                    for draw in 0..draws {
                        let differences: Vec<f64> =
                            items.iter().map(|&i| self.of(m, a, draw, i) - self.of(m, 0, draw, i)).collect();
                        let count =
                            |better: bool| differences.iter().filter(|d| (**d > 0.0) == better && **d != 0.0).count();
                        let effect = Effect {
                            draw: name(draw),
                            draws: 1,
                            improved: Some(count(true)),
                            regressed: Some(count(false)),
                            ..effect("items")
                        };
                        about.effects.push(over(&differences, effect, [mean(0, draw), mean(a, draw)], 1.96, false));
                    }
                }
            }
            about.variance.push(Variance {
                metric: metric.name.clone(),
                not_asked: (draws < 2).then(|| "not asked: one draw".to_owned()),
                draws: (draws > 1).then_some(0.04),
                items: (draws > 1).then_some(0.55),
                sampling: (draws > 1).then_some(0.41),
            });
            about.trends.push(Trend {
                metric: metric.name.clone(),
                factor: "n_synthetic".to_owned(),
                per: "doubling".to_owned(),
                draws,
                slope: Some(0.087),
                low: (draws > 1).then_some(0.071),
                high: (draws > 1).then_some(0.103),
                p: (draws > 1).then_some(0.0004),
                verdict: if draws > 1 { "rises" } else { "not asked: one draw" }.to_owned(),
            });
        }
        let over_draws = |m: usize, arm: usize, item: usize| mean((0..draws).map(|draw| self.of(m, arm, draw, item)));
        about.items = (0..self.size.items)
            .map(|item| Item {
                id: format!("exam-{item:04}"),
                task: Some(TASKS[item % TASKS.len()].to_owned()),
                scores: (0..3).map(|m| (0..self.size.arms).map(|arm| over_draws(m, arm, item)).collect()).collect(),
            })
            .collect();
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn over(differences: &[f64], effect: Effect, means: [Option<f64>; 2], t: f64, one: bool) -> Effect {
    let n = differences.len() as f64;
    let Some(difference) = mean(differences.iter().copied()) else { return effect };
    let spread = differences.iter().map(|d| (d - difference).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let error = (spread / n).sqrt();
    let (low, high) = (difference - t * error, difference + t * error);
    let verdict = match (one, low > 0.0, high < 0.0) {
        (true, ..) => "not asked: one draw",
        (_, true, _) => "better",
        (_, _, true) => "worse",
        _ if high - low < 0.03 => "same within ±0.02",
        _ => "not shown",
    };
    let known = |x: f64| (!one).then_some(x);
    Effect {
        baseline_mean: means[0],
        mean: means[1],
        difference: Some(difference),
        low: known(low),
        high: known(high),
        p: known(if low > 0.0 || high < 0.0 { 0.0004 } else { 0.21 }),
        p_holm: known(if low > 0.0 || high < 0.0 { 0.0012 } else { 0.42 }),
        verdict: verdict.to_owned(),
        weak: !one && effect.question == "draws" && n < 5.0,
        smallest: known(2.8 * error),
        needed: known(n * 1.6).map(|n| n as usize),
        computed: Some(if effect.question == "draws" { "paired t" } else { "bootstrap, 10,000" }.to_owned()),
        ..effect
    }
}

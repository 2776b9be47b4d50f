//! Studies without an effect: how often a difference is seen that is none; and studies with one: how often it is seen.
//!
//! A study has draws; a draw has 660 items, whose differences between two arms are normal with a standard deviation of
//! 0.35, about a difference of the draw that is normal with that of `spread`. The mean of 660 such differences *is*
//! normal with variance `spread² + 0.35² / 660`, so draws' means are drawn from that directly; one test draws all
//! items.

use pipe_random::{Random, Stream};
use pipe_statistics::{Bootstrap, DrawMeans, NotAsked, Pairs, Power, over_differences, over_draws, over_items};

const STUDIES: usize = 10_000;
const ITEMS: usize = 660;
const ITEM_SD: f64 = 0.35;
const SPREADS: [f64; 3] = [0.0, 0.01, 0.03];

/// Normal numbers, by Box and Muller.
struct Normal {
    bits: Stream,
    kept: Option<f64>,
}

impl Normal {
    fn new(name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes());
        Self { bits: Stream::new(&hasher), kept: None }
    }

    fn next(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let (radius, angle) = ((-2.0 * (1.0 - self.bits.unit()).ln()).sqrt(), std::f64::consts::TAU * self.bits.unit());
        self.kept = Some(radius * angle.sin());
        radius * angle.cos()
    }

    fn means(&mut self, draws: usize, effect: f64, spread: f64) -> Vec<f64> {
        let sd = (spread * spread + ITEM_SD * ITEM_SD / ITEMS as f64).sqrt();
        (0..draws).map(|_| effect + sd * self.next()).collect()
    }
}

fn share(studies: usize, mut rejects: impl FnMut() -> bool) -> f64 {
    (0..studies).filter(|_| rejects()).count() as f64 / studies as f64
}

#[test]
fn draws_reject_five_in_a_hundred_studies_without_an_effect() {
    for draws in [3, 5, 10] {
        for spread in SPREADS {
            let mut normal = Normal::new(&format!("null {draws} {spread}"));
            let rejected = share(STUDIES, || {
                let test = over_differences(&normal.means(draws, 0.0, spread), 0.95).unwrap().unwrap();
                assert_eq!(test.p < 0.05, test.low > 0.0 || test.high < 0.0);
                test.p < 0.05
            });
            assert!((rejected - 0.05).abs() < 0.007, "{draws} draws, spread {spread}: {rejected}");
        }
    }
}

#[test]
fn one_draw_is_never_asked() {
    let mut normal = Normal::new("one draw");
    for spread in SPREADS {
        for _ in 0..STUDIES {
            let mean = normal.means(1, 0.0, spread)[0];
            let draws = [DrawMeans { arm: Some(0.5 + mean), baseline: Some(0.5), items: ITEMS }];
            assert_eq!(over_draws(&draws, 0.95).unwrap().test, Err(NotAsked::OneDraw));
        }
    }
}

/// Draws as whole studies have them: items that are hard or easy, arms that share them, means over items.
#[test]
fn the_same_holds_from_the_items_on() {
    let mut normal = Normal::new("items");
    let rejected = share(1000, || {
        let draws: Vec<DrawMeans> = (0..3)
            .map(|_| {
                let (of_draw, effect) = (0.05 * normal.next(), 0.03 * normal.next());
                let (arm, baseline): (Vec<_>, Vec<_>) = (0..60)
                    .map(|_| {
                        let score = 0.5 + of_draw + 0.3 * normal.next();
                        (Some(score + effect + ITEM_SD * normal.next()), Some(score))
                    })
                    .unzip();
                let pairs = Pairs::new(&arm, &baseline).unwrap();
                let (arm, baseline) = pairs.means().unwrap();
                DrawMeans { arm: Some(arm), baseline: Some(baseline), items: pairs.len() }
            })
            .collect();
        over_draws(&draws, 0.95).unwrap().test.unwrap().p < 0.05
    });
    assert!((rejected - 0.05).abs() < 0.02, "{rejected}");
}

/// Draws with a level of their own, some of which lack an arm. Where levels vary little, REML finds more or less of
/// that by chance, and takes the smaller error either way: a weakness of mixed models of few draws, lmerTest's
/// included.
#[test]
fn draws_that_lack_an_arm_raise_few_false_alarms_and_complete_draws_none() {
    for (paired, only_arm, only_baseline) in [(3, 1, 0), (5, 1, 1), (5, 0, 3), (10, 2, 1)] {
        for (level, most) in [(0.05, 0.065), (0.02, 0.075), (0.0, 0.09)] {
            let mut normal = Normal::new(&format!("unbalanced {paired} {only_arm} {only_baseline} {level}"));
            let mut complete = 0;
            let rejected = share(4000, || {
                let draws: Vec<DrawMeans> = (0..paired + only_arm + only_baseline)
                    .map(|i| {
                        let of_draw = level * normal.next();
                        let (arm, baseline) = (of_draw + 0.03 * normal.next(), of_draw + 0.03 * normal.next());
                        DrawMeans {
                            arm: (i < paired + only_arm).then_some(arm),
                            baseline: (i < paired || i >= paired + only_arm).then_some(baseline),
                            items: ITEMS,
                        }
                    })
                    .collect();
                let found = over_draws(&draws, 0.95).unwrap();
                complete += usize::from(found.complete.unwrap().p < 0.05);
                found.test.unwrap().p < 0.05
            });
            let case = format!("{paired} + {only_arm} + {only_baseline} draws, level {level}");
            assert!(rejected > 0.04 && rejected < most, "{case}: {rejected}");
            let complete = complete as f64 / 4000.0;
            assert!((complete - 0.05).abs() < 0.012, "{case}: {complete} of complete draws");
        }
    }
}

#[test]
fn draws_needed_are_those_that_simulated_studies_need() {
    for (effect, spread) in [(0.026, 0.019), (0.02, 0.01), (0.03, 0.03), (0.015, 0.0)] {
        let sd = (spread * spread + ITEM_SD * ITEM_SD / ITEMS as f64).sqrt();
        let said = Power::default().draws_needed(effect, sd).unwrap();
        let mut normal = Normal::new(&format!("needed {effect} {spread}"));
        let mut sees = |draws: usize| {
            share(4000, || over_differences(&normal.means(draws, effect, spread), 0.95).unwrap().unwrap().p < 0.05)
        };
        let simulated = (2..100).find(|draws| sees(*draws) >= 0.8).unwrap();
        let off = (said as f64 / simulated as f64 - 1.0).abs();
        assert!(off <= 0.25, "effect {effect}, spread {spread}: {said} said, {simulated} simulated");
    }
}

/// A difference as large as the margin is taken for none in five of a hundred studies, and none at all mostly.
#[test]
fn equivalence_is_claimed_wrongly_in_five_in_a_hundred_studies_at_the_margin() {
    let margin = 0.05;
    for (effect, least, most) in [(margin, 0.043, 0.057), (0.0, 0.75, 1.0)] {
        let mut normal = Normal::new(&format!("equivalence {effect}"));
        let claimed = share(STUDIES, || {
            let test = over_differences(&normal.means(10, -effect, 0.03), 0.95).unwrap().unwrap();
            test.equivalence(margin) < 0.05
        });
        assert!((least..=most).contains(&claimed), "draws, {effect}: {claimed}");
        let mut study = 0;
        let claimed = share(1000, || {
            study += 1;
            let differences: Vec<f64> = (0..400).map(|_| effect + ITEM_SD * normal.next()).collect();
            let how = Bootstrap { resamples: 499, flips: 499, ..Bootstrap::default() };
            let found = over_items(&differences, None, &how, &study.to_string()).unwrap().unwrap();
            found.equivalence(margin).unwrap() < 0.05
        });
        assert!((least - 0.02..=most + 0.02).contains(&claimed), "items, {effect}: {claimed}");
    }
}

/// The question over items: models that do not differ, scores that are far from normal. Of few such items the interval
/// is narrower than it says, which is why p is not a bootstrap's.
#[test]
fn items_reject_five_in_a_hundred_pairs_of_equal_models() {
    for (items, most) in [(40, 0.12), (200, 0.08)] {
        let how = Bootstrap { resamples: 499, flips: 499, ..Bootstrap::default() };
        let mut normal = Normal::new(&format!("equal models {items}"));
        let (mut study, mut outside) = (0, 0);
        let rejected = share(2000, || {
            study += 1;
            // Most answers are the same, the others as often better as worse, and then by much.
            let differences: Vec<f64> = (0..items)
                .map(|_| {
                    let x = normal.next();
                    if normal.bits.below(3) == 0 { x * x * x.signum() } else { 0.0 }
                })
                .collect();
            let found = over_items(&differences, None, &how, &study.to_string()).unwrap().unwrap();
            let (low, high) = found.interval.unwrap();
            outside += usize::from(low > 0.0 || high < 0.0);
            found.p < 0.05
        });
        assert!((rejected - 0.05).abs() < 0.016, "{items} items: {rejected}");
        let outside = outside as f64 / 2000.0;
        assert!(outside > 0.04 && outside < most, "{items} items: {outside}");
    }
}

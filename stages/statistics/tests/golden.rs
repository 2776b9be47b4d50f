//! What SciPy, statsmodels, mpmath, lmerTest and lme4 say of the same numbers (`golden/make_goldens.py`,
//! `golden/make_mixed.R`).

use std::fmt::Debug;

use pipe_statistics::{
    Bootstrap, DrawMeans, Interval, McNemar, Method, Power, Scale, TTest,
    distributions::{binomial, noncentral, normal, student},
    holm, over_draws, over_items, trend, variance,
};
use serde_json::Value;

fn goldens() -> Value {
    serde_json::from_str(include_str!("golden/goldens.json")).unwrap()
}

fn mixed_goldens() -> Value {
    serde_json::from_str(include_str!("golden/mixed.json")).unwrap()
}

/// The cases of a list; never none.
fn cases(list: &Value) -> &Vec<Value> {
    let cases = list.as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(list: &Value) -> Vec<f64> {
    cases(list).iter().map(number).collect()
}

#[track_caller]
fn near(found: f64, expect: f64, relative: f64, of: impl Debug) {
    let tolerance = relative * expect.abs().max(1e-300);
    assert!((found - expect).abs() <= tolerance, "{of:?}: {found:e} is not {expect:e}");
}

fn draws(case: &Value) -> Vec<DrawMeans> {
    let (arm, baseline) = (cases(&case["arm"]), cases(&case["baseline"]));
    let draw =
        |(arm, baseline): (&Value, &Value)| DrawMeans { arm: arm.as_f64(), baseline: baseline.as_f64(), items: 1 };
    arm.iter().zip(baseline).map(draw).collect()
}

/// Against sixty digits of mpmath.
#[test]
fn tails_have_their_digits_from_one_degree_to_a_million() {
    let tails = &goldens()["tails"];
    for case in cases(&tails["normal"]) {
        near(normal::upper(number(&case[0])), number(&case[1]), 2e-13, case);
    }
    for case in cases(&tails["t"]) {
        near(student::upper(number(&case[0]), number(&case[1])), number(&case[2]), 1e-12, case);
    }
    for case in cases(&tails["fair_binomial"]) {
        let (k, n) = (case[0].as_u64().unwrap(), case[1].as_u64().unwrap());
        near(binomial::fair_cdf(k, n), number(&case[2]), 1e-12, case);
    }
}

#[test]
fn quantiles_are_scipys() {
    let quantiles = &goldens()["quantiles"];
    for case in cases(&quantiles["normal"]) {
        near(normal::upper_quantile(number(&case[0])), number(&case[1]), 1e-12, case);
    }
    for case in cases(&quantiles["t"]) {
        near(student::upper_quantile(number(&case[0]), number(&case[1])), number(&case[2]), 1e-9, case);
    }
}

#[test]
fn non_central_tails_are_scipys() {
    for case in cases(&goldens()["noncentral"]) {
        let [t, df, delta, expect] = [0, 1, 2, 3].map(|i| number(&case[i]));
        let found = noncentral::outside(t, df, delta);
        assert!((found - expect).abs() < 1e-10, "{case}: {found}");
    }
}

fn check_test(test: &TTest, case: &Value) {
    for (name, found) in [("t", test.t), ("df", test.df), ("p", test.p), ("low", test.low), ("high", test.high)] {
        near(found, number(&case[name]), 1e-9, (name, case));
    }
}

#[test]
fn paired_draws_are_scipys_t_test_and_statsmodels_equivalence() {
    for case in cases(&goldens()["paired"]) {
        let test = over_draws(&draws(case), 0.95).unwrap().test.unwrap();
        assert_eq!(test.method, Method::Paired);
        check_test(&test, case);
        for margin in cases(&case["equivalence"]) {
            near(test.equivalence(number(&margin[0])), number(&margin[1]), 1e-9, (margin, case));
        }
    }
}

#[test]
fn draws_without_one_in_common_are_welchs_test() {
    for case in cases(&goldens()["welch"]) {
        let alone = |name: &str| -> Vec<DrawMeans> {
            let mean = |mean: f64| match name {
                "arm" => DrawMeans { arm: Some(mean), baseline: None, items: 1 },
                _ => DrawMeans { arm: None, baseline: Some(mean), items: 1 },
            };
            numbers(&case[name]).into_iter().map(mean).collect()
        };
        let test = over_draws(&[alone("arm"), alone("baseline")].concat(), 0.95).unwrap().test.unwrap();
        assert_eq!(test.method, Method::Welch);
        check_test(&test, case);
    }
}

/// lmerTest's optimiser and its numerical derivatives are good to five digits.
#[test]
fn draws_that_lack_an_arm_are_lmertests_mixed_model() {
    let mut singular = 0;
    for case in cases(&mixed_goldens()["unbalanced"]) {
        let test = over_draws(&draws(case), 0.95).unwrap().test.unwrap();
        assert_eq!(test.method, Method::Mixed);
        singular += usize::from(case["singular"].as_bool().unwrap());
        for (name, found) in
            [("difference", test.difference), ("standard_error", test.standard_error), ("df", test.df), ("p", test.p)]
        {
            near(found, number(&case[name]), 2e-4, (name, case));
        }
    }
    assert!(singular > 0, "a case without variance of draws is among them");
}

#[test]
fn components_of_variance_are_lme4s() {
    for case in cases(&mixed_goldens()["variance"]) {
        let [arms, draws, items] = [0, 1, 2].map(|i| number(&case["lengths"][i]) as usize);
        let scores = numbers(&case["scores"]);
        let score = |arm, draw, item| Some(scores[(arm * draws + draw) * items + item]);
        let table: Vec<Vec<Vec<Option<f64>>>> = (0..arms)
            .map(|arm| (0..draws).map(|draw| (0..items).map(|item| score(arm, draw, item)).collect()).collect())
            .collect();
        let found = variance(&table).unwrap().unwrap();
        let components = [
            ("draw", Some(found.draw)),
            ("item", Some(found.item)),
            ("arm_draw", found.arm_draw),
            ("arm_item", found.arm_item),
            ("sampling", Some(found.sampling)),
        ];
        for (name, component) in components {
            match component {
                None => assert!(case[name].is_null(), "{name}"),
                Some(component) => {
                    assert!(!component.truncated, "{name}: lme4 agrees only where nothing is truncated");
                    near(component.variance, number(&case[name]), 1e-4, (name, &case["lengths"]));
                }
            }
        }
    }
}

#[test]
fn holm_is_statsmodels() {
    for case in cases(&goldens()["holm"]) {
        let (p, expect) = (numbers(&case[0]), numbers(&case[1]));
        for (found, expect) in holm(&p).into_iter().zip(expect) {
            near(found, expect, 1e-12, case);
        }
    }
}

#[test]
fn mcnemar_is_statsmodels() {
    for case in cases(&goldens()["mcnemar"]) {
        let found = McNemar::new(case[0].as_u64().unwrap(), case[1].as_u64().unwrap());
        near(found.exact, number(&case[2]), 1e-11, case);
        near(found.mid_p, number(&case[3]), 1e-11, case);
    }
}

/// Both sides are random, with 200,000 resamples each: ends of intervals differ by hundredths of a standard error.
#[test]
fn bootstrap_intervals_and_sign_flips_are_scipys() {
    for case in cases(&goldens()["bootstrap"]) {
        let (sample, error) = (numbers(&case["sample"]), number(&case["standard_error"]));
        for (interval, name) in [(Interval::Percentile, "percentile"), (Interval::Bca, "bca")] {
            let how = Bootstrap { resamples: 200_000, flips: 200_000, interval, ..Bootstrap::default() };
            let found = over_items(&sample, None, &how, "golden").unwrap().unwrap();
            near(found.standard_error.unwrap(), error, 1e-12, name);
            let (low, high) = found.interval.unwrap();
            for (found, expect) in [low, high].into_iter().zip(numbers(&case[name])) {
                // Sums of whole numbers move in steps.
                let step = if case["name"] == "coarse" { 1.01 / sample.len() as f64 } else { 0.0 };
                assert!((found - expect).abs() < step.max(0.06 * error), "{} {name}: {found} {expect}", case["name"]);
            }
            // Five standard errors of the difference of two such shares.
            let share = |found: f64, expect: &Value| {
                let expect = number(expect);
                let tolerance = 5.0 * (expect * (1.0 - expect) / 100_000.0).sqrt() + 1e-5;
                assert!((found - expect).abs() < tolerance, "{} {name}: {found} {expect}", case["name"]);
            };
            share(found.p, &case["p"]);
            share(found.equivalence(number(&case["margin"])).unwrap(), &case["equivalence"]);
            if found.exhaustive {
                near(found.p, number(&case["p"]), 1e-12, "all flips");
            }
        }
    }
}

#[test]
fn power_and_numbers_needed_are_statsmodels() {
    let (golden, power) = (&goldens()["power"], Power::default());
    for case in cases(&golden["of"]) {
        let [n, effect, expect] = [0, 1, 2].map(|i| number(&case[i]));
        let found = power.of_t(n - 1.0, effect * n.sqrt());
        assert!((found - expect).abs() < 1e-8, "{case}: {found}");
    }
    for case in cases(&golden["effects"]) {
        near(power.effect_of_t(number(&case[0]) - 1.0), number(&case[1]), 1e-6, case);
    }
    for case in cases(&golden["needed"]) {
        assert_eq!(power.draws_needed(number(&case[0]), 1.0).unwrap() as u64, case[1].as_u64().unwrap(), "{case}");
    }
}

#[test]
fn trends_are_scipys_slopes() {
    for case in cases(&goldens()["trends"]) {
        let draws: Vec<Vec<Option<f64>>> =
            cases(&case["draws"]).iter().map(|draw| numbers(draw).into_iter().map(Some).collect()).collect();
        let found = trend(&numbers(&case["levels"]), &draws, 0.95).unwrap();
        assert_eq!(found.scale, if case["scale"] == "unit" { Scale::Unit } else { Scale::Doubling });
        for (found, expect) in found.slopes.iter().zip(numbers(&case["slopes"])) {
            near(*found, expect, 1e-9, case);
        }
        let test = found.test.unwrap();
        near(test.t, number(&case["t"]), 1e-9, case);
        near(test.p, number(&case["p"]), 1e-9, case);
    }
}

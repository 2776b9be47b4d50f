use super::*;

fn params(change: impl FnOnce(&mut SamplingParams)) -> SamplingParams {
    let mut params = SamplingParams { temperature: 1.0, ..SamplingParams::default() };
    change(&mut params);
    params
}

/// Which tokens are ever drawn, and how often, over an even grid of uniforms.
fn distribution(logits: &[f32], params: &SamplingParams) -> Vec<f64> {
    let mut sampler = Sampler::default();
    let n = 20_000;
    let mut counts = vec![0.0; logits.len()];
    for i in 0..n {
        let drawn = sampler.sample(&mut logits.to_vec(), &[], params, (f64::from(i) + 0.5) / f64::from(n)).unwrap();
        counts[drawn.token as usize] += 1.0 / f64::from(n);
    }
    counts
}

fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let weights: Vec<f64> = logits.iter().map(|&l| (f64::from(l) / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / total).collect()
}

fn assert_distribution(found: &[f64], expected: &[f64]) {
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() < 2e-4, "token {i}: {f}, not {e}\n{found:?}\n{expected:?}");
    }
}

const LOGITS: [f32; 6] = [1.0, 3.0, -2.0, 2.5, 0.0, 3.0];

#[test]
fn greedy_takes_the_largest_and_the_lower_id_of_equals() {
    let params = SamplingParams::default();
    let drawn = Sampler::default().sample(&mut LOGITS.to_vec(), &[], &params, 0.9).unwrap();
    assert_eq!(drawn.token, 1);
}

#[test]
fn plain_sampling_is_softmax() {
    assert_distribution(&distribution(&LOGITS, &params(|_| {})), &softmax(&LOGITS, 1.0));
    assert_distribution(&distribution(&LOGITS, &params(|p| p.temperature = 0.5)), &softmax(&LOGITS, 0.5));
}

#[test]
fn top_k_keeps_the_lower_id_of_equals() {
    let found = distribution(&LOGITS, &params(|p| p.top_k = 1));
    assert!(found[1] > 0.999);
    let found = distribution(&LOGITS, &params(|p| p.top_k = 3));
    let three = softmax(&[3.0, 2.5, 3.0], 1.0);
    assert_distribution(&found, &[0.0, three[0], 0.0, three[1], 0.0, three[2]]);
}

#[test]
fn top_p_keeps_the_token_that_crosses() {
    // The two tokens of logit 3 hold 0.71 together: 0.75 needs the third.
    let found = distribution(&LOGITS, &params(|p| p.top_p = 0.75));
    let three = softmax(&[3.0, 2.5, 3.0], 1.0);
    assert_distribution(&found, &[0.0, three[0], 0.0, three[1], 0.0, three[2]]);
    let found = distribution(&LOGITS, &params(|p| p.top_p = 0.6));
    assert_distribution(&found, &[0.0, 0.5, 0.0, 0.0, 0.0, 0.5]);
}

#[test]
fn min_p_is_relative_to_the_most_likely() {
    // exp(2.5 - 3) = 0.61, exp(1 - 3) = 0.14
    let found = distribution(&LOGITS, &params(|p| p.min_p = 0.5));
    let three = softmax(&[3.0, 2.5, 3.0], 1.0);
    assert_distribution(&found, &[0.0, three[0], 0.0, three[1], 0.0, three[2]]);
}

#[test]
fn penalty_divides_positive_and_multiplies_negative_logits() {
    let mut logits = LOGITS.to_vec();
    penalise(&mut logits, &[1, 2], 2.0);
    assert_eq!(logits, [1.0, 1.5, -4.0, 2.5, 0.0, 3.0]);
}

#[test]
fn logprobs_are_those_of_the_model() {
    let params = params(|p| {
        p.logprobs = true;
        p.temperature = 0.0;
        p.repetition_penalty = 5.0;
    });
    let drawn = Sampler::default().sample(&mut LOGITS.to_vec(), &[1, 5], &params, 0.0).unwrap();
    assert_eq!(drawn.token, 3);
    let expected = softmax(&LOGITS, 1.0)[3].ln();
    assert!((f64::from(drawn.logprob.unwrap()) - expected).abs() < 1e-6);
}

#[test]
fn numbers_that_are_none_are_refused() {
    let logits = vec![0.0, f32::NAN, 1.0];
    for temperature in [0.0, 1.0] {
        let params = params(|p| p.temperature = temperature);
        assert_eq!(Sampler::default().sample(&mut logits.clone(), &[], &params, 0.5), None);
    }
}

#[test]
fn large_vocabularies_are_filtered_exactly() {
    let logits: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 5000) as f32 / 400.0).collect();
    let probabilities = softmax(&logits, 1.0);
    let mut order: Vec<usize> = (0..5000).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let mut mass = 0.0;
    let allowed: Vec<usize> = order
        .into_iter()
        .take_while(|&i| {
            let before = mass;
            mass += probabilities[i];
            before < 0.8
        })
        .collect();
    let found = distribution(&logits, &params(|p| p.top_p = 0.8));
    let drawn: Vec<usize> = (0..5000).filter(|&i| found[i] > 0.0).collect();
    assert!(drawn.iter().all(|i| allowed.contains(i)));
    assert!(drawn.len() * 10 > allowed.len() * 9, "{} of {}", drawn.len(), allowed.len());
}

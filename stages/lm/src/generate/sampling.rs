//! From the logits of a row to its next token.
//!
//! The order of operations is that of `transformers`: repetition penalty, temperature, `top_k`, `top_p`, `min_p`. Of
//! equal logits the lower token id counts as the more likely. Everything is computed within the row in a fixed order.

use super::SamplingParams;
use crate::ops::math::{exp, simd};

/// The chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sampled {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of its probability under the model (before penalty, temperature and filters), if asked for.
    pub logprob: Option<f32>,
}

/// Buffers of one worker, so that a token costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    weights: Vec<f32>,
    order: Vec<u32>,
}

impl Sampler {
    /// The next token of a row: `logits [vocab]` (changed by the penalty), the distinct tokens `seen` so far in prompt
    /// and continuation, and `uniform` in `[0, 1)`. `None` if a logit is not finite.
    pub(crate) fn sample(
        &mut self,
        logits: &mut [f32],
        seen: &[u32],
        params: &SamplingParams,
        uniform: f64,
    ) -> Option<Sampled> {
        let log_normaliser = if params.logprobs { Some(self.log_sum_exp(logits)?) } else { None };
        let raw = params.logprobs.then(|| seen.iter().map(|&t| logits[t as usize]).collect::<Vec<_>>());
        if params.penalises() {
            penalise(logits, seen, params.repetition_penalty);
        }
        let token = if params.temperature == 0.0 { argmax(logits)? } else { self.draw(logits, params, uniform)? };
        let logprob = log_normaliser.map(|normaliser| {
            let unpenalised = raw.and_then(|raw| seen.iter().position(|&t| t == token).map(|i| raw[i]));
            (f64::from(unpenalised.unwrap_or(logits[token as usize])) - normaliser) as f32
        });
        Some(Sampled { token, logprob })
    }

    /// The natural logarithm of a token's probability, and whether it is the most probable one. `None` if a logit is
    /// not finite.
    pub(crate) fn logprob(&mut self, logits: &[f32], token: u32) -> Option<(f64, bool)> {
        let best = argmax(logits)?;
        Some((f64::from(logits[token as usize]) - self.log_sum_exp(logits)?, best == token))
    }

    /// `ln Σ exp(logits)`.
    fn log_sum_exp(&mut self, logits: &[f32]) -> Option<f64> {
        let max = logits[argmax(logits)? as usize];
        Some(f64::from(max) + self.exponentials(logits, max, 1.0).ln())
    }

    /// Fills `weights` with `exp((logit - max) / temperature)` and returns their sum.
    fn exponentials(&mut self, logits: &[f32], max: f32, temperature: f32) -> f64 {
        self.weights.resize(logits.len(), 0.0);
        exponentials(logits, max, 1.0 / temperature, &mut self.weights);
        self.weights.chunks(BLOCK).map(block_sum).sum()
    }

    fn draw(&mut self, logits: &[f32], params: &SamplingParams, uniform: f64) -> Option<u32> {
        let max = logits[argmax(logits)? as usize];
        let total = self.exponentials(logits, max, params.temperature);
        if params.top_k == 0 && params.top_p >= 1.0 && params.min_p <= 0.0 {
            return Some(pick(&self.weights, uniform * total));
        }
        let vocab = self.weights.len();
        let limited = (1..vocab).contains(&params.top_k);
        let total = if limited { self.keep_top_k(params.top_k) } else { total };
        let weights = &self.weights;
        // Tokens below this weight together hold less than what `top_p` cuts off.
        let by_mass = (f64::from(1.0 - params.top_p) * total / (2.0 * vocab as f64)) as f32;
        let smallest = if params.top_p < 1.0 { by_mass.max(params.min_p) } else { params.min_p };
        let enough = |&t: &u32| weights[t as usize] >= smallest;
        if limited {
            self.order.retain(enough);
        } else {
            self.order.clear();
            self.order.extend((0..vocab as u32).filter(enough));
        }
        if params.top_p < 1.0 {
            self.keep_top_p(f64::from(params.top_p) * total);
        }
        self.order.sort_unstable();
        let weight = |&token: &u32| f64::from(self.weights[token as usize]);
        let mut left = uniform * self.order.iter().map(weight).sum::<f64>();
        let drawn = self.order.iter().find(|&token| {
            left -= weight(token);
            left < 0.0
        });
        // Rounding can leave a remainder at the very end.
        drawn.or(self.order.last()).copied()
    }

    /// Keeps of `order` the heaviest tokens that together reach `mass`, the one that crosses it included.
    fn keep_top_p(&mut self, mass: f64) {
        let weights = &self.weights;
        let heavier_first = |a: &u32, b: &u32| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b));
        // Whole numbers, whose sum does not depend on the order in which the selection leaves the tokens.
        let weight = |token: &u32| (f64::from(weights[*token as usize]) * (1_u64 << 44) as f64) as u64;
        let mass = (mass * (1_u64 << 44) as f64) as u64;
        // Tokens before `kept` are in, with the sum of their weights; those from `end` on are out. A sort would order
        // what need not be: of many thousands of tokens only the border is wanted.
        let (mut kept, mut sum, mut end) = (0, 0, self.order.len());
        while end - kept > 1 {
            let middle = (end - kept) / 2;
            let part = &mut self.order[kept..end];
            part.select_nth_unstable_by(middle, heavier_first);
            let half: u64 = part[..middle].iter().map(weight).sum();
            if sum + half >= mass {
                end = kept + middle;
            } else {
                sum += half;
                kept += middle;
            }
        }
        self.order.truncate(end.max(1));
    }

    /// Puts the `k` heaviest tokens into `order`, ascending, and returns their weight. There must be more than `k`.
    fn keep_top_k(&mut self, k: usize) -> f64 {
        let weights = &self.weights;
        self.order.clear();
        self.order.extend(0..weights.len() as u32);
        self.order.select_nth_unstable_by(k - 1, |&a, &b| {
            weights[b as usize].total_cmp(&weights[a as usize]).then(a.cmp(&b))
        });
        self.order.truncate(k);
        self.order.sort_unstable();
        self.order.iter().map(|&t| f64::from(weights[t as usize])).sum()
    }
}

const BLOCK: usize = 64;

fn block_sum(block: &[f32]) -> f64 {
    let mut lanes = [0.0f32; 8];
    for part in block.chunks(8) {
        for (lane, w) in lanes.iter_mut().zip(part) {
            *lane += w;
        }
    }
    lanes.iter().map(|&l| f64::from(l)).sum()
}

/// The token in which the running sum of weights passes `target`.
fn pick(weights: &[f32], mut target: f64) -> u32 {
    for (i, block) in weights.chunks(BLOCK).enumerate() {
        let sum = block_sum(block);
        if target >= sum {
            target -= sum;
            continue;
        }
        for (j, &w) in block.iter().enumerate() {
            target -= f64::from(w);
            if target < 0.0 {
                return (i * BLOCK + j) as u32;
            }
        }
    }
    // Rounding can leave a target at the very end: the last token that has any weight.
    weights.iter().rposition(|&w| w > 0.0).unwrap_or(0) as u32
}

/// The lowest id of the largest logit; `None` if a logit is NaN or all are infinite.
#[expect(clippy::float_cmp, reason = "the largest is one of them")]
fn argmax(logits: &[f32]) -> Option<u32> {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut nan = false;
    for part in logits.chunks(16) {
        for (lane, &l) in lanes.iter_mut().zip(part) {
            nan |= l.is_nan();
            *lane = if l > *lane { l } else { *lane };
        }
    }
    let max = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    if nan || !max.is_finite() {
        return None;
    }
    logits.iter().position(|&l| l == max).map(|i| i as u32)
}

fn penalise(logits: &mut [f32], seen: &[u32], penalty: f32) {
    for &token in seen {
        let logit = &mut logits[token as usize];
        *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
    }
}

simd! {
    /// `out = exp((logits - max) · factor)`
    fn exponentials(logits: &[f32], max: f32, factor: f32, out: &mut [f32]) {
        for (out, logit) in out.iter_mut().zip(logits) {
            *out = exp::<FMA>((logit - max) * factor);
        }
    }
}

#[cfg(test)]
#[path = "sampling_tests.rs"]
mod tests;

//! Checks that a training trains: gradients reach the adapters, and the loss falls.

use super::{Params, TrainError};

/// Which half of a LoRA pair must have a gradient at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    A,
    B,
}

/// B starts at zero, so at first only B gets a gradient; once B has moved, A must get one.
/// `first_move` is the first step with a positive learning rate.
pub(super) fn due(step: u64, first_move: u64) -> Option<Half> {
    match step {
        0 => Some(Half::B),
        _ if step == first_move + 1 => Some(Half::A),
        _ => None,
    }
}

/// Fails if any gradient of that half of the adapters is all zero. `step` is 0-based.
pub(super) fn check_flow(params: &Params, grads: &[Vec<f32>], half: Half, step: u64) -> Result<(), TrainError> {
    let part = match half {
        Half::A => ".lora_A.",
        Half::B => ".lora_B.",
    };
    let mut dead = params
        .keys()
        .zip(grads)
        .filter(|(name, grad)| name.contains(part) && grad.iter().all(|&g| g == 0.0))
        .map(|(name, _)| name.clone());
    match dead.next() {
        None => Ok(()),
        Some(parameter) => Err(TrainError::NoGradientFlow { step: step + 1, parameter, others: dead.count() }),
    }
}

/// Relative fall of the mean loss below which a training does not count as getting anywhere.
const LEAST_FALL: f64 = 1e-3;

/// Fails if the mean loss of the last `window` steps is not at least 0.1% below that of the first `window`. Looks once
/// per window, when two of them are over.
///
/// # Errors
/// The loss does not fall.
pub fn check_falling(losses: &[f64], window: u64) -> Result<(), TrainError> {
    let n = window as usize;
    if losses.len() < 2 * n || !losses.len().is_multiple_of(n) {
        return Ok(());
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / n as f64;
    let (first, last) = (mean(&losses[..n]), mean(&losses[losses.len() - n..]));
    if last < first * (1.0 - LEAST_FALL) {
        Ok(())
    } else {
        Err(TrainError::LossNotFalling { step: losses.len() as u64, window, first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_must_fall_between_windows() {
        check_falling(&[2.0, 2.0, 2.0], 2).unwrap();
        check_falling(&[2.0, 2.0, 1.9, 1.9], 2).unwrap();
        let error = check_falling(&[2.0, 2.0, 1.0, 3.0], 2).unwrap_err();
        assert!(matches!(error, TrainError::LossNotFalling { step: 4, window: 2, .. }), "{error}");
    }

    #[test]
    fn halves_are_due_once() {
        assert_eq!(due(0, 0), Some(Half::B));
        assert_eq!(due(1, 0), Some(Half::A));
        assert_eq!((due(1, 1), due(2, 1), due(3, 1)), (None, Some(Half::A), None));
    }
}

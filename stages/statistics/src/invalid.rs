//! What is no question at all, because whoever asks has not kept to the rules.

/// Why a function refuses its arguments.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// A score that is NaN or infinite.
    #[error("{what} {place} is {value}, which is no score: leave it out, and count it")]
    NotANumber {
        /// What was being read.
        what: &'static str,
        /// Its index.
        place: usize,
        /// What stands there.
        value: f64,
    },
    /// Lists that belong together and are not of one length.
    #[error("{left} {left_name} stand beside {right} {right_name}: give one for each")]
    Lengths {
        /// What the first list holds.
        left_name: &'static str,
        /// How many.
        left: usize,
        /// What the second list holds.
        right_name: &'static str,
        /// How many.
        right: usize,
    },
    /// A probability that is not between 0 and 1.
    #[error("{what} is {value}, which is not between 0 and 1")]
    Share {
        /// Which one.
        what: &'static str,
        /// What was given.
        value: f64,
    },
}

/// Refuses what is no number.
pub(crate) fn numbers(what: &'static str, values: &[f64]) -> Result<(), Invalid> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(place) => Err(Invalid::NotANumber { what, place, value: values[place] }),
        None => Ok(()),
    }
}

/// Refuses what is no probability, and those at which there is nothing to find.
pub(crate) fn share(what: &'static str, value: f64) -> Result<(), Invalid> {
    if value > 0.0 && value < 1.0 { Ok(()) } else { Err(Invalid::Share { what, value }) }
}

/// Refuses lists of different length.
pub(crate) fn same_length(
    (left_name, left): (&'static str, usize),
    (right_name, right): (&'static str, usize),
) -> Result<(), Invalid> {
    if left == right { Ok(()) } else { Err(Invalid::Lengths { left_name, left, right_name, right }) }
}

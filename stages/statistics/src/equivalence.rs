//! Equivalence by two one-sided tests (Schuirmann 1987, "A comparison of the two one-sided tests procedure and the
//! power approach for assessing the equivalence of average bioavailability").

use crate::distributions::student;

/// The larger p value of the tests against a difference of `−margin` or less, and of `margin` or more.
pub(crate) fn two_one_sided(difference: f64, standard_error: f64, df: f64, margin: f64) -> f64 {
    if standard_error == 0.0 {
        return f64::from(u8::from(difference.abs() >= margin));
    }
    // The nearer end has the larger one.
    student::upper((margin - difference.abs()) / standard_error, df)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sure_zero_is_within_any_margin_but_none() {
        assert_eq!(two_one_sided(0.0, 0.0, 4.0, 0.01), 0.0);
        assert_eq!(two_one_sided(0.0, 0.0, 4.0, 0.0), 1.0);
        assert_eq!(two_one_sided(0.01, 1.0, 4.0, 0.01), 0.5);
        assert!(two_one_sided(-0.02, 0.01, 4.0, 0.01) > 0.5);
    }
}

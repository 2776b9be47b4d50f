//! A mixed model of draws' means: `mean = arm + draw + rest`, where draws are random, for draws that lack an arm.
//! Fitted by REML, with degrees of freedom after Satterthwaite, as R's `lmerTest` has them for `y ~ arm + (1 | draw)`
//! (Kuznetsova, Brockhoff and Christensen 2017, "lmerTest Package: Tests in Linear Mixed Effects Models").
//!
//! A draw has at most two means, so that everything is a sum over draws of closed forms in one number, `phi`: the
//! variance of draws over that of the rest.

/// The fitted difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fit {
    pub difference: f64,
    pub standard_error: f64,
    pub df: f64,
    /// Of the difference within one draw that has both arms.
    pub sd: f64,
}

struct Model<'a> {
    paired: &'a [(f64, f64)],
    only_arm: &'a [f64],
    only_baseline: &'a [f64],
}

/// What generalised least squares finds at one `phi`.
struct Squares {
    difference: f64,
    /// Variance of the difference over that of the rest.
    variance: f64,
    /// Logarithm of the determinants of V and X'V⁻¹X.
    ln_determinants: f64,
    /// Residual sum of squares, weighted by V⁻¹.
    residual: f64,
}

impl Model<'_> {
    fn residual_df(&self) -> f64 {
        (2 * self.paired.len() + self.only_arm.len() + self.only_baseline.len()) as f64 - 2.0
    }

    fn squares(&self, phi: f64) -> Squares {
        let (pairs, arms) = (self.paired.len() as f64, self.only_arm.len() as f64);
        let baselines = self.only_baseline.len() as f64;
        // V⁻¹ of a draw with both arms is [[other + apart, -other], [-other, other + apart]], of one with a single arm
        // it is `single`. X'V⁻¹X is [[a + b, -b], [-b, c + b]]; nothing below subtracts what grows with phi.
        let (other, apart, single) = (phi / (1.0 + 2.0 * phi), 1.0 / (1.0 + 2.0 * phi), 1.0 / (1.0 + phi));
        let (a, b, c) = (pairs * apart + arms * single, pairs * other, pairs * apart + baselines * single);
        let determinant = b * (a + c) + a * c;
        let sum = |values: &[f64]| values.iter().sum::<f64>() * single;
        let (mut of_arm, mut of_baseline) = (sum(self.only_arm), sum(self.only_baseline));
        let mut of_both = of_arm + of_baseline;
        for (arm, baseline) in self.paired {
            of_arm += apart * arm + other * (arm - baseline);
            of_baseline += apart * baseline - other * (arm - baseline);
            of_both += apart * (arm + baseline);
        }
        let arm = (b * of_both + c * of_arm) / determinant;
        let baseline = (b * of_both + a * of_baseline) / determinant;
        let pair = |(y, z): &(f64, f64)| {
            let (y, z) = (y - arm, z - baseline);
            0.5 * ((y + z) * (y + z) * apart + (y - z) * (y - z))
        };
        let alone = |values: &[f64], mean: f64| values.iter().map(|y| (y - mean).powi(2)).sum::<f64>() * single;
        Squares {
            difference: (c * of_arm - a * of_baseline) / determinant,
            variance: (a + c) / determinant,
            ln_determinants: pairs * (2.0 * phi).ln_1p() + (arms + baselines) * phi.ln_1p() + determinant.ln(),
            residual: self.paired.iter().map(pair).sum::<f64>()
                + alone(self.only_arm, arm)
                + alone(self.only_baseline, baseline),
        }
    }

    /// −2 times the restricted log likelihood at the best variance of the rest, less constants.
    fn deviance(&self, phi: f64) -> f64 {
        let at = self.squares(phi);
        at.ln_determinants + self.residual_df() * at.residual.ln()
    }

    /// The `ln phi` of the best fit; `None` where it is best without any variance of draws.
    fn best(&self) -> Option<f64> {
        const STEPS: (i32, i32) = (-28, 48);
        const STEP: f64 = 0.5;
        let deviance = |ln_phi: f64| self.deviance(ln_phi.exp());
        // There may be two minima: all of them are looked at.
        let places = STEPS.0..=STEPS.1;
        let places = places.map(|i| f64::from(i) * STEP).map(|ln_phi| (ln_phi, deviance(ln_phi)));
        let (at, least) = places.min_by(|a, b| a.1.total_cmp(&b.1))?;
        if at <= f64::from(STEPS.0) * STEP || self.deviance(0.0) <= least {
            return None;
        }
        // Golden section.
        let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
        let (mut low, mut high) = (at - STEP, at + STEP);
        while high - low > 1e-9 {
            let (left, right) = (high - golden * (high - low), low + golden * (high - low));
            if deviance(left) < deviance(right) {
                high = right;
            } else {
                low = left;
            }
        }
        Some(low.midpoint(high))
    }
}

/// First and second derivative of a function, by differences of fourth order.
fn derivatives(f: impl Fn(f64) -> f64, x: f64) -> (f64, f64) {
    const H: f64 = 0.01;
    let [a, b, c, d, e] = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|i| f(x + i * H));
    ((a - 8.0 * b + 8.0 * d - e) / (12.0 * H), (-a + 16.0 * b - 30.0 * c + 16.0 * d - e) / (12.0 * H * H))
}

/// Fits the model: at least one draw with both arms, and four means in all.
pub(crate) fn mixed(paired: &[(f64, f64)], only_arm: &[f64], only_baseline: &[f64]) -> Fit {
    let model = Model { paired, only_arm, only_baseline };
    let residual_df = model.residual_df();
    let best = model.best();
    let at = model.squares(best.map_or(0.0, f64::exp));
    let rest = at.residual / residual_df;
    // In the variables λ (logarithm of the variance of the rest) and x (of phi), f is the variance of the difference
    // and A twice the inverse of H, the matrix of second derivatives of the deviance. Satterthwaite's 2 f² / (f' A f')
    // is then 1 / (u' H⁻¹ u), where u is f' over f.
    let df = best.map_or(residual_df, |x| {
        let (determinants, residual, variance) = (
            derivatives(|x| model.squares(x.exp()).ln_determinants, x),
            derivatives(|x| model.squares(x.exp()).residual.ln(), x),
            derivatives(|x| model.squares(x.exp()).variance.ln(), x),
        );
        let (h_rest, h_both) = (residual_df, -residual_df * residual.0);
        let h_draws = determinants.1 + residual_df * (residual.1 + residual.0 * residual.0);
        // Of x alone, once λ follows it; none where the data say nothing of phi.
        let profile = h_draws - h_both * h_both / h_rest;
        let u = variance.0 - h_both / h_rest;
        let taken = if profile > 1e-8 { u * u / profile } else { 0.0 };
        (1.0 / h_rest + taken).recip()
    });
    Fit { difference: at.difference, standard_error: (rest * at.variance).sqrt(), df, sd: (2.0 * rest).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With both arms in every draw it is the paired t test, unless draws do not differ.
    #[test]
    fn balanced_draws_are_the_paired_test() {
        let paired = [(0.52, 0.50), (0.65, 0.60), (0.41, 0.37), (0.48, 0.47), (0.70, 0.66)];
        let fit = mixed(&paired, &[], &[]);
        let differences: Vec<f64> = paired.iter().map(|(a, b)| a - b).collect();
        let of = crate::sample::Moments::new(&differences, 1.0);
        assert!((fit.difference - of.mean).abs() < 1e-12, "{fit:?} {of:?}");
        assert!((fit.standard_error - of.sd / 5.0_f64.sqrt()).abs() < 1e-9 && (fit.sd - of.sd).abs() < 1e-9, "{fit:?}");
        assert!((fit.df - 4.0).abs() < 1e-5, "{fit:?}");
    }

    #[test]
    fn without_variance_of_draws_all_means_are_one_sample() {
        let fit = mixed(&[(0.2, 0.3), (0.3, 0.1), (0.1, 0.25)], &[0.2], &[]);
        assert_eq!(fit.df, 5.0);
    }
}

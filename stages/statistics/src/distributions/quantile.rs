//! Where a tail has a given size.

/// The `x` whose upper `tail` is `p`, for a distribution that is symmetric about 0 and whose tail's logarithm is
/// concave in `ln x` (normal, t). Newton's method in these logarithms, which from one side on never oversteps; a
/// bracket holds the first steps.
pub(super) fn upper_quantile(p: f64, tail: impl Fn(f64) -> f64, density: impl Fn(f64) -> f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p > 0.5 {
        return -upper_quantile(1.0 - p, tail, density);
    }
    if p == 0.5 {
        return 0.0;
    }
    if p == 0.0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (0.0, 2.0);
    while tail(high) > p {
        low = high;
        // Tails of few degrees of freedom reach far.
        high = (high * high).min(f64::MAX);
        if low == high {
            return high;
        }
    }
    let mut x = if p > 0.25 { (0.5 - p) / density(0.0) } else { low.midpoint(high) };
    for _ in 0..200 {
        let here = tail(x);
        if here > p {
            low = x;
        } else {
            high = x;
        }
        let step = (here / p).ln() * here / (x * density(x));
        let mut next = x * step.exp();
        if !(low..=high).contains(&next) {
            next = if low > 1.0 { (low.sqrt() * high.sqrt()).clamp(low, high) } else { low.midpoint(high) };
        }
        if (next - x).abs() <= 4e-16 * x {
            return next;
        }
        x = next;
    }
    x
}

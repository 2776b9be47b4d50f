//! Holm's correction for several tests at once.

/// Holm's step-down correction (Holm 1979): adjusted p-values in the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max(((p_values.len() - rank) as f64 * p_values[i]).min(1.0));
        adjusted[i] = largest;
    }
    adjusted
}

/// The same over a family in which some questions were not asked: these do not count, and stay as they are.
pub fn holm_of_asked(p_values: &[Option<f64>]) -> Vec<Option<f64>> {
    let asked: Vec<f64> = p_values.iter().flatten().copied().collect();
    let mut adjusted = holm(&asked).into_iter();
    p_values.iter().map(|p| p.and_then(|_| adjusted.next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_costs_nothing() {
        assert_eq!(holm_of_asked(&[Some(0.01), None, Some(0.04)]), [Some(0.02), None, Some(0.04)]);
        assert!(holm(&[]).is_empty());
    }
}

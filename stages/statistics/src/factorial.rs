//! Main effects and two-way interactions of a matrix in which every combination of levels is an arm.

/// A weighted sum of arms.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrast {
    /// Factor and level, by their places: one of a main effect, two of an interaction. Levels are set against level 0.
    pub of: Vec<(usize, usize)>,
    /// One weight per cell.
    pub weights: Vec<f64>,
}

impl Contrast {
    /// The contrast of one draw's (or one item's) scores; `None` where a cell that it needs has none.
    pub fn over(&self, cells: &[Option<f64>]) -> Option<f64> {
        let mut sum = 0.0;
        for (weight, score) in self.weights.iter().zip(cells).filter(|(weight, _)| **weight != 0.0) {
            sum += weight * (*score)?;
        }
        Some(sum)
    }
}

/// All contrasts of a full factorial design. `levels[f]` is the number of levels of factor `f`, the baseline the first;
/// cells are in the order in which the last factor changes fastest.
///
/// A *main effect* is what a level does against the baseline's, averaged over all combinations of the other factors. An
/// *interaction* is by how much that differs between a level of another factor and its baseline. To ask draws about
/// one, give each draw's [`Contrast::over`] to [`over_differences`](crate::over_differences); to ask items, each item's
/// to [`over_items`](crate::over_items).
pub fn contrasts(levels: &[usize]) -> Vec<Contrast> {
    let cells: usize = levels.iter().product();
    let level_of = |cell: usize, factor: usize| cell / levels[factor + 1..].iter().product::<usize>() % levels[factor];
    // 1 at the level, −1 at the baseline's.
    let sign = |cell, (factor, level)| match level_of(cell, factor) {
        0 => -1.0,
        here if here == level => 1.0,
        _ => 0.0,
    };
    let contrast = |of: Vec<(usize, usize)>| {
        let others = cells / of.iter().map(|(factor, _)| levels[*factor]).product::<usize>();
        let weight = |cell| of.iter().map(|one| sign(cell, *one)).product::<f64>() / others as f64;
        Contrast { weights: (0..cells).map(weight).collect(), of }
    };
    if cells == 0 {
        return Vec::new();
    }
    let single: Vec<(usize, usize)> =
        levels.iter().enumerate().flat_map(|(factor, n)| (1..*n).map(move |level| (factor, level))).collect();
    let pairs =
        single.iter().flat_map(|one| single.iter().filter(|other| other.0 > one.0).map(|other| vec![*one, *other]));
    single.iter().map(|one| vec![*one]).chain(pairs).map(contrast).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_that_were_built_in_are_found() {
        let levels = [2, 3, 2];
        // 5 for the first factor, 10 per level of the second, 0.5 more where both are at their last level.
        let score = |a: usize, b: usize, c: usize| {
            5.0 * a as f64 + 10.0 * b as f64 + if a == 1 && b == 2 { 0.5 } else { 0.0 } + 0.0 * c as f64
        };
        let mut cells = Vec::new();
        for a in 0..2 {
            for b in 0..3 {
                cells.extend([0, 1].map(|c| Some(score(a, b, c))));
            }
        }
        let found: Vec<(Vec<(usize, usize)>, f64)> =
            contrasts(&levels).into_iter().map(|c| (c.of.clone(), c.over(&cells).unwrap())).collect();
        let value = |of: &[(usize, usize)]| found.iter().find(|(other, _)| other == of).unwrap().1;
        assert_eq!(found.len(), 4 + 5);
        assert!((value(&[(0, 1)]) - (5.0 + 0.5 / 3.0)).abs() < 1e-12);
        assert!((value(&[(1, 1)]) - 10.0).abs() < 1e-12 && (value(&[(1, 2)]) - 20.25).abs() < 1e-12);
        assert!((value(&[(0, 1), (1, 2)]) - 0.5).abs() < 1e-12 && value(&[(0, 1), (1, 1)]).abs() < 1e-12);
        assert!(value(&[(2, 1)]).abs() < 1e-12);
    }

    #[test]
    fn a_missing_cell_is_missed_by_what_needs_it_alone() {
        let cells = [Some(1.0), Some(2.0), None];
        let of = contrasts(&[3]);
        assert_eq!((of[0].over(&cells), of[1].over(&cells)), (Some(1.0), None));
        assert!(contrasts(&[]).is_empty() && contrasts(&[2, 0]).is_empty() && contrasts(&[1]).is_empty());
    }
}

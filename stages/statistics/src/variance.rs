//! Where the spread of scores comes from: draws, items, or the chance of single answers.
//!
//! Scores are crossed: every draw of every arm answers the same items. The mean squares of that table are set equal to
//! what they would be on average (method of moments; arms fixed, all else random), which for complete tables is what
//! REML gives, unless a component comes out negative. Then it is 0, and marked.

use crate::{draws::NotAsked, invalid::Invalid};

/// One component of variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// The variance.
    pub variance: f64,
    /// Whether it came out negative, and stands as 0.
    pub truncated: bool,
}

impl Component {
    fn new(variance: f64) -> Self {
        // What is negative by rounding is 0 anyway.
        Self { variance: variance.max(0.0), truncated: variance < -1e-15 }
    }
}

/// Components of the variance of single scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variance {
    /// Draws and items that every arm has, of which all else is computed.
    pub draws: usize,
    /// See `draws`.
    pub items: usize,
    /// Draws that an arm lacks altogether.
    pub draws_left_out: usize,
    /// Items that are missing, or no number, in some draw of some arm.
    pub items_left_out: usize,
    /// Draws that are better or worse in all arms alike; pairing by draw takes it away.
    pub draw: Component,
    /// Draws in which one arm is better or worse: what the question over draws has to overcome. `None` with one arm.
    pub arm_draw: Option<Component>,
    /// Items that are easy or hard for all arms; pairing by item takes it away.
    pub item: Component,
    /// Items that are easy or hard for one arm. `None` with one arm.
    pub arm_item: Option<Component>,
    /// The rest, which differs from answer to answer: sampling, and items that one draw happens to know.
    pub sampling: Component,
}

impl Variance {
    /// What draws, items and sampling have of the whole; `None` without any variance.
    pub fn shares(&self) -> Option<(f64, f64, f64)> {
        let of = |component: Option<Component>| component.map_or(0.0, |component| component.variance);
        let (draws, items) = (self.draw.variance + of(self.arm_draw), self.item.variance + of(self.arm_item));
        let whole = draws + items + self.sampling.variance;
        (whole > 0.0).then(|| (draws / whole, items / whole, self.sampling.variance / whole))
    }
}

/// Sums of squares of the means of a complete table over some of its three ways, about what the ways below explain.
struct Table<'a> {
    scores: &'a [Vec<Vec<f64>>],
    lengths: [usize; 3],
}

impl Table<'_> {
    /// Sum of squares of the means over all ways but `kept`, each as often as it stands for scores.
    fn raw(&self, kept: [bool; 3]) -> f64 {
        let [a, d, i] = self.lengths;
        let size = |way: usize| if kept[way] { self.lengths[way] } else { 1 };
        let mut sums = vec![0.0; size(0) * size(1) * size(2)];
        for (arm, draws) in self.scores.iter().enumerate() {
            for (draw, items) in draws.iter().enumerate() {
                for (item, score) in items.iter().enumerate() {
                    let at = |way: usize, index: usize| if kept[way] { index } else { 0 };
                    sums[(at(0, arm) * size(1) + at(1, draw)) * size(2) + at(2, item)] += score;
                }
            }
        }
        let each = (a * d * i / sums.len()) as f64;
        sums.iter().map(|sum| sum * sum).sum::<f64>() / each
    }

    /// The mean square of an interaction of `ways`, less all that is contained in it.
    fn mean_square(&self, ways: [bool; 3]) -> f64 {
        let (mut sum, mut df) = (0.0, 1.0);
        for subset in 0..8_u32 {
            let kept = [0, 1, 2].map(|way| subset >> way & 1 == 1);
            if (0..3).all(|way| ways[way] || !kept[way]) {
                let missing = (0..3).filter(|way| ways[*way] && !kept[*way]).count();
                sum += if missing % 2 == 0 { self.raw(kept) } else { -self.raw(kept) };
            }
        }
        for way in (0..3).filter(|way| ways[*way]) {
            df *= (self.lengths[way] - 1) as f64;
        }
        // Of scores that are all alike, rounding is left.
        let rounding = 1e-14 * self.raw([true; 3]);
        if sum.abs() < rounding { 0.0 } else { sum / df }
    }
}

/// The components of `scores[arm][draw][item]`, with items in the same order everywhere and `None` where there is no
/// score; or why there are none: that takes two draws and two items that all arms have.
///
/// # Errors
/// Lists of items, or of draws, of different length.
pub fn variance(scores: &[Vec<Vec<Option<f64>>>]) -> Result<Result<Variance, NotAsked>, Invalid> {
    let (all_draws, all_items) = (scores.first().map_or(0, Vec::len), longest(scores));
    for arm in scores {
        crate::invalid::same_length(("draws of an arm", arm.len()), ("draws of the first", all_draws))?;
        for draw in arm.iter().filter(|draw| !draw.is_empty()) {
            crate::invalid::same_length(("items of a draw", draw.len()), ("items of another", all_items))?;
        }
    }
    let score = |arm: usize, draw: usize, item: usize| {
        scores[arm][draw].get(item).copied().flatten().filter(|score| score.is_finite())
    };
    let arms = scores.len();
    let has_all = |draw: &usize| (0..arms).all(|arm| (0..all_items).any(|item| score(arm, *draw, item).is_some()));
    let draws: Vec<usize> = (0..all_draws).filter(has_all).collect();
    let is_whole = |item: &usize| (0..arms).all(|arm| draws.iter().all(|draw| score(arm, *draw, *item).is_some()));
    let items: Vec<usize> = (0..all_items).filter(is_whole).collect();
    if draws.is_empty() {
        return Ok(Err(NotAsked::NoDraws));
    }
    if draws.len() == 1 {
        return Ok(Err(NotAsked::OneDraw));
    }
    if items.len() < 2 {
        return Ok(Err(NotAsked::FewItems));
    }
    let whole: Vec<Vec<Vec<f64>>> = (0..arms)
        .map(|arm| {
            draws.iter().map(|draw| items.iter().filter_map(|item| score(arm, *draw, *item)).collect()).collect()
        })
        .collect();
    let (a, d, i) = (arms as f64, draws.len() as f64, items.len() as f64);
    let table = Table { scores: &whole, lengths: [arms, draws.len(), items.len()] };
    let square = |arm, draw, item| table.mean_square([arm, draw, item]);
    let (of_draw, of_item) = (square(false, true, false), square(false, false, true));
    let of_both = square(false, true, true);
    let counted = Variance {
        draws: draws.len(),
        items: items.len(),
        draws_left_out: all_draws - draws.len(),
        items_left_out: all_items - items.len(),
        draw: Component::new((of_draw - of_both) / i),
        arm_draw: None,
        item: Component::new((of_item - of_both) / d),
        arm_item: None,
        sampling: Component::new(of_both),
    };
    if arms == 1 {
        return Ok(Ok(counted));
    }
    let (of_arm_draw, of_arm_item, rest) =
        (square(true, true, false), square(true, false, true), square(true, true, true));
    let draw_item = Component::new((of_both - rest) / a);
    Ok(Ok(Variance {
        draw: Component::new((of_draw - of_arm_draw - of_both + rest) / (a * i)),
        arm_draw: Some(Component::new((of_arm_draw - rest) / i)),
        item: Component::new((of_item - of_arm_item - of_both + rest) / (a * d)),
        arm_item: Some(Component::new((of_arm_item - rest) / d)),
        sampling: Component { variance: draw_item.variance + rest, truncated: draw_item.truncated },
        ..counted
    }))
}

fn longest(scores: &[Vec<Vec<Option<f64>>>]) -> usize {
    scores.iter().flatten().map(Vec::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lengths: [usize; 3], score: impl Fn(usize, usize, usize) -> Option<f64>) -> Vec<Vec<Vec<Option<f64>>>> {
        let [arms, draws, items] = lengths;
        let draw = |arm, draw| (0..items).map(|item| score(arm, draw, item)).collect();
        (0..arms).map(|arm| (0..draws).map(|d| draw(arm, d)).collect()).collect()
    }

    #[test]
    fn what_is_missing_anywhere_is_left_out_everywhere_and_counted() {
        let score = |_: usize, draw: usize, item: usize| item as f64 + 0.1 * draw as f64;
        let whole = variance(&table([2, 3, 4], |a, d, i| Some(score(a, d, i)))).unwrap().unwrap();
        let holes = table([2, 5, 6], |arm, draw, item| match (arm, draw, item) {
            (1, 3 | 4, _) => None,
            (0, 1, 4) => None,
            (1, 2, 5) => Some(f64::NAN),
            _ => Some(score(arm, draw, item)),
        });
        let found = variance(&holes).unwrap().unwrap();
        assert_eq!((found.draws, found.items, found.draws_left_out, found.items_left_out), (3, 4, 2, 2));
        assert_eq!((found.draw, found.item, found.sampling), (whole.draw, whole.item, whole.sampling));
        let (draws, items, sampling) = whole.shares().unwrap();
        assert!(items > 0.98 && draws > 0.0 && sampling.abs() < 1e-12, "{whole:?}");
    }

    #[test]
    fn a_component_below_nothing_is_nothing_and_marked() {
        // Every draw has the same mean, though single answers differ: less spread of draws than chance would give.
        let found =
            variance(&table([1, 2, 2], |_, draw, item| Some(f64::from(u8::from(draw == item))))).unwrap().unwrap();
        assert_eq!((found.draw, found.item), (Component { variance: 0.0, truncated: true }, found.draw));
        assert_eq!((found.arm_draw, found.shares()), (None, Some((0.0, 0.0, 1.0))));
    }

    #[test]
    fn too_little_is_not_asked() {
        let of = |lengths| variance(&table(lengths, |_, _, item| Some(item as f64))).unwrap();
        assert_eq!(of([2, 1, 5]).err(), Some(NotAsked::OneDraw));
        assert_eq!(of([2, 3, 1]).err(), Some(NotAsked::FewItems));
        assert_eq!(of([0, 0, 0]).err(), Some(NotAsked::NoDraws));
        assert_eq!(of([2, 3, 0]).err(), Some(NotAsked::NoDraws));
        let alike = variance(&table([2, 2, 3], |_, _, _| Some(0.3))).unwrap().unwrap();
        assert_eq!(alike.shares(), None);
        let uneven = vec![vec![vec![Some(1.0)]], vec![vec![Some(1.0)], vec![]]];
        assert!(variance(&uneven).is_err());
    }
}

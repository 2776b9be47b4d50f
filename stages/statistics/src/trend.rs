//! A trend along a numeric factor: dose and response.

use crate::{
    draws::{NotAsked, over_scaled},
    invalid::{Invalid, numbers, same_length},
    t_test::TTest,
};

/// What the slope is per.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A doubling of the level.
    Doubling,
    /// One more of it, where there is a level of 0 or below, which has no doublings.
    Unit,
}

/// How the score follows the level.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// What slopes are per.
    pub scale: Scale,
    /// The least-squares slope of every draw that has all levels.
    pub slopes: Vec<f64>,
    /// Draws that lack a level: their slopes would be of another precision.
    pub left_out: usize,
    /// The mean slope, and whether it is one; or why that was not asked.
    pub test: Result<TTest, NotAsked>,
}

/// The trend of `draws[i][k]`, the mean score of draw `i` at `levels[k]`. Slopes of draws are the sample: a draw's
/// points share its seeds, and are not independent.
///
/// # Errors
/// Levels or scores that are no numbers, draws of another length, a confidence that is none.
pub fn trend(levels: &[f64], draws: &[Vec<Option<f64>>], confidence: f64) -> Result<Trend, Invalid> {
    numbers("level", levels)?;
    let scale = if levels.iter().all(|level| *level > 0.0) { Scale::Doubling } else { Scale::Unit };
    let x: Vec<f64> = levels.iter().map(|level| if scale == Scale::Doubling { level.log2() } else { *level }).collect();
    let centre = x.iter().sum::<f64>() / x.len() as f64;
    let squares: f64 = x.iter().map(|x| (x - centre).powi(2)).sum();
    let mut slopes = Vec::new();
    for draw in draws {
        same_length(("scores of a draw", draw.len()), ("levels", levels.len()))?;
        if let Some(scores) = draw.iter().copied().collect::<Option<Vec<f64>>>() {
            numbers("score of a draw", &scores)?;
            slopes.push(x.iter().zip(&scores).map(|(x, score)| (x - centre) * score).sum::<f64>() / squares);
        }
    }
    let left_out = draws.len() - slopes.len();
    if levels.iter().all(|level| *level == levels[0]) {
        return Ok(Trend { scale, slopes: Vec::new(), left_out, test: Err(NotAsked::OneLevel) });
    }
    // Rounding of scores between 0 and 1 reaches slopes through the root of this.
    let test = over_scaled(&slopes, squares.sqrt().recip(), confidence)?;
    Ok(Trend { scale, slopes, left_out, test })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_per_doubling_where_levels_allow_it() {
        let draws =
            [vec![Some(0.1), Some(0.2), Some(0.3)], vec![Some(0.1), Some(0.3), Some(0.5)], vec![Some(0.1), None, None]];
        let found = trend(&[10.0, 20.0, 40.0], &draws, 0.95).unwrap();
        assert!((found.slopes[0] - 0.1).abs() < 1e-15 && (found.slopes[1] - 0.2).abs() < 1e-15, "{found:?}");
        assert_eq!((found.scale, found.left_out), (Scale::Doubling, 1));
        assert!((found.test.unwrap().difference - 0.15).abs() < 1e-15);
        let units = trend(&[0.0, 1.0, 2.0], &draws, 0.95).unwrap();
        assert_eq!(units.scale, Scale::Unit);
    }

    #[test]
    fn one_draw_and_one_level_are_not_asked() {
        let draws = [vec![Some(0.1), Some(0.2)]];
        assert_eq!(trend(&[1.0, 2.0], &draws, 0.95).unwrap().test, Err(NotAsked::OneDraw));
        assert_eq!(trend(&[2.0, 2.0], &draws, 0.95).unwrap().test, Err(NotAsked::OneLevel));
        assert_eq!(trend(&[], &[], 0.95).unwrap().test, Err(NotAsked::OneLevel));
        assert_eq!(trend(&[1.0, 2.0], &[], 0.95).unwrap().test, Err(NotAsked::NoDraws));
        assert!(trend(&[1.0], &draws, 0.95).is_err() && trend(&[f64::NAN, 1.0], &draws, 0.95).is_err());
    }
}

//! From numbers to places, and the numbers that an axis names.

use crate::text::count;

/// A scale of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scale {
    /// Equal steps are equally long.
    Linear { min: f64, max: f64 },
    /// Equal factors are equally long. With `zero`, zero has a place left of all others, which is none of the scale.
    Log { min: f64, max: f64, zero: bool },
    /// Names, in their order.
    Names(Vec<String>),
}

/// The share of an axis that zero takes on a logarithmic one.
const ZERO: f64 = 0.12;
/// The share of a logarithmic axis that is free at both ends.
const ROOM: f64 = 0.04;

impl Scale {
    /// Around all of these numbers, with room at both ends.
    pub(crate) fn around(values: impl IntoIterator<Item = f64>) -> Self {
        let (min, max) = ends(values).unwrap_or((0.0, 1.0));
        let room = (max - min) * 0.06;
        let room = if room > 0.0 { room } else { (min.abs() * 0.1).max(0.05) };
        Scale::Linear { min: min - room, max: max + room }
    }

    /// For the levels of a factor, say: logarithmic where the largest is many times the
    /// smallest, and none is negative.
    pub(crate) fn of_levels(levels: &[f64]) -> Self {
        let positive = ends(levels.iter().copied().filter(|&x| x > 0.0));
        match positive {
            Some((min, max)) if max >= 8.0 * min && levels.iter().all(|&x| x >= 0.0) => {
                Scale::Log { min, max, zero: levels.contains(&0.0) }
            }
            _ => Self::around(levels.iter().copied()),
        }
    }

    /// The place of a number, as a share of the axis.
    pub(crate) fn at(&self, x: f64) -> f64 {
        match self {
            Scale::Linear { min, max } => (x - min) / (max - min),
            Scale::Log { zero: true, .. } if x <= 0.0 => ROOM,
            Scale::Log { min, max, zero } => {
                let from = ROOM + if *zero { ZERO } else { 0.0 };
                from + (1.0 - from - ROOM) * (x / min).ln() / (max / min).ln()
            }
            Scale::Names(names) => (x + 0.5) / names.len().max(1) as f64,
        }
    }

    /// What an axis with room for `room` numbers names.
    pub(crate) fn ticks(&self, room: usize) -> Vec<(f64, String)> {
        match self {
            Scale::Linear { min, max } => linear_ticks(*min, *max, room),
            Scale::Log { min, max, zero } => {
                let ticks = log_ticks(*min, *max, room).into_iter().map(|x| (x, tick(x, 0)));
                zero.then(|| (0.0, "0".to_owned())).into_iter().chain(ticks).collect()
            }
            Scale::Names(names) => names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect(),
        }
    }
}

/// The smallest and the largest of what is a number.
pub(super) fn ends(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let values = values.into_iter().filter(|x| x.is_finite());
    values.fold(None, |ends, x| match ends {
        None => Some((x, x)),
        Some((min, max)) => Some((x.min(min), x.max(max))),
    })
}

/// Multiples of 1, 2 or 5 times a power of ten, at most `room` of them.
fn linear_ticks(min: f64, max: f64, room: usize) -> Vec<(f64, String)> {
    let rough = (max - min) / room.max(1) as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return Vec::new();
    }
    let mut power = rough.log10().floor() as i32;
    let steps = [1.0, 2.0, 5.0].into_iter().find(|step| step * 10f64.powi(power) >= rough * 0.999_999);
    let digit = steps.unwrap_or_else(|| {
        power += 1;
        1.0
    });
    let step = digit * 10f64.powi(power);
    let decimals = usize::try_from(-power).unwrap_or(0);
    let (first, last) = ((min / step).ceil(), (max / step).floor());
    let places = (0..).map(|i| first + f64::from(i)).take_while(|&place| place <= last).take(room + 2);
    places.map(|place| (place * step, tick(place * step, decimals))).collect()
}

/// Powers of ten; with twice and five times them where there is room; the ends where there is no power between them.
fn log_ticks(min: f64, max: f64, room: usize) -> Vec<f64> {
    let (low, high) = (min.log10().floor() as i32, max.log10().ceil() as i32);
    let within = |digits: &[f64]| -> Vec<f64> {
        let all = (low..=high).flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        all.filter(|&x| x >= min * 0.999_999 && x <= max * 1.000_001).collect()
    };
    let (powers, fine) = (within(&[1.0]), within(&[1.0, 2.0, 5.0]));
    if fine.len() <= room {
        return fine;
    }
    let every = powers.len().div_ceil(room.max(1)).max(1);
    powers.into_iter().step_by(every).collect()
}

/// A number below an axis.
pub(super) fn tick(x: f64, decimals: usize) -> String {
    let size = x.abs();
    let text = if x == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e7).contains(&size) {
        format!("{x:e}")
    } else if size >= 1000.0 && decimals == 0 && size.fract() == 0.0 {
        format!("{}{}", if x < 0.0 { "-" } else { "" }, count(size as u64))
    } else if decimals == 0 {
        format!("{x}")
    } else {
        format!("{x:.decimals$}")
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(scale: &Scale, room: usize) -> Vec<String> {
        scale.ticks(room).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(named(&Scale::Linear { min: -0.03, max: 0.081 }, 6), ["−0.02", "0", "0.02", "0.04", "0.06", "0.08"]);
        assert_eq!(named(&Scale::Linear { min: 0.0, max: 3200.0 }, 5), ["0", "1,000", "2,000", "3,000"]);
        for room in 2..9 {
            for (min, max) in [(0.0, 1.0), (-1e-9, 1e-9), (0.3, 0.300_01), (-1e12, 7e12)] {
                let ticks = Scale::Linear { min, max }.ticks(room);
                assert!((1..=room + 1).contains(&ticks.len()), "{room} {min} {max}: {ticks:?}");
            }
        }
    }

    #[test]
    fn levels_that_span_decades_are_logarithmic_and_zero_has_a_place_of_its_own() {
        let levels = [0.0, 1000.0, 5000.0, 20000.0];
        let scale = Scale::of_levels(&levels);
        assert_eq!(scale, Scale::Log { min: 1000.0, max: 20000.0, zero: true });
        assert_eq!(named(&scale, 8), ["0", "1,000", "2,000", "5,000", "10,000", "20,000"]);
        let places = levels.map(|x| scale.at(x));
        assert!(places.is_sorted() && places[0] == ROOM && (places[3] - 1.0 + ROOM).abs() < 1e-9, "{places:?}");
        assert!(matches!(Scale::of_levels(&[20.0, 40.0, 80.0, 160.0]), Scale::Log { zero: false, .. }));
        assert!(matches!(Scale::of_levels(&[20.0, 40.0, 60.0]), Scale::Linear { .. }));
        assert!(matches!(Scale::of_levels(&[-1.0, 1000.0]), Scale::Linear { .. }));
        assert_eq!(named(&Scale::of_levels(&[1e-5, 1e-2]), 5), ["1e−5", "0.0001", "0.001", "0.01"]);
        assert_eq!(named(&Scale::of_levels(&[1e-5, 1e2]), 4).len(), 4);
    }

    #[test]
    fn scales_of_nothing_and_of_one_number_have_places() {
        for scale in [Scale::around([]), Scale::around([0.5]), Scale::around([f64::NAN, 0.5, f64::INFINITY])] {
            assert!((0.0..=1.0).contains(&scale.at(0.5)), "{scale:?}");
            assert!(!scale.ticks(5).is_empty(), "{scale:?}");
        }
        assert_eq!(Scale::of_levels(&[]), Scale::around([]));
        let one = Scale::Names(vec!["a".to_owned()]);
        assert_eq!((one.at(0.0), Scale::Names(Vec::new()).ticks(3)), (0.5, Vec::new()));
    }
}

//! Axes: numbers with faint lines through the plot, and what they count.

use super::canvas::{Anchor, Canvas, fitting, width_of};
use super::scale::Scale;

/// Where a plot lies in its picture.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Frame {
    pub(super) fn x(&self, scale: &Scale, x: f64) -> f64 {
        self.left + self.width * scale.at(x)
    }

    pub(super) fn y(&self, scale: &Scale, y: f64) -> f64 {
        self.top + self.height * (1.0 - scale.at(y))
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }
}

/// The axis below, with its name. Numbers that would touch their left neighbour have a line and no name. `ticks` are
/// given, or those that the scale likes.
pub(super) fn below(canvas: &mut Canvas, frame: Frame, scale: &Scale, ticks: Option<Vec<(f64, String)>>, name: &str) {
    let names = matches!(scale, Scale::Names(_));
    let ticks = ticks.unwrap_or_else(|| scale.ticks((frame.width / 52.0) as usize));
    let most = if names { frame.width / ticks.len().max(1) as f64 - 4.0 } else { f64::INFINITY };
    let mut taken = f64::NEG_INFINITY;
    for (value, label) in ticks {
        let x = frame.x(scale, value);
        if !names {
            canvas.line((x, frame.top), (x, frame.bottom()), "grid");
        }
        let label = fitting(&label, most.max(14.0));
        let half = width_of(&label) / 2.0;
        if x - half > taken {
            canvas.text((x, frame.bottom() + 16.0), Anchor::Middle, "tick", &label);
            taken = x + half + 4.0;
        }
    }
    if let Scale::Log { zero: true, min, .. } = scale {
        // Zero is not on the scale: two strokes through the axis say so.
        let x = f64::midpoint(frame.x(scale, 0.0), frame.x(scale, *min));
        for x in [x - 2.0, x + 2.0] {
            canvas.line((x - 2.0, frame.bottom() + 4.0), (x + 2.0, frame.bottom() - 4.0), "axis");
        }
    }
    canvas.line((frame.left, frame.bottom()), (frame.right(), frame.bottom()), "axis");
    canvas.text((f64::midpoint(frame.left, frame.right()), frame.bottom() + 34.0), Anchor::Middle, "name", name);
}

/// The axis at the left; its name stands above it, where it needs no turning of heads.
pub(super) fn left(canvas: &mut Canvas, frame: Frame, scale: &Scale, name: &str) {
    for (value, label) in scale.ticks((frame.height / 40.0) as usize) {
        let y = frame.y(scale, value);
        canvas.line((frame.left, y), (frame.right(), y), "grid");
        canvas.text((frame.left - 6.0, y + 4.0), Anchor::End, "tick", &label);
    }
    canvas.text((frame.left - 6.0, frame.top - 10.0), Anchor::Start, "name", name);
}

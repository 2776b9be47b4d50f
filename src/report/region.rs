//! The last lines of a terminal, drawn again and again while other lines are printed above them.
//!
//! The cursor rests at the beginning of the line below the region: what a keyboard or another program writes there is
//! overwritten by the next drawing.

use crate::output::rendered;

/// Columns and lines of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub width: usize,
    pub height: usize,
}

impl Size {
    /// That of the terminal behind stderr, now; what a terminal has if it does not tell.
    pub(super) fn now() -> Self {
        let told = terminal_size::terminal_size_of(std::io::stderr());
        let (width, height) = told.map_or((80, 24), |(width, height)| (width.0.into(), height.0.into()));
        // Some have no size, such as those of programs that stand in for terminals.
        Self { width: if width == 0 { 80 } else { width }, height: if height == 0 { 24 } else { height } }
    }
}

/// A line of the region, and how wide it is without its colours.
pub(super) struct Line {
    pub text: String,
    pub width: usize,
}

/// What is drawn.
#[derive(Debug, Default)]
pub(super) struct Region {
    /// The widths of the lines.
    drawn: Vec<usize>,
    width: usize,
}

impl Region {
    /// What a terminal has to be told so that `above` is printed and `lines` stand below it in place of what is drawn.
    pub(super) fn redraw(&mut self, above: &str, lines: &[Line], size: Size) -> String {
        let mut out = String::new();
        // A terminal that became narrower has broken lines that are too long for it.
        let rows = |width: &usize| if size.width < self.width { width.div_ceil(size.width).max(1) } else { 1 };
        let up: usize = self.drawn.iter().map(rows).sum();
        let cursor_up = format!("\x1b[{up}A");
        if up > 0 {
            out += &cursor_up;
        }
        out += "\r";
        // Line by line: some terminals keep what is cleared as a whole among what has scrolled away.
        if up > 0 && (!above.is_empty() || lines.len() < up) {
            out += &"\x1b[K\n".repeat(up);
            out += "\x1b[K";
            out += &cursor_up;
        }
        if !above.is_empty() {
            out += &rendered(above);
            out += if above.ends_with('\n') { "" } else { "\n" };
        }
        for line in lines {
            out += &rendered(&line.text);
            out += "\x1b[K\n";
        }
        out += "\x1b[K";
        self.drawn = lines.iter().map(|line| line.width).collect();
        self.width = size.width;
        out
    }

    /// Whether anything is drawn.
    pub(super) fn is_empty(&self) -> bool {
        self.drawn.is_empty()
    }
}

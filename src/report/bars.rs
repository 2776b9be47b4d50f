//! Live bars on a terminal: one line for the run, and one above it for every stage that is running.

use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pipe_engine::events::{Event, EventKind, Live, LiveStage};

use super::{
    Reporter,
    lines::{line, problem},
    region::{Line, Region, Size},
    ticker::Ticker,
    view::{RunView, StageView, live_stage},
};
use crate::output::{self, broken, clip, clock, color_on_stderr, cut, fold, paint, style, wide};

/// Between two drawings. Lines are printed with the next one.
const EVERY: Duration = Duration::from_millis(100);
const LABEL_WIDTH: usize = 40;
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// The reporter for terminals.
pub(crate) struct Bars {
    screen: Arc<Mutex<Screen>>,
    ticker: Option<Ticker>,
}

struct Screen {
    view: RunView,
    region: Region,
    /// Printed with the next drawing.
    above: String,
    drawn: Option<Instant>,
    turns: usize,
    color: bool,
}

impl Default for Bars {
    fn default() -> Self {
        let screen = Arc::new(Mutex::new(Screen {
            view: RunView::default(),
            region: Region::default(),
            above: String::new(),
            drawn: None,
            turns: 0,
            color: color_on_stderr(),
        }));
        let (ticking, saying) = (Arc::clone(&screen), Arc::clone(&screen));
        output::say_through(Some(Box::new(move |text| {
            let mut screen = saying.lock();
            screen.print(text);
            screen.draw();
        })));
        let ticker = Ticker::start(EVERY, move || ticking.lock().tick());
        Self { screen, ticker: Some(ticker) }
    }
}

impl Reporter for Bars {
    fn event(&mut self, event: &Event) {
        let mut screen = self.screen.lock();
        screen.view.see(event);
        // Of a stage that has a line, the line says it.
        let waits = matches!(&event.kind, EventKind::Waiting { .. }) && !screen.view.running.is_empty();
        let text = problem(&event.kind).or_else(|| line(&event.kind).filter(|_| !waits));
        if let Some(text) = text {
            screen.print(&broken(&text, Size::now().width));
            // Many lines in succession are printed together.
            if screen.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY / 2) {
                screen.draw();
            }
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.ticker = None;
        output::say_through(None);
        let mut screen = self.screen.lock();
        screen.view.worked = false;
        screen.draw();
    }
}

impl Screen {
    fn print(&mut self, text: &str) {
        self.above += text;
        self.above.push('\n');
    }

    fn tick(&mut self) {
        self.turns += 1;
        if self.view.worked || !self.above.is_empty() {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let size = Size::now();
        let lines =
            if self.view.worked { lines(&self.view, self.view.now(), self.turns, size, self.color) } else { vec![] };
        if lines.is_empty() && self.region.is_empty() && self.above.is_empty() {
            return;
        }
        let text = self.region.redraw(&std::mem::take(&mut self.above), &lines, size);
        // A terminal that cannot be written to is gone, and the run goes on.
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
        self.drawn = Some(Instant::now());
    }
}

/// The lines of the stages that are running, as many as there is room for, and that of the run.
fn lines(view: &RunView, now: f64, turn: usize, size: Size, color: bool) -> Vec<Line> {
    let room = size.height.saturating_sub(3).max(1);
    let shown = if view.running.len() > room { room - 1 } else { view.running.len() };
    let longest = view.running[..shown].iter().map(|stage| wide(&stage.label)).max().unwrap_or(0);
    let label = longest.min(LABEL_WIDTH).min(size.width * 2 / 5);
    let spinner = SPINNER[turn % SPINNER.len()];
    let mut lines: Vec<Line> =
        view.running[..shown].iter().map(|stage| stage_line(stage, label, spinner, now, size.width, color)).collect();
    if shown < view.running.len() {
        let mut more = Pieces::new(size.width, color);
        more.add(&format!("  and {} more running", view.running.len() - shown), style::DIM);
        lines.push(more.line());
    }
    let elsewhere = elsewhere(view);
    // Of what others do, as much as there is room for; that of this process goes first.
    let free = room.saturating_sub(lines.len());
    let told = if elsewhere.len() > free { free.saturating_sub(1) } else { elsewhere.len() };
    for text in &elsewhere[..told] {
        lines.push(dim_line(text, size.width, color));
    }
    if told < elsewhere.len() && free > 0 {
        lines.push(dim_line(&format!("  and {} more elsewhere", elsewhere.len() - told), size.width, color));
    }
    lines.push(run_line(view, now, size.width, color));
    lines
}

/// What other processes compute, a line for each of their stages.
fn elsewhere(view: &RunView) -> Vec<String> {
    let of = |run: &Live| {
        let at = |stage: &LiveStage| format!("  {}  {}  {}", stage.label, live_stage(stage), run.owner());
        run.stages.iter().filter(|stage| stage.waits_for.is_none()).map(at).collect::<Vec<_>>()
    };
    view.elsewhere.iter().flat_map(of).collect()
}

fn dim_line(text: &str, width: usize, color: bool) -> Line {
    let mut pieces = Pieces::new(width, color);
    pieces.add(text, style::DIM);
    pieces.line()
}

/// `⠋ label  ━━━━╸────  620/1,000 rows  733 attempts  eta 40s`: as many words as there is room for, by importance.
fn stage_line(stage: &StageView, label: usize, spinner: char, now: f64, width: usize, color: bool) -> Line {
    let mut pieces = Pieces::new(width, color);
    pieces.add(&format!("{spinner} "), style::NEW);
    let name = fold(&stage.label, label);
    pieces.add(&format!("{name}{}", " ".repeat(label - wide(&name))), "");
    let (share, mut bar) = (stage.share(), None);
    let mut left = pieces.left();
    let mut words = Vec::new();
    let all = stage.words(now);
    // What comes before the bar in importance, and what after it.
    let extra = all.iter().position(|word| word.extra).unwrap_or(all.len());
    for (i, word) in all.iter().enumerate() {
        if i == extra {
            bar = bar_columns(left);
            left -= bar.filter(|_| share.is_some()).map_or(0, |columns| columns + 2);
        }
        let text = clip(&word.text, 200);
        let needs = wide(&text) + 2;
        // The first is cut where there is no room for it, the others are left out.
        if needs <= left || words.is_empty() {
            left = left.saturating_sub(needs);
            words.push((word.place, text));
        }
    }
    if extra == all.len() {
        bar = bar_columns(left);
    }
    if let (Some(share), Some(columns)) = (share, bar) {
        pieces.add("  ", "");
        pieces.bar(share, columns, style::NEW);
    }
    words.sort_by_key(|(place, _)| *place);
    for (place, text) in words {
        pieces.add("  ", "");
        pieces.add(&text, if place > 0 { style::DIM } else { "" });
    }
    pieces.line()
}

/// How long a bar there is room for, if any.
fn bar_columns(left: usize) -> Option<usize> {
    match left {
        0..12 => None,
        12..36 => Some(10),
        _ => Some(20),
    }
}

fn run_line(view: &RunView, now: f64, width: usize, color: bool) -> Line {
    let mut pieces = Pieces::new(width, color);
    pieces.add(&fold(&view.pipeline, LABEL_WIDTH.min(width * 2 / 5)), style::BOLD);
    pieces.add("  ", "");
    pieces.bar(view.over as f64 / view.selected.max(1) as f64, if width >= 100 { 30 } else { 20 }, style::GOOD);
    pieces.add(&format!("  {}/{} stages", view.over, view.selected), "");
    if view.failed > 0 {
        pieces.add(&format!("  {} failed", view.failed), style::ERROR);
    }
    pieces.add(&format!("  {}", clock(now)), style::DIM);
    pieces.line()
}

/// A line that is put together from the left, and never gets wider than the terminal.
struct Pieces {
    text: String,
    width: usize,
    most: usize,
    color: bool,
}

impl Pieces {
    fn new(columns: usize, color: bool) -> Self {
        // In the last column, terminals differ in what comes next.
        Self { text: String::new(), width: 0, most: columns.saturating_sub(1), color }
    }

    fn left(&self) -> usize {
        self.most - self.width
    }

    fn add(&mut self, text: &str, style: &str) {
        let text = cut(text, self.left());
        self.width += wide(&text);
        if style.is_empty() || text.trim().is_empty() {
            self.text += &text;
        } else {
            self.text += &paint(text, style, self.color);
        }
    }

    fn bar(&mut self, share: f64, columns: usize, style: &str) {
        let halves = (share * 2.0 * columns as f64) as usize;
        let done = "━".repeat(halves / 2) + if halves % 2 == 1 { "╸" } else { "" };
        let rest = "─".repeat(columns - wide(&done));
        self.add(&done, style);
        self.add(&rest, style::DIM);
    }

    fn line(self) -> Line {
        Line { text: self.text, width: self.width }
    }
}

#[cfg(test)]
mod tests {
    use pipe_engine::events::Measure;

    use super::*;
    use crate::report::view::tests::{progress, running};

    fn shown(view: &RunView, now: f64, width: usize) -> Vec<String> {
        let lines = lines(view, now, 0, Size { width, height: 24 }, false);
        for line in &lines {
            assert!(wide(&line.text) == line.width && line.width < width, "{}", line.text);
        }
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn there_is_room_for_what_matters_at_every_width() {
        let mut view = running("instructions@n_synthetic=1000");
        for second in 0..4u32 {
            let n = f64::from(second);
            let facts = [
                ("attempts", Measure::Count, 125.0 * n),
                ("dropped", Measure::Count, 25.0 * n),
                ("near_duplicate", Measure::Part, 25.0 * n),
            ];
            progress(&mut view, 1.0 + n, u64::from(100 * second), &facts);
        }
        let at = |width| shown(&view, 4.0, width);
        assert_eq!(
            at(120),
            [
                "⠋ instructions@n_synthetic=1000  ━╸────────  300/2,000 rows  375 attempts  75 dropped \
                 (75 near_duplicate)  3s  eta 17s",
                "p  ──────────────────────────────  0/3 stages  4s",
            ]
            .map(str::to_owned)
        );
        assert_eq!(
            at(80),
            [
                "⠋ instructions@n_synthetic=1000  300/2,000 rows  375 attempts  3s  eta 17s",
                "p  ────────────────────  0/3 stages  4s",
            ]
        );
        assert_eq!(at(40)[0], "⠋ instruc…tic=1000  300/2,000 rows  3s");
        assert_eq!(at(20)[0], "⠋ ins…1000  300/2,…");
        for width in 1..160 {
            at(width);
        }
    }

    #[test]
    fn what_other_processes_compute_is_told_with_where() {
        let mut view = running("a");
        let stage = |label: &str, done| LiveStage {
            label: label.to_owned(),
            done,
            total: Some(400),
            unit: "rows".to_owned(),
            ..LiveStage::default()
        };
        let waits = LiveStage { waits_for: Some("process 1 on here".to_owned()), ..stage("c", 0) };
        let (place, stages) = (Some("slurm 17_3".to_owned()), vec![stage("b", 120), waits]);
        view.elsewhere = vec![Live { pid: 9, host: "node3".to_owned(), place, stages, ..Live::default() }];
        let at = |height| lines(&view, 2.0, 0, Size { width: 80, height }, false);
        let told = at(24);
        assert_eq!(told[1].text, "  b  120/400 rows  process 9 on node3 (slurm 17_3)");
        assert_eq!(told.len(), 3);
        assert_eq!(at(4).len(), 2, "its own stages come first");
    }

    #[test]
    fn more_stages_than_there_are_lines_are_counted() {
        let mut view = running("a");
        for _ in 0..30 {
            let mut other = running("b");
            view.running.append(&mut other.running);
        }
        let lines = lines(&view, 2.0, 0, Size { width: 80, height: 10 }, false);
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[6].text, "  and 25 more running");
    }
}

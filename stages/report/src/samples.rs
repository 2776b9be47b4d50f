//! Items with what every arm answered, and the rows that answers lead to: as data, which the page's logic shows.
//!
//! A sample comes with all rows that can be reached from it, or not at all, so that every answer that is shown leads
//! to its seeds.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::text::{clean, short};
use crate::{Comparison, Report, Row, Sample, caps, json};

/// All samples of a page. Passages and rows stand once, however many refer to them.
#[derive(Default, Serialize)]
pub(crate) struct Samples {
    comparisons: BTreeMap<usize, Shown>,
    passages: Vec<(String, String)>,
    rows: Vec<ShownRow>,
    /// Words that rows have in common, which stand there as places.
    words: Vec<String>,
    #[serde(skip)]
    known_passages: BTreeMap<(String, String), usize>,
    /// Places of rows of the report here.
    #[serde(skip)]
    known_rows: BTreeMap<usize, usize>,
    #[serde(skip)]
    bytes: usize,
}

#[derive(Serialize)]
struct Shown {
    baseline: String,
    arms: Vec<String>,
    metrics: Vec<String>,
    samples: Vec<ShownSample>,
}

#[derive(Serialize)]
struct ShownSample {
    id: String,
    task: Option<String>,
    instruction: String,
    input: String,
    references: Vec<String>,
    passages: Vec<usize>,
    answers: Vec<ShownAnswer>,
}

#[derive(Serialize)]
struct ShownAnswer {
    arm: usize,
    prediction: String,
    finish_reason: Option<String>,
    scores: Vec<Option<f64>>,
    flip: Option<String>,
    resembling: Vec<usize>,
}

#[derive(Serialize)]
struct ShownRow {
    id: String,
    what: usize,
    stage: usize,
    fields: Vec<(usize, String)>,
    from: Vec<(usize, usize)>,
    /// What it comes from and is not shown.
    more: usize,
}

/// Those that got worse, those that got better and the others in turn, so that each is there whatever the room.
fn in_turn(samples: &[Sample]) -> Vec<usize> {
    let class = |sample: &Sample| {
        let flips = || sample.answers.iter().filter_map(|answer| answer.flip.as_deref());
        if flips().any(|flip| flip == "regressed") {
            0
        } else if flips().any(|flip| flip == "improved") {
            1
        } else {
            2
        }
    };
    let mut seen = [0; 3];
    let mut order: Vec<(usize, usize, usize)> = Vec::with_capacity(samples.len());
    for (at, sample) in samples.iter().enumerate() {
        let class = class(sample);
        order.push((seen[class], class, at));
        seen[class] += 1;
    }
    order.sort_unstable();
    order.into_iter().map(|(_, _, at)| at).collect()
}

impl Samples {
    /// Adds samples of a comparison, as many as there is room for, with what its metrics are called; says how many.
    pub(crate) fn add(&mut self, report: &Report, about: &Comparison, place: usize, metrics: &[&str]) -> usize {
        // What room there is, is shared by the comparisons that are still to come.
        let left = report.comparisons.len().min(caps::COMPARISONS) - place;
        let budget = self.bytes + (caps::SAMPLES.saturating_sub(self.bytes)) / left.max(1);
        let mut chosen = Vec::new();
        for at in in_turn(&about.samples) {
            let sample = &about.samples[at];
            let cost = self.cost(report, about, sample);
            if self.bytes + cost <= budget {
                self.bytes += cost;
                chosen.push((at, self.take(report, about, sample)));
            }
        }
        chosen.sort_by_key(|(at, _)| *at);
        let count = chosen.len();
        let arms = about.arms.iter().take(caps::ANSWERS);
        let shown = Shown {
            baseline: text(&about.baseline, caps::NAME),
            arms: arms.map(|arm| text(&arm.name, caps::NAME)).collect(),
            metrics: metrics.iter().map(|name| text(name, caps::NAME)).collect(),
            samples: chosen.into_iter().map(|(_, sample)| sample).collect(),
        };
        self.comparisons.insert(place, shown);
        count
    }

    /// About how many bytes a sample adds, with all it leads to.
    fn cost(&self, report: &Report, about: &Comparison, sample: &Sample) -> usize {
        let size = |words: &str| json::size(&text(words, caps::TEXT));
        let mut bytes = 120 + size(&sample.id) + size(&sample.instruction) + size(&sample.input);
        bytes += sample.references.iter().take(caps::REFERENCES).map(|words| size(words)).sum::<usize>();
        for passage in sample.passages.iter().take(caps::PASSAGES) {
            let words = text(&passage.text, caps::PASSAGE);
            let new = json::size(&words) + json::size(&text(&passage.id, caps::NAME)) + 4;
            bytes += if self.known_passages.contains_key(&(words, passage.id.clone())) { 6 } else { new };
        }
        for answer in sample.answers.iter().filter(|answer| answer.arm < caps::ANSWERS.min(about.arms.len())) {
            bytes += 110 + size(&answer.prediction) + 12 * answer.scores.len();
        }
        let mut new = Vec::new();
        for row in resembling(sample) {
            self.reach(report, row, &mut new);
        }
        bytes + new.iter().map(|&row| row_cost(&report.rows[row])).sum::<usize>()
    }

    /// Rows that are not here yet and can be reached from this one, itself with them.
    fn reach(&self, report: &Report, row: usize, new: &mut Vec<usize>) {
        let mut next = vec![row];
        while let Some(row) = next.pop() {
            if row < report.rows.len() && !self.known_rows.contains_key(&row) && !new.contains(&row) {
                new.push(row);
                next.extend(report.rows[row].from.iter().take(caps::FROM).map(|(_, from)| *from));
            }
        }
    }

    fn take(&mut self, report: &Report, about: &Comparison, sample: &Sample) -> ShownSample {
        let mut new = Vec::new();
        for row in resembling(sample) {
            self.reach(report, row, &mut new);
        }
        let first = self.known_rows.len();
        self.known_rows.extend(new.iter().enumerate().map(|(i, &row)| (row, first + i)));
        for row in new {
            let row = self.row(&report.rows[row]);
            self.rows.push(row);
        }
        let passages = sample.passages.iter().take(caps::PASSAGES);
        let passages = passages.map(|passage| self.passage(&passage.id, &passage.text)).collect();
        let arms = caps::ANSWERS.min(about.arms.len());
        let answers = sample.answers.iter().filter(|answer| answer.arm < arms).map(|answer| ShownAnswer {
            arm: answer.arm,
            prediction: text(&answer.prediction, caps::TEXT),
            finish_reason: answer.finish_reason.as_deref().map(|reason| text(reason, caps::NAME)),
            scores: answer
                .scores
                .iter()
                .map(|x| x.filter(|x| x.is_finite()).map(|x| (x * 1e5).round() / 1e5))
                .collect(),
            flip: answer.flip.clone().filter(|flip| flip == "improved" || flip == "regressed"),
            resembling: answer
                .resembling
                .iter()
                .take(caps::RESEMBLING)
                .filter_map(|row| self.known_rows.get(row))
                .copied()
                .collect(),
        });
        ShownSample {
            id: text(&sample.id, caps::NAME),
            task: sample.task.as_deref().map(|task| text(task, caps::NAME)),
            instruction: text(&sample.instruction, caps::TEXT),
            input: text(&sample.input, caps::TEXT),
            references: sample.references.iter().take(caps::REFERENCES).map(|r| text(r, caps::TEXT)).collect(),
            passages,
            answers: answers.collect(),
        }
    }

    fn passage(&mut self, id: &str, words: &str) -> usize {
        let words = text(words, caps::PASSAGE);
        let next = self.passages.len();
        let place = *self.known_passages.entry((words.clone(), id.to_owned())).or_insert(next);
        if place == next {
            self.passages.push((text(id, caps::NAME), words));
        }
        place
    }

    fn word(&mut self, word: &str) -> usize {
        let word = text(word, caps::NAME);
        self.words.iter().position(|known| *known == word).unwrap_or_else(|| {
            self.words.push(word);
            self.words.len() - 1
        })
    }

    fn row(&mut self, row: &Row) -> ShownRow {
        let from: Vec<_> = row.from.iter().take(caps::FROM).map(|(how, row)| (self.word(how), *row)).collect();
        ShownRow {
            id: text(&row.id, caps::NAME),
            what: self.word(&row.what),
            stage: self.word(&row.stage),
            fields: row.fields.iter().map(|(name, value)| (self.word(name), text(value, caps::FIELD))).collect(),
            from: from.into_iter().filter_map(|(how, row)| Some((how, *self.known_rows.get(&row)?))).collect(),
            more: row.from.len().saturating_sub(caps::FROM),
        }
    }
}

fn resembling(sample: &Sample) -> impl Iterator<Item = usize> {
    let answers = sample.answers.iter().filter(|answer| answer.arm < caps::ANSWERS);
    answers.flat_map(|answer| answer.resembling.iter().take(caps::RESEMBLING).copied())
}

/// Words that rows have in common hardly count.
fn row_cost(row: &Row) -> usize {
    let fields = row.fields.iter().map(|(_, value)| json::size(&text(value, caps::FIELD)) + 5);
    60 + json::size(&text(&row.id, caps::NAME)) + fields.sum::<usize>() + 10 * row.from.len().min(caps::FROM)
}

fn text(words: &str, most: usize) -> String {
    clean(&short(words, most)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Answer;

    fn answer(flip: Option<&str>, resembling: &[usize]) -> Answer {
        let flip = flip.map(str::to_owned);
        Answer { flip, resembling: resembling.to_vec(), prediction: "p".repeat(200), ..Answer::default() }
    }

    #[test]
    fn every_kind_of_change_has_its_turn() {
        let flips = [None, None, None, Some("regressed"), Some("improved"), Some("regressed")];
        let sample = |flip: Option<&str>| Sample { answers: vec![answer(flip, &[])], ..Sample::default() };
        assert_eq!(in_turn(&flips.map(sample)), [3, 4, 0, 5, 1, 2]);
    }

    #[test]
    fn a_sample_brings_all_rows_that_it_leads_to_and_circles_end() {
        let row =
            |from: &[usize]| Row { from: from.iter().map(|&f| ("seed".to_owned(), f)).collect(), ..Row::default() };
        let rows = vec![row(&[1, 99]), row(&[2, 0]), row(&[]), row(&[])];
        let samples = vec![Sample { answers: vec![answer(None, &[0, 77])], ..Sample::default() }];
        let arms = vec![crate::Arm::default()];
        let about = Comparison { arms, samples, ..Comparison::default() };
        let report = Report { rows, comparisons: vec![about.clone()], ..Report::default() };
        let mut here = Samples::default();
        assert!(here.cost(&report, &about, &about.samples[0]) > 200);
        let shown = here.take(&report, &about, &about.samples[0]);
        assert_eq!(shown.answers[0].resembling, [0]);
        assert_eq!(here.rows.len(), 3);
        let from: Vec<Vec<usize>> = here.rows.iter().map(|row| row.from.iter().map(|f| f.1).collect()).collect();
        assert_eq!(from, [vec![1], vec![2, 0], vec![]]);
    }
}

//! Which seeds a prompt shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pipe_engine::{context::StageContext, kind::StageError};
use pipe_random::RowRandom;

use super::{DemonstrationChoice, rows::Query};
use crate::{rows::seeds::Seed, rows::words::words};

/// Chooses seeds for rows; a row's choice depends on the row, the seeds and the recipe alone.
pub(crate) struct Chooser<'a> {
    choice: DemonstrationChoice,
    count: usize,
    seeds: &'a [Seed],
    /// The distinct words of each seed's instruction.
    words: Vec<BTreeSet<String>>,
    /// Inverse document frequency of a word over the seeds, `ln(1 + (N − df + 0.5)/(df + 0.5))`.
    idf: HashMap<String, f64>,
    places: BTreeMap<&'a str, usize>,
    recipe: [u8; 32],
}

impl<'a> Chooser<'a> {
    /// A chooser of `count` seeds.
    pub(crate) fn new(choice: DemonstrationChoice, count: usize, seeds: &'a [Seed], recipe: [u8; 32]) -> Self {
        let distinct: Vec<BTreeSet<String>> =
            seeds.iter().map(|seed| words(&seed.instruction).into_iter().collect()).collect();
        let mut frequency: HashMap<String, f64> = HashMap::new();
        for word in distinct.iter().flatten() {
            *frequency.entry(word.clone()).or_default() += 1.0;
        }
        let n = seeds.len() as f64;
        let idf = frequency.into_iter().map(|(word, df)| (word, (1.0 + (n - df + 0.5) / (df + 0.5)).ln())).collect();
        let places = seeds.iter().enumerate().map(|(i, seed)| (&*seed.id, i)).collect();
        Self { choice, count: count.min(seeds.len()), seeds, words: distinct, idf, places, recipe }
    }

    /// The seeds that there are.
    pub(crate) fn seeds(&self) -> &'a [Seed] {
        self.seeds
    }

    /// Whether seeds can be chosen for these rows. A row whose seeds are not all there is shown those that are; it is
    /// counted.
    ///
    /// # Errors
    /// `generating` is asked for, and the rows do not say which seeds they came from, or none of these is among the
    /// seeds.
    pub(crate) fn check(&self, cx: &StageContext, queries: &[Query]) -> Result<(), StageError> {
        let (without, first) = self.without_seeds(queries)?;
        if let Some(first) = first {
            cx.counter("rows_with_unknown_seeds", without as u64);
            cx.warn(format!(
                "{without} of {} rows were generated from seeds that the input `seeds` does not have, and are shown \
                 the others ({first})",
                queries.len()
            ));
        }
        Ok(())
    }

    /// How many rows come from a seed that is not there, and the first of them.
    fn without_seeds(&self, queries: &[Query]) -> Result<(usize, Option<String>), StageError> {
        if self.choice != DemonstrationChoice::Generating || self.count == 0 {
            return Ok((0, None));
        }
        let (mut without, mut first, mut known) = (0, None, queries.is_empty());
        for query in queries {
            let Some(from) = &query.demonstrations else {
                return Err(StageError::user_help(
                    "`demonstration_choice: generating` needs the column `demonstrations`, and the input \
                     `instructions` has none",
                    "connect the output of `generate`, or choose `overlap`",
                ));
            };
            let unknown = from.iter().find(|id| !self.places.contains_key(&***id));
            known |= from.is_empty() || from.iter().any(|id| self.places.contains_key(&**id));
            if let Some(id) = unknown {
                without += 1;
                let what = || format!("row `{}` was generated from the seed `{id}`", query.id);
                first.get_or_insert_with(what);
            }
        }
        match first {
            Some(first) if !known => Err(StageError::user_help(
                format!("{first}, which the input `seeds` does not have, and the seeds of no other row are there"),
                "connect the seeds that `generate` was given, or choose `overlap`",
            )),
            first => Ok((without, first)),
        }
    }

    /// The chosen seeds, in prompt order.
    pub(crate) fn choose(&self, query: &Query) -> Vec<usize> {
        if self.count == 0 {
            return Vec::new();
        }
        match self.choice {
            DemonstrationChoice::Fixed => (0..self.count).collect(),
            DemonstrationChoice::Random => self.draw(&query.id),
            DemonstrationChoice::Overlap => self.closest(query, (0..self.seeds.len()).collect()),
            DemonstrationChoice::Generating => {
                let from = query.demonstrations.iter().flatten();
                self.closest(query, from.filter_map(|id| self.places.get(&**id).copied()).collect())
            }
        }
    }

    fn draw(&self, id: &str) -> Vec<usize> {
        let random = RowRandom::new(&self.recipe, &format!("demonstrations of row {id}"));
        random.choose(self.count, self.seeds.len())
    }

    /// The candidates that share most with the instruction, the best one last; of equal ones the earlier seed is
    /// better.
    fn closest(&self, query: &Query, candidates: Vec<usize>) -> Vec<usize> {
        let asked: BTreeSet<String> = words(&query.instruction).into_iter().collect();
        let score = |i: usize| -> f64 {
            self.words[i].iter().filter(|word| asked.contains(*word)).filter_map(|word| self.idf.get(word)).sum()
        };
        let mut scored: Vec<(f64, usize)> = candidates.into_iter().map(|i| (score(i), i)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.dedup_by_key(|(_, i)| *i);
        scored.truncate(self.count);
        scored.into_iter().rev().map(|(_, i)| i).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds() -> Vec<Seed> {
        ["What causes gout?", "Write a caption on the cause of gout.", "What treats fever?", "Write a memo on fever."]
            .iter()
            .enumerate()
            .map(|(i, text)| Seed {
                id: format!("s{i}"),
                instruction: (*text).to_owned(),
                input: String::new(),
                output: "x".to_owned(),
                passages: Vec::new(),
            })
            .collect()
    }

    fn query(id: &str, instruction: &str, demonstrations: Option<&[&str]>) -> Query {
        Query {
            id: id.to_owned(),
            instruction: instruction.to_owned(),
            input: String::new(),
            passages: Vec::new(),
            demonstrations: demonstrations.map(|d| d.iter().map(|&id| id.to_owned()).collect()),
        }
    }

    #[test]
    fn each_choice_chooses_as_it_says() {
        let seeds = seeds();
        let chooser = |choice, count| Chooser::new(choice, count, &seeds, [1; 32]);
        let caption = query("q", "Write a caption on the cause of mumps.", Some(&["s2", "s3"]));
        assert_eq!(chooser(DemonstrationChoice::Fixed, 2).choose(&caption), [0, 1]);
        assert_eq!(chooser(DemonstrationChoice::Overlap, 1).choose(&caption), [1]);
        // The best one stands last, next to the instruction.
        assert_eq!(chooser(DemonstrationChoice::Overlap, 2).choose(&caption), [3, 1]);
        assert_eq!(chooser(DemonstrationChoice::Generating, 1).choose(&caption), [3]);
        assert_eq!(chooser(DemonstrationChoice::Generating, 9).choose(&caption), [2, 3]);
        assert!(chooser(DemonstrationChoice::Overlap, 0).choose(&caption).is_empty());
        let drawn = |id| chooser(DemonstrationChoice::Random, 3).choose(&query(id, "x", None));
        assert_eq!(drawn("a"), drawn("a"));
        assert!(["b", "c", "d", "e"].iter().any(|id| drawn(id) != drawn("a")));
        let mut all = chooser(DemonstrationChoice::Random, 4).choose(&caption);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
    }

    #[test]
    fn rows_of_other_seeds_are_refused() {
        let seeds = seeds();
        let chooser = Chooser::new(DemonstrationChoice::Generating, 1, &seeds, [1; 32]);
        let error = |query: &Query| chooser.without_seeds(std::slice::from_ref(query)).unwrap_err().to_string();
        assert!(error(&query("q", "x", None)).contains("column `demonstrations`"));
        assert!(error(&query("q7", "x", Some(&["t8", "t9"]))).contains("`q7` was generated from the seed `t8`"));
        let rows =
            [query("q", "x", Some(&["s1"])), query("r", "x", Some(&["s1", "s9"])), query("t", "x", Some(&["s8"]))];
        assert_eq!(chooser.without_seeds(&rows[..1]).unwrap(), (0, None));
        let first = Some("row `r` was generated from the seed `s9`".to_owned());
        assert_eq!(chooser.without_seeds(&rows).unwrap(), (2, first));
        assert_eq!(chooser.choose(&rows[1]), [1]);
        assert!(chooser.choose(&rows[2]).is_empty());
    }
}

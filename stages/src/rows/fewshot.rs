//! The seeds that an item's prompt shows.

use pipe_engine::{
    context::StageContext,
    kind::{InputPort, PortType, Role, StageError},
};
use pipe_lm::train::Stream;
use pipe_random::Random;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    examples::Row,
    ports,
    seeds::{Seed, seeds},
};
use crate::prompts::Demonstration;

/// Which seeds the prompt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FewshotSelection {
    /// The first ones of the table, the same for every item.
    #[default]
    First,
    /// Drawn anew for every item.
    Random,
}

/// Which seeds a prompt shows: a part of a kind's parameters, to be flattened into them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct FewshotParams {
    /// How many rows of `seeds` the prompt shows with their answers.
    #[serde(default)]
    pub num_fewshot: usize,
    /// Which ones. A seed with the item's own instruction and input is never shown.
    #[serde(default)]
    pub fewshot_selection: FewshotSelection,
    /// Seeds the draw of `fewshot_selection: random`.
    #[serde(default)]
    pub fewshot_seed: u64,
}

/// The input `seeds` of a kind with `num_fewshot`.
pub(crate) fn port(num_fewshot: usize) -> InputPort {
    InputPort::new("seeds", PortType::Table, num_fewshot > 0)
        .role(Role::Seeds)
        .about("Answered instructions, to be shown as demonstrations.")
        .needs([ports::instruction(), ports::output()])
        .takes([ports::id(), ports::input()])
        .with_help(
            "`num_fewshot` shows rows of it: connect a table with `instruction` and `output`, or leave `num_fewshot` \
             out",
        )
}

/// The input `seeds`, and how many of them a prompt shows.
pub(crate) struct Fewshot {
    seeds: Vec<Seed>,
    count: usize,
    selection: FewshotSelection,
    seed: u64,
}

impl Fewshot {
    /// Reads the seeds, where any are to be shown.
    ///
    /// # Errors
    /// The input `seeds` has too few rows with an answer.
    pub(crate) fn read(cx: &StageContext, params: &FewshotParams) -> Result<Self, StageError> {
        let &FewshotParams { num_fewshot: count, fewshot_selection: selection, fewshot_seed: seed } = params;
        let seeds = if count == 0 { Vec::new() } else { seeds(cx, "seeds", true)? };
        if seeds.len() < count {
            return Err(StageError::user_help(
                format!("`num_fewshot` is {count}, and the input `seeds` has {} rows with an answer", seeds.len()),
                "lower it, or connect more seeds",
            ));
        }
        Ok(Self { seeds, count, selection, seed })
    }

    /// The demonstrations for an item, in prompt order. They depend on the seeds and the item alone.
    pub(crate) fn demonstrations<'s>(&'s self, row: &Row) -> Vec<Demonstration<'s>> {
        let itself = |seed: &Seed| seed.instruction == row.instruction.trim() && seed.input == row.input.trim();
        let mut candidates: Vec<&'s Seed> = self.seeds.iter().filter(|seed| !itself(seed)).collect();
        if self.selection == FewshotSelection::Random && self.count > 0 {
            Stream::new(self.seed, &row.id, &[]).shuffle(&mut candidates);
        }
        candidates.truncate(self.count);
        let shown = |seed: &'s Seed| Demonstration {
            instruction: &seed.instruction,
            input: &seed.input,
            output: Some(&seed.output),
            passages: &[],
        };
        candidates.into_iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fewshot(count: usize, selection: FewshotSelection) -> Fewshot {
        let seeds = (0..9).map(|i| Seed {
            id: i.to_string(),
            instruction: format!("Q{i}"),
            input: String::new(),
            output: format!("A{i}"),
            passages: Vec::new(),
        });
        Fewshot { seeds: seeds.collect(), count, selection, seed: 3 }
    }

    fn shown(fewshot: &Fewshot, id: &str, instruction: &str) -> Vec<String> {
        let row = Row { id: id.into(), instruction: instruction.into(), ..Row::default() };
        fewshot.demonstrations(&row).iter().map(|d| d.output.unwrap().to_owned()).collect()
    }

    #[test]
    fn an_item_is_never_shown_to_itself() {
        let first = fewshot(3, FewshotSelection::First);
        assert_eq!(shown(&first, "x", "Q?"), ["A0", "A1", "A2"]);
        assert_eq!(shown(&first, "x", "Q1"), ["A0", "A2", "A3"]);
        assert!(shown(&fewshot(0, FewshotSelection::Random), "x", "Q?").is_empty());
    }

    #[test]
    fn a_draw_depends_on_the_item() {
        let random = fewshot(4, FewshotSelection::Random);
        let one = shown(&random, "x", "Q?");
        assert_eq!(one, shown(&random, "x", "Q?"));
        assert_ne!(one, shown(&random, "y", "Q?"));
        assert_eq!(one.len(), 4);
    }
}

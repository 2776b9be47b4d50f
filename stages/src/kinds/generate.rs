//! `generate`: new instructions out of seed instructions.

mod documents;
mod filter;
mod fold;
mod outcome;
mod params;
mod parse;

use std::{ops::ControlFlow, path::Path, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use pipe_engine::{
    context::{AttemptSink, StageContext},
    kind::{
        Column, Highlight, Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview, Role, Source,
        SourceHost, StageError, StageKind,
    },
};
use pipe_lm::generate::{Backend, Completion, Request, SamplingParams};
use pipe_random::RowRandom;

use self::{documents::Documents, fold::Fold};
use crate::{
    model::{self, Asked, InFlight, ModelRef, completions, model_port, resolve, sampling::SamplingDefaults},
    prompts::{Demonstration, FAILED_AT_MOST, Passage, PromptContext, PromptTemplate, Purpose},
    rows::{
        columns::{Shown, TextColumn},
        completed::{self, Finished},
        ports,
        seeds::{Seed, seeds_with},
    },
};

pub use self::{filter::InstructionFilters, params::GenerateParams};

/// The kind.
#[derive(Debug, Clone)]
pub struct Generate;

impl SamplingDefaults for Generate {
    const TEMPERATURE: f64 = 1.0;
    const TOP_P: f64 = 0.98;
    const MAX_NEW_TOKENS: usize = 256;
}

impl StageKind for Generate {
    type Params = GenerateParams;
    const NAME: &'static str = "generate";
    // 1: the first.
    // 2: filters and `exclude` left the recipe: another filter draws no other rows.
    // 3: thoughts are taken apart from instructions; the outcomes of `min_words` and `max_words` are `too_few_words`
    //    and `too_many_words`; a prompt that is too long is the outcome `too_long`.
    // 4: near-duplicates are told by words of any script, and characters of scripts without spaces count as words.
    const VERSION: u32 = 4;
    const RECIPE_VERSION: u32 = 2;
    const INCREMENT: Increment = Increment::Stream { extent: "count" };
    const AFTERWARDS: &'static [&'static str] = &["filters", "exclude", "reasoning", "max_refused"];

    fn ports(&self, params: &GenerateParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("seeds", PortType::Table, true)
                    .role(Role::Seeds)
                    .about("The instructions that are shown as examples.")
                    .needs([ports::instruction()])
                    .takes([ports::id(), ports::input(), ports::output(), ports::task(), ports::passages()]),
                // Without a document none of an instruction's words stands in it, and all are dropped.
                InputPort::new("documents", PortType::Table, params.filters.min_in_passages.is_some())
                    .role(Role::Documents)
                    .with_help(
                        "`filters.min_in_passages` is about the document that an attempt shows: connect a table with \
                         `text`, or leave the filter out",
                    )
                    .about("What instructions are to be about: each attempt shows one.")
                    .needs([Column::text("text", "The document.")])
                    .takes([ports::id(), Column::text("title", "Put in front of the text.")]),
                model_port(params.model.as_ref()),
                // What is excluded is whatever one likes, seeds among it: no exam by that.
                InputPort::new("exclude", PortType::Table, false)
                    .about("Instructions that are dropped, such as those of the exam.")
                    .needs([ports::instruction()])
                    .takes([ports::input()]),
            ],
            open_inputs: false,
            outputs: vec![
                OutputPort::table("instructions")
                    .about("The kept instructions, in the order of the attempts.")
                    .gives([
                        ports::id(),
                        ports::instruction(),
                        ports::input(),
                        ports::demonstrations(),
                        ports::finish_reason(),
                    ])
                    .may_give([ports::passages()]),
                ports::yields(),
            ],
        }
    }

    fn check(&self, params: &GenerateParams) -> Vec<ParamProblem> {
        let mut problems = params.filters.problems("/filters");
        problems.extend(params.sampling.problems());
        problems
    }

    fn highlights(&self, _: &GenerateParams) -> Vec<Highlight> {
        let tokens = Highlight::Count { counter: "generated_tokens", heading: "tokens generated" };
        vec![Highlight::Yield { port: "yield" }, tokens]
    }

    fn check_files(&self, params: &GenerateParams, folder: &Path) -> Vec<ParamProblem> {
        params.template.problems(Purpose::Generate, folder)
    }

    fn sources(&self, params: &GenerateParams) -> Result<Vec<Source>, StageError> {
        let mut sources = ModelRef::sources(params.model.as_ref());
        sources.push(params.template.source(Purpose::Generate));
        Ok(sources)
    }

    fn shares(&self, params: &GenerateParams) -> Option<String> {
        ModelRef::shared(params.model.as_ref())
    }

    fn preview(&self, params: &GenerateParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        if host.connected("documents") {
            params.template.chosen(true).load_with_documents(host.base_dir())?;
        }
        let template = Some((&params.template, Purpose::Generate));
        let asked = Asked {
            weights: params.weights,
            chat_date: params.chat_date,
            template,
            work: Some(params.sampling.work()),
        };
        model::preview(params.model.as_ref(), &asked, host)
    }

    fn run(&self, params: &GenerateParams, cx: &mut StageContext) -> Result<(), StageError> {
        let documents = Documents::read(params, cx)?;
        let shown = documents.as_ref().map(|_| Shown { passages: Some(1), words: params.max_passage_words });
        let seeds = seeds_with(cx, "seeds", false, shown)?;
        let excluded = match cx.optional_table("exclude")? {
            Some(table) => excluded(&table.read()?)?,
            None => Vec::new(),
        };
        let template = model::template(cx, params.model.as_ref(), &params.template)?;
        let template = match documents {
            Some(_) => template.load_with_documents(cx.base_dir())?,
            None => template.load(Purpose::Generate, cx.base_dir())?,
        };
        let template = template.with_cancel(cx.cancel_token());
        let with_inputs = seeds.iter().any(|seed| !seed.input.is_empty());
        let writer = Writer { params, cx, template, seeds, with_inputs, documents };
        let mut fold = Fold::new(&writer, &excluded);
        cx.progress(0, Some(params.count), "rows");
        let (wanted, mut prepared) = (fold.wanted(0), None);
        cx.stream(
            &attempt_schema(),
            wanted,
            |attempt| fold.see(&attempt),
            |sink| {
                let (backend, sampling) = match &mut prepared {
                    Some(prepared) => prepared,
                    none => none.insert(writer.prepare()?),
                };
                writer.write(sink, &**backend, sampling)
            },
        )?;
        let Fold { kept, counts, unanswered, prompt_tokens, generated_tokens, .. } = fold;
        counts.warn_of_many(cx, "attempts");
        unanswered.report(cx, params.sampling.max_refused, "they were dropped")?;
        let kept = kept.finish()?;
        cx.write_batches("instructions", kept.schema_ref(), [&kept])?;
        let yields = counts.table()?;
        cx.write_batches("yield", yields.schema_ref(), [&yields])?;
        cx.counter("prompt_tokens", prompt_tokens);
        cx.counter("generated_tokens", generated_tokens);
        Ok(())
    }
}

/// The instructions (and inputs) of the input `exclude`.
fn excluded(batch: &RecordBatch) -> Result<Vec<(String, String)>, StageError> {
    let instruction = TextColumn::required(batch, "exclude", "instruction")?;
    let input = TextColumn::optional(batch, "exclude", "input")?;
    let row = |row| (instruction.or_empty(row).to_owned(), input.as_ref().map_or("", |c| c.or_empty(row)).to_owned());
    Ok((0..batch.num_rows()).map(row).collect())
}

/// The column of what the model wrote.
const TEXT: &str = "text";

/// What is kept of an attempt.
fn attempt_schema() -> SchemaRef {
    Arc::new(Schema::new(completed::fields(TEXT).to_vec()))
}

/// Makes attempts.
struct Writer<'a> {
    params: &'a GenerateParams,
    cx: &'a StageContext,
    template: PromptTemplate,
    seeds: Vec<Seed>,
    with_inputs: bool,
    documents: Option<Documents>,
}

impl Writer<'_> {
    /// The seeds that an attempt shows, in prompt order: the first of a shuffle that is the attempt's own.
    fn demonstrations(&self, attempt: u64) -> Vec<&Seed> {
        let random = RowRandom::new(self.cx.recipe().as_bytes(), &format!("demonstrations of attempt {attempt}"));
        let chosen = random.choose(self.params.num_demonstrations, self.seeds.len());
        chosen.into_iter().map(|i| &self.seeds[i]).collect()
    }

    /// The document that an attempt shows: one, or none.
    fn passages(&self, attempt: u64) -> &[Passage] {
        self.documents.as_ref().map_or(&[], |documents| documents.of(attempt))
    }

    fn context(&self, attempt: u64) -> PromptContext<'_> {
        fn shown(seed: &Seed) -> Demonstration<'_> {
            let Seed { instruction, input, passages, .. } = seed;
            Demonstration { instruction, input, output: None, passages }
        }
        PromptContext {
            domain: &self.params.domain,
            demonstrations: self.demonstrations(attempt).into_iter().map(shown).collect(),
            passages: self.passages(attempt),
            with_inputs: self.with_inputs,
            ..PromptContext::default()
        }
    }

    /// An attempt in messages.
    fn what(&self, attempt: u64) -> String {
        let seeds: Vec<String> = self.demonstrations(attempt).iter().map(|seed| format!("`{}`", seed.id)).collect();
        format!("an attempt that shows the seeds {}", seeds.join(", "))
    }

    /// What is asked for an attempt; `None` where the template fails on its seeds, which is then its outcome.
    fn request(&self, attempt: u64, sink: &AttemptSink<'_>) -> Result<Option<Request>, StageError> {
        match completions::rendered(self.template.render(&self.context(attempt)))? {
            Ok(prompt) => Ok(Some(Request { id: attempt.to_string(), prompt })),
            Err(finished) => {
                sink.emit(&[attempt], &attempts(&[finished])?)?;
                Ok(None)
            }
        }
    }

    /// What all attempts share: who writes, and how.
    fn prepare(&self) -> Result<(Box<dyn Backend>, SamplingParams), StageError> {
        let params = self.params;
        let stop = if let Some(stop) = &params.sampling.stop {
            stop.clone()
        } else {
            let attempts: Vec<u64> = (0..FAILED_AT_MOST as u64).collect();
            let first = self.template.first_stop(&attempts, |&attempt| self.context(attempt))?;
            first.map(|(_, stop)| stop).unwrap_or_default()
        };
        let sampling = params.sampling.params(stop, *self.cx.recipe().as_bytes());
        let model = resolve(self.cx, params.model.as_ref())?;
        let backend = model.backend(
            self.cx,
            params.weights,
            None,
            InFlight::of(self.cx, params.sampling.slots),
            params.chat_date,
        )?;
        Ok((backend, sampling))
    }

    /// Makes attempts as long as some are wanted. Those in flight when the fold has enough are finished and kept: they
    /// may be paid for, and others may want them.
    fn write(
        &self,
        sink: &AttemptSink<'_>,
        backend: &dyn Backend,
        sampling: &SamplingParams,
    ) -> Result<(), StageError> {
        let mut requests = std::iter::from_fn(|| {
            loop {
                match sink.next_attempts(1).map(|mut range| range.next()) {
                    Ok(Some(attempt)) => match self.request(attempt, sink) {
                        Ok(None) => {}
                        Ok(Some(request)) => return Some(Ok(request)),
                        Err(error) => return Some(Err(error)),
                    },
                    Ok(None) => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
        });
        let what = |id: &str| id.parse().map_or_else(|_| "an attempt".to_owned(), |attempt| self.what(attempt));
        completions::complete(self.cx, backend, &mut requests, sampling, &what, |done| {
            let numbers = done.iter().map(number).collect::<Result<Vec<u64>, _>>()?;
            let finished: Vec<Finished> = done.into_iter().map(Finished::from).collect();
            sink.emit(&numbers, &attempts(&finished)?)?;
            Ok(ControlFlow::Continue(()))
        })
    }
}

fn number(done: &Completion) -> Result<u64, StageError> {
    done.id.parse().map_err(|_| StageError::contract(format!("the backend made up the request `{}`", done.id)))
}

/// Finished attempts as rows of [`attempt_schema`].
fn attempts(done: &[Finished]) -> Result<RecordBatch, StageError> {
    let rows = RecordBatch::try_new(attempt_schema(), completed::columns(done.iter(), |text| text).to_vec());
    rows.map_err(|e| StageError::other("gather attempts in a table", e))
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { seeds: seed_subset }, params: { model: MODEL, count: 4, filters: { rouge_l: null } }",
    version: 4,
    outputs: &[
        ("instructions", "66031fa70a54245483143d6a542c92a93b600a8bee16d1c5460339fad9e31d0d"),
        ("yield", "edb77de8607a797dd0c909b8e12aa51a109b6e99795f326279131d1223d646b3"),
    ],
};

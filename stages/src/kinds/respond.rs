//! `respond`: answers to instructions.

mod demonstrations;
mod filters;
mod rows;

use std::path::Path;

use pipe_engine::{
    context::{PendingRows, RowSink, StageContext},
    kind::{
        Arriving, Highlight, Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview, Question, Role,
        Source, SourceHost, StageError, StageKind,
    },
};
use pipe_lm::generate::{Model, SamplingParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::filters::ResponseFilters;
use self::{
    demonstrations::Chooser,
    rows::{Answer, Query, answers, queries, schema},
};
use crate::rows::ports;
use crate::{
    model::{
        self, Asked, InFlight, ModelRef, WeightForm, adapter_port, completions, model_port, resolve,
        sampling::{Sampling, SamplingDefaults},
    },
    prompts::{ChatDate, Demonstration, PromptContext, PromptTemplate, Purpose, TemplateRef, template_variables},
    rows::{
        columns::Shown,
        completed::{Finished, NO_INSTRUCTION},
        seeds,
    },
};

/// Answers instructions with a model that is shown seeds with their answers and, where there are some, retrieved
/// passages.
///
/// Each answer depends on its own row, the seeds and the parameters alone. With the adapter of an earlier round as the
/// input `adapter` this is the iteration of Self-Specialization (arXiv:2310.00160).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = WeightForm::with_old_name)]
pub struct RespondParams {
    /// The model that answers. Its content is part of the key, its place is not.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub model: Option<ModelRef>,
    /// The form in which the model's weights are kept in memory: another form takes less room, and gives other answers.
    #[serde(
        default,
        rename(serialize = "quantization"),
        alias = "quantization",
        skip_serializing_if = "WeightForm::is_default"
    )]
    pub weights: WeightForm,
    /// The prompt: plain, alpaca, chat, qa, or a file. Its text is part of the key.
    #[serde(default)]
    #[schemars(extend("x-operational" = true, "x-variables" = template_variables(Purpose::Respond)))]
    pub template: TemplateRef,
    /// The date that the model's chat template may print (`strftime_now`), such as 2025-01-31. It is never the clock's:
    /// 2024-07-26 when left out, as Llama 3's template has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_date: Option<ChatDate>,
    /// The expert's field, for templates that name it.
    #[serde(default)]
    pub domain: String,
    /// Seeds shown with their answers; fewer where there are fewer.
    #[serde(default = "five")]
    pub num_demonstrations: usize,
    /// Which seeds are shown.
    #[serde(default)]
    pub demonstration_choice: DemonstrationChoice,
    /// Passages shown, the best ones; all when left out.
    #[serde(default)]
    pub max_passages: Option<usize>,
    /// Words shown of each passage, from its beginning; all when left out. Long passages may not fit the model's
    /// context otherwise.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_passage_words: Option<usize>,
    /// How the answer is sampled; `seed` also draws `random` demonstrations.
    #[serde(flatten)]
    pub sampling: Sampling<Respond>,
    /// What is dropped.
    #[serde(default)]
    pub filters: ResponseFilters,
}

fn five() -> usize {
    5
}

/// Which seeds a prompt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DemonstrationChoice {
    /// The first of the table, the same for all rows: the prompt's beginning is computed once.
    #[default]
    Fixed,
    /// Drawn for each row.
    Random,
    /// Those that share most words with the instruction, rare words counting more; the best one stands last.
    Overlap,
    /// As `overlap`, among the seeds that the row's instruction was generated from (its column `demonstrations`).
    Generating,
}

/// The kind.
#[derive(Debug, Clone)]
pub struct Respond;

impl SamplingDefaults for Respond {
    const TEMPERATURE: f64 = 0.0;
    const TOP_P: f64 = 1.0;
    const MAX_NEW_TOKENS: usize = 256;
}

impl RespondParams {
    fn shown(&self) -> Shown {
        Shown { passages: self.max_passages, words: self.max_passage_words }
    }
}

impl StageKind for Respond {
    type Params = RespondParams;
    const NAME: &'static str = "respond";
    // 1: the first.
    // 2: responses keep the passages that they were shown.
    // 3: equal rows without ids are told apart.
    // 4: thoughts are taken apart from answers, into a column `reasoning` where there are any; the outcomes of
    //    `min_words` and `max_words` are `too_few_words` and `too_many_words`; a prompt that is too long is the outcome
    //    `too_long`.
    // 5: echoes are told by words of any script, and characters of scripts without spaces count as words.
    const VERSION: u32 = 5;
    const RECIPE_VERSION: u32 = 3;
    const INCREMENT: Increment = Increment::RowWise { primary: "instructions" };
    const AFTERWARDS: &'static [&'static str] = &["filters", "reasoning", "max_refused"];

    fn ports(&self, params: &RespondParams) -> Ports {
        let demonstrated = (params.num_demonstrations > 0).then(ports::output);
        // Whoever filters by passages would have every answer dropped for want of them.
        let (needed, taken) = if params.filters.look_at_passages() {
            (Some(ports::passages()), None)
        } else {
            (None, Some(ports::passages()))
        };
        Ports {
            inputs: vec![
                InputPort::new("instructions", PortType::Table, true)
                    .about("What is to be answered.")
                    .needs([ports::instruction()].into_iter().chain(needed))
                    .takes([ports::id(), ports::input(), ports::demonstrations()].into_iter().chain(taken)),
                InputPort::new("seeds", PortType::Table, false)
                    .role(Role::Seeds)
                    .about("Answered instructions, to be shown as demonstrations.")
                    .needs([ports::instruction()].into_iter().chain(demonstrated))
                    .takes([ports::id(), ports::input()]),
                adapter_port(),
                model_port(params.model.as_ref()),
            ],
            open_inputs: false,
            outputs: vec![
                OutputPort::table("responses")
                    .about("The kept answers, in the order of the input.")
                    .gives([
                        ports::id(),
                        ports::instruction(),
                        ports::input(),
                        ports::output(),
                        ports::passages(),
                        ports::demonstrations(),
                        ports::finish_reason(),
                    ])
                    .gives(ports::tokens())
                    .may_give([ports::reasoning()]),
                ports::yields(),
            ],
        }
    }

    fn check(&self, params: &RespondParams) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        problems.extend(params.sampling.problems());
        problems.extend(params.filters.problems("/filters"));
        problems
    }

    fn highlights(&self, _: &RespondParams) -> Vec<Highlight> {
        let tokens = Highlight::Count { counter: "generated_tokens", heading: "tokens generated" };
        vec![Highlight::Yield { port: "yield" }, tokens]
    }

    fn check_files(&self, params: &RespondParams, folder: &Path) -> Vec<ParamProblem> {
        params.template.problems(Purpose::Respond, folder)
    }

    fn sources(&self, params: &RespondParams) -> Result<Vec<Source>, StageError> {
        let mut sources = ModelRef::sources(params.model.as_ref());
        sources.push(params.template.source(Purpose::Respond));
        Ok(sources)
    }

    fn shares(&self, params: &RespondParams) -> Option<String> {
        ModelRef::shared(params.model.as_ref())
    }

    fn follow(&self, params: &RespondParams, arriving: &Arriving) -> Result<Preview, StageError> {
        model::follow(params.model.as_ref(), arriving)
    }

    fn asks(&self, params: &RespondParams, host: &dyn SourceHost) -> Option<Question> {
        model::asks(params.model.as_ref(), host)
    }

    fn preview(&self, params: &RespondParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        let template = Some((&params.template, Purpose::Respond));
        let asked = Asked {
            weights: params.weights,
            chat_date: params.chat_date,
            template,
            work: Some(params.sampling.work()),
        };
        model::preview(params.model.as_ref(), &asked, host)
    }

    fn run(&self, params: &RespondParams, cx: &mut StageContext) -> Result<(), StageError> {
        let seeds = match cx.optional_table("seeds")? {
            Some(_) => seeds::seeds(cx, "seeds", params.num_demonstrations > 0)?,
            None => Vec::new(),
        };
        // All rows are looked at first, so that a mistake in the table is found before the model runs.
        let table = cx.table("instructions")?;
        let rows = table.read()?;
        params.filters.check_scores(&rows)?;
        let all = queries(&rows, params.shown())?;
        let chooser =
            Chooser::new(params.demonstration_choice, params.num_demonstrations, &seeds, *cx.recipe().as_bytes());
        chooser.check(cx, &all)?;
        let template = model::template(cx, params.model.as_ref(), &params.template)?;
        let template = template.load(Purpose::Respond, cx.base_dir())?.with_cancel(cx.cancel_token());
        let writer = Writer { params, cx, template, chooser };
        let sampling = writer.sampling(&all)?;
        let mut backend = None;
        let mapped =
            cx.map_rows(&table, &schema(), |pending, sink| writer.write(pending, &sampling, sink, &mut backend))?;
        let done = rows::filter(&mapped.batches, &all, &params.filters, &params.sampling.reasoning)?;
        done.unanswered.report(cx, params.sampling.max_refused, "they were dropped")?;
        cx.write_batches("responses", done.kept.schema_ref(), [&done.kept])?;
        if done.trimmed > 0 {
            cx.counter("answers_trimmed", done.trimmed);
        }
        done.counts.warn_of_many(cx, "answers");
        let yields = done.counts.table()?;
        cx.write_batches("yield", yields.schema_ref(), [&yields])?;
        cx.counter("prompt_tokens", done.prompt_tokens);
        cx.counter("generated_tokens", done.generated_tokens);
        Ok(())
    }
}

/// Answers pending rows.
struct Writer<'a> {
    params: &'a RespondParams,
    cx: &'a StageContext,
    template: PromptTemplate,
    chooser: Chooser<'a>,
}

impl Writer<'_> {
    fn context<'a>(&'a self, query: &'a Query, demonstrations: &[usize]) -> PromptContext<'a> {
        let seed = |&i: &usize| {
            let seed = &self.chooser.seeds()[i];
            Demonstration {
                instruction: &seed.instruction,
                input: &seed.input,
                output: Some(&seed.output),
                passages: &[],
            }
        };
        PromptContext {
            domain: &self.params.domain,
            demonstrations: demonstrations.iter().map(seed).collect(),
            passages: &query.passages,
            instruction: Some(&query.instruction),
            input: &query.input,
            ..PromptContext::default()
        }
    }

    fn sampling(&self, all: &[Query]) -> Result<SamplingParams, StageError> {
        let context = |query| self.context(query, &self.chooser.choose(query));
        let stop = match &self.params.sampling.stop {
            Some(stop) => stop.clone(),
            None => self.template.common_stop("instructions", all, context)?,
        };
        Ok(self.params.sampling.params(stop, *self.cx.recipe().as_bytes()))
    }

    fn backend(&self) -> Result<Box<dyn Model>, StageError> {
        let params = self.params;
        let resolved = resolve(self.cx, params.model.as_ref())?;
        let adapter = self.cx.optional_files("adapter")?;
        let options = InFlight::of(self.cx, params.sampling.slots);
        resolved.backend(self.cx, params.weights, adapter.as_deref(), options, params.chat_date)
    }

    fn write(
        &self,
        pending: &PendingRows<'_>,
        sampling: &SamplingParams,
        sink: &RowSink<'_>,
        backend: &mut Option<Box<dyn Model>>,
    ) -> Result<(), StageError> {
        let params = self.params;
        let queries = queries(&pending.all()?, params.shown())?;
        let chosen: Vec<Vec<usize>> = queries.iter().map(|query| self.chooser.choose(query)).collect();
        let answer = |row: usize, finished: Finished| Answer {
            query: queries[row].clone(),
            finished,
            demonstrations: chosen[row].iter().map(|&i| self.chooser.seeds()[i].id.clone()).collect(),
        };
        let (blank, mut order): (Vec<usize>, Vec<usize>) =
            (0..queries.len()).partition(|&row| queries[row].instruction.trim().is_empty());
        if !blank.is_empty() {
            let unasked: Vec<Answer> =
                blank.iter().map(|&row| answer(row, Finished::unasked(NO_INSTRUCTION, ""))).collect();
            sink.emit(&blank, &answers(&unasked)?)?;
        }
        if order.is_empty() {
            return Ok(());
        }
        let backend = match backend {
            Some(backend) => backend,
            none => none.insert(self.backend()?),
        };
        // Neighbours with the same demonstrations and passages share the beginning of their prompts. No answer depends
        // on the order.
        order.sort_by_cached_key(|&i| {
            let passages: Vec<String> = queries[i].passages.iter().map(|p| p.id.clone()).collect();
            (chosen[i].clone(), passages, i)
        });
        let ids: Vec<&str> = queries.iter().map(|query| &*query.id).collect();
        let prompt = |i: usize| completions::rendered(self.template.render(&self.context(&queries[i], &chosen[i])));
        let unasked = |i: usize, finished: Finished| sink.emit(&[i], &answers(&[answer(i, finished)])?);
        let mut requests =
            completions::requests(order.into_iter().filter(|&row| sink.begin(row)), &ids, prompt, unasked);
        completions::complete_rows(self.cx, &**backend, "instructions", &ids, &mut requests, sampling, |rows, done| {
            let answered: Vec<Answer> = rows.iter().zip(done).map(|(&row, done)| answer(row, done.into())).collect();
            sink.emit(rows, &answers(&answered)?)
        })
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { instructions: retrieve, seeds: seed_subset }, params: { model: MODEL, num_demonstrations: 2, \
        max_new_tokens: 24, filters: { truncated: false } }",
    version: 5,
    outputs: &[
        ("responses", "ed78b98b66fb9751a24fe1126e133e6c218138970ec74857b1ae696d253ac37f"),
        ("yield", "52d0713dab9bfde903206b7ea875f48eb197edaa7b9ce69facbb4b45130afa02"),
    ],
};

//! `generate`: new instructions out of seed instructions.

mod filter;
mod outcome;
mod parse;

use std::sync::Arc;

use arrow::{
    array::{AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use pipe_engine::{
    context::{Attempt, AttemptSink, Flow, StageContext},
    highlights::Highlight,
    kind::{Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Source, StageError, StageKind},
};
use pipe_lm::generate::{Completion, Request, RowRandom, SamplingParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{filter::Filter, outcome::Kept};
use crate::{
    columns::{self, Seed, TextColumn},
    completions,
    model::{ModelRef, Quantization, generator_options, model_port, resolve},
    prompts::{Demonstration, PromptContext, PromptTemplate, Purpose, TemplateRef},
    yields::Yield,
};

pub use self::filter::InstructionFilters;

/// Writes new instructions with a base model that is shown a few seeds at a time (Self-Instruct, arXiv:2212.10560; Self-Specialization,
/// arXiv:2310.00160).
///
/// An attempt shows `num_demonstrations` seeds, drawn at random, and the model continues the list with one more instruction and, where seeds have
/// one, its input. Attempts run through the filters in order until `count` rows are kept. Attempt i depends on the parameters, the seeds and i alone,
/// and what is kept of it on earlier attempts: the first 1,000 of 20,000 rows are those of `count: 1000`, and a larger `count` adds only
/// what is missing.
///
/// Inputs: `seeds` (`instruction`, optional `id` and `input`); optional `model` (files, in place of the parameter); optional `exclude` (`instruction`,
/// optional `input`), whose instructions are dropped, such as those of the exam. Outputs: `instructions` (`id`, `instruction`, `input`, `demonstrations`: the
/// ids of the seeds shown, `finish_reason`), and `yield`: how many attempts each filter dropped.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateParams {
    /// The model that writes. Its content is part of the key, its place is not.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub model: Option<ModelRef>,
    /// How the model's weights are kept in memory. `nf4` takes an eighth of the room, and gives other texts.
    #[serde(default, skip_serializing_if = "Quantization::is_none")]
    pub quantization: Quantization,
    /// How many instructions are wanted.
    #[schemars(range(min = 1))]
    pub count: u64,
    /// Which of the many sequences of attempts.
    #[serde(default)]
    pub seed: u64,
    /// Seeds shown per attempt; all of them where there are fewer.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    pub num_demonstrations: usize,
    /// The prompt: plain, alpaca, chat, or a file. Its text is part of the key.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub template: TemplateRef,
    /// What the instructions are about, for templates that say so.
    #[serde(default)]
    pub domain: String,
    /// Softmax temperature; 0 is greedy.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
    /// Sample from the most likely tokens that together have this probability; 1 is off.
    #[serde(default = "top_p")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: f64,
    /// Sample from this many most likely tokens; 0 is off.
    #[serde(default)]
    pub top_k: usize,
    /// Drop tokens less likely than this fraction of the most likely one; 0 is off.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: f64,
    /// Divides the logits of tokens seen before; 1 is off.
    #[serde(default = "one")]
    pub repetition_penalty: f64,
    /// Most tokens per attempt. An attempt that reaches it is truncated, and dropped.
    #[serde(default = "max_new_tokens")]
    #[schemars(range(min = 1))]
    pub max_new_tokens: usize,
    /// Strings that end an attempt; those of the template when left out.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// What is dropped.
    #[serde(default)]
    pub filters: InstructionFilters,
    /// Give up after so many attempts.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub max_attempts: Option<u64>,
    /// Give up when so many attempts in succession kept nothing.
    #[serde(default = "patience")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub patience: u64,
    /// Attempts in flight at once.
    #[serde(default = "slots")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub slots: usize,
}

fn three() -> usize {
    3
}

fn one() -> f64 {
    1.0
}

fn top_p() -> f64 {
    0.98
}

fn max_new_tokens() -> usize {
    256
}

fn patience() -> u64 {
    2000
}

fn slots() -> usize {
    64
}

/// The kind.
pub struct Generate;

impl GenerateParams {
    fn sampling(&self, stop: Vec<String>, seed: [u8; 32]) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature as f32,
            top_p: self.top_p as f32,
            top_k: self.top_k,
            min_p: self.min_p as f32,
            repetition_penalty: self.repetition_penalty as f32,
            max_new_tokens: self.max_new_tokens,
            stop,
            seed,
            ..SamplingParams::default()
        }
    }
}

impl StageKind for Generate {
    type Params = GenerateParams;
    const NAME: &'static str = "generate";
    const VERSION: u32 = 2;
    const INCREMENT: Increment = Increment::Stream { extent: "count" };
    const AFTERWARDS: &'static [&'static str] = &["filters", "exclude"];

    fn ports(&self, params: &GenerateParams) -> Ports {
        let input = |name: &'static str, required| InputPort::new(name, PortType::Table, required);
        let output = |name: &'static str| OutputPort { name: name.into(), produces: PortType::Table };
        Ports {
            inputs: vec![input("seeds", true), model_port(params.model.as_ref()), input("exclude", false)],
            open_inputs: false,
            outputs: vec![output("instructions"), output("yield")],
        }
    }

    fn check(&self, params: &GenerateParams) -> Vec<ParamProblem> {
        let mut problems = params.filters.problems("/filters");
        let stop = params.stop.clone().unwrap_or_default();
        problems.extend(completions::sampling_problem(&params.sampling(stop, [0; 32])));
        if params.count == 0 {
            problems.push(ParamProblem {
                pointer: "/count".into(),
                message: "no rows are asked for".into(),
                help: Some("give the number of instructions wanted".into()),
            });
        }
        problems
    }

    fn highlights(&self, _: &GenerateParams) -> Vec<Highlight> {
        let tokens = Highlight::Count { counter: "generated_tokens", heading: "tokens generated" };
        vec![Highlight::Yield { port: "yield" }, tokens]
    }

    fn sources(&self, params: &GenerateParams) -> Result<Vec<Source>, StageError> {
        let mut sources = ModelRef::sources(params.model.as_ref());
        sources.push(params.template.source(Purpose::Generate));
        Ok(sources)
    }

    fn run(&self, params: &GenerateParams, cx: &mut StageContext) -> Result<(), StageError> {
        let seeds = columns::seeds(&cx.table("seeds")?.read()?, "seeds", false)?;
        let excluded = match cx.optional_table("exclude")? {
            Some(table) => excluded(&table.read()?)?,
            None => Vec::new(),
        };
        let template = params.template.load(Purpose::Generate, cx.base_dir())?;
        let writer = Writer { params, cx, template, with_inputs: seeds.iter().any(|s| !s.input.is_empty()), seeds };
        let mut fold = Fold::new(&writer, &excluded);
        cx.progress(0, Some(params.count), "rows");
        cx.stream(&attempt_schema(), |attempt| fold.see(&attempt), |sink| writer.write(sink))?;
        let Fold { kept, counts, prompt_tokens, generated_tokens, .. } = fold;
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

/// What is kept of an attempt.
fn attempt_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, false),
        Field::new("finish_reason", DataType::Utf8, false),
        Field::new("prompt_tokens", DataType::Int64, false),
        Field::new("generated_tokens", DataType::Int64, false),
    ]))
}

/// Makes attempts.
struct Writer<'a> {
    params: &'a GenerateParams,
    cx: &'a StageContext,
    template: PromptTemplate,
    seeds: Vec<Seed>,
    with_inputs: bool,
}

impl Writer<'_> {
    /// The seeds that an attempt shows, in prompt order: the first of a shuffle that is the attempt's own.
    fn demonstrations(&self, attempt: u64) -> Vec<&Seed> {
        let random = RowRandom::new(self.cx.recipe().as_bytes(), &format!("demonstrations of attempt {attempt}"));
        let mut order: Vec<&Seed> = self.seeds.iter().collect();
        let shown = self.params.num_demonstrations.min(order.len());
        for i in 0..shown {
            let left = order.len() - i;
            let pick = i + ((random.uniform(i) * left as f64) as usize).min(left - 1);
            order.swap(i, pick);
        }
        order.truncate(shown);
        order
    }

    fn context<'a>(&'a self, seeds: &[&'a Seed]) -> PromptContext<'a> {
        let shown = |s: &&'a Seed| Demonstration { instruction: &s.instruction, input: &s.input, output: None };
        PromptContext {
            domain: &self.params.domain,
            demonstrations: seeds.iter().map(shown).collect(),
            with_inputs: self.with_inputs,
            ..PromptContext::default()
        }
    }

    fn request(&self, attempt: u64) -> Result<Request, StageError> {
        let rendered = self.template.render(&self.context(&self.demonstrations(attempt)))?;
        Ok(Request { id: attempt.to_string(), prompt: rendered.into_prompt() })
    }

    /// Makes attempts until the fold has enough.
    fn write(&self, sink: &AttemptSink<'_>) -> Result<(), StageError> {
        let params = self.params;
        let stop = match &params.stop {
            Some(stop) => stop.clone(),
            None => self.template.stop(&self.context(&self.demonstrations(0)))?,
        };
        let sampling = params.sampling(stop, *self.cx.recipe().as_bytes());
        let model = resolve(self.cx, params.model.as_ref())?;
        let backend = model.backend(params.quantization, None, generator_options(params.slots))?;
        let mut requests = std::iter::from_fn(|| match sink.next_attempts(1) {
            Ok(range) => range.map(|attempt| self.request(attempt)).next(),
            Err(error) => Some(Err(error)),
        });
        let what = |id: &str| {
            let seeds = id.parse().map(|attempt| self.demonstrations(attempt)).unwrap_or_default();
            let seeds: Vec<String> = seeds.iter().map(|seed| format!("`{}`", seed.id)).collect();
            format!("an attempt that shows the seeds {}", seeds.join(", "))
        };
        completions::complete(self.cx, &*backend, &mut requests, &sampling, &what, |done| {
            let (attempts, rows) = attempts(&done)?;
            sink.emit(&attempts, &rows)?;
            Ok(if sink.is_done() { Flow::Enough } else { Flow::More })
        })
    }
}

/// Finished attempts as rows of [`attempt_schema`].
fn attempts(done: &[Completion]) -> Result<(Vec<u64>, RecordBatch), StageError> {
    let number = |c: &Completion| {
        c.id.parse().map_err(|_| StageError::contract(format!("the backend made up the request `{}`", c.id)))
    };
    let attempts = done.iter().map(number).collect::<Result<_, _>>()?;
    let tokens = |of: fn(&Completion) -> u64| done.iter().map(|c| of(c) as i64).collect::<Int64Array>();
    let rows = RecordBatch::try_new(
        attempt_schema(),
        vec![
            Arc::new(done.iter().map(|c| Some(&*c.text)).collect::<StringArray>()),
            Arc::new(done.iter().map(|c| Some(completions::finish_name(c.finish))).collect::<StringArray>()),
            Arc::new(tokens(|c| c.usage.prompt_tokens)),
            Arc::new(tokens(|c| c.usage.completion_tokens)),
        ],
    );
    Ok((attempts, rows.map_err(|e| StageError::other("gather attempts in a table", e))?))
}

/// Parses and filters attempts in their order.
struct Fold<'a> {
    writer: &'a Writer<'a>,
    filter: Filter,
    kept: Kept,
    counts: Yield,
    /// Attempts since a row was last kept.
    fruitless: u64,
    prompt_tokens: u64,
    generated_tokens: u64,
}

impl<'a> Fold<'a> {
    fn new(writer: &'a Writer<'a>, excluded: &[(String, String)]) -> Self {
        let filter = Filter::new(&writer.params.filters, &writer.seeds, excluded);
        let counts = Yield::new(&outcome::OUTCOMES);
        Self { writer, filter, kept: Kept::default(), counts, fruitless: 0, prompt_tokens: 0, generated_tokens: 0 }
    }

    fn see(&mut self, attempt: &Attempt<'_>) -> Result<Flow, StageError> {
        let params = self.writer.params;
        let text = |column: usize| attempt.batch.column(column).as_string::<i32>().value(attempt.row);
        let tokens = |column: usize| attempt.batch.column(column).as_primitive::<Int64Type>().value(attempt.row) as u64;
        self.prompt_tokens += tokens(2);
        self.generated_tokens += tokens(3);
        let finish = text(1);
        match self.filter.judge(text(0), finish) {
            Ok((instruction, input)) => {
                let id = format!("{}-{:06}", &self.writer.cx.recipe().to_string()[..8], attempt.index);
                let demonstrations = self.writer.demonstrations(attempt.index);
                self.kept.push(&id, &instruction, &input, &demonstrations, finish);
                self.counts.add(outcome::KEPT);
                self.fruitless = 0;
            }
            Err(reason) => {
                self.counts.add(reason);
                self.fruitless += 1;
            }
        }
        let (kept, attempts) = (self.kept.len(), attempt.index + 1);
        self.writer.cx.progress(kept, Some(params.count), "rows");
        if kept >= params.count {
            return Ok(Flow::Enough);
        }
        let spent = params.max_attempts.is_some_and(|max| attempts >= max);
        if spent || self.fruitless >= params.patience {
            return Err(self.gave_up(attempts, spent));
        }
        Ok(Flow::More)
    }

    fn gave_up(&self, attempts: u64, spent: bool) -> StageError {
        let params = self.writer.params;
        let why = if spent {
            format!("`max_attempts: {attempts}` is reached")
        } else {
            format!("the last {} of {attempts} attempts kept nothing", self.fruitless)
        };
        let help = if spent {
            "raise `max_attempts`, or loosen the filter that drops most"
        } else {
            "loosen the filter that drops most (`filters`), show other seeds, raise the temperature or `max_new_tokens`, or ask for fewer rows; \
             `patience` says how long to try"
        };
        StageError::user_help(
            format!(
                "{} of {} instructions were kept, and {why} ({})",
                self.kept.len(),
                params.count,
                self.counts.told()
            ),
            help,
        )
    }
}

//! `score`: how probable a model finds texts that are given.

mod items;
mod likelihoods;
mod params;
mod scores;

use std::path::Path;

use pipe_engine::{
    context::StageContext,
    kind::{
        Arriving, Column, Highlight, Increment, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview,
        Question, Role, Source, SourceHost, StageError, StageKind,
    },
};

pub use self::params::{OutputType, ScoreParams};
pub(crate) use self::params::{is_of_all_texts, leave_out_what_bits_say, less_is_better};
use self::{items::Items, likelihoods::Likelihoods, scores::Scored};
use crate::{
    model::{self, Asked, ModelRef, Work, adapter_port, model_port},
    prompts::Purpose,
    rows::{fewshot, ports, scores as summed},
};

/// The kind.
#[derive(Debug, Clone)]
pub struct Score;

impl StageKind for Score {
    type Params = ScoreParams;
    const NAME: &'static str = "score";
    // 1: the first.
    // 2: an answer that counts choices, among which a null stands, is refused.
    const VERSION: u32 = 2;
    const INCREMENT: Increment = Increment::RowWise { primary: "items" };
    const AFTERWARDS: &'static [&'static str] = &["bootstrap", "max_refused"];

    fn ports(&self, params: &ScoreParams) -> Ports {
        let items = InputPort::new("items", PortType::Table, true).role(Role::Exam);
        let takes = [ports::id(), ports::task(), ports::input(), ports::passages()];
        let mut inputs = match params.output_type {
            OutputType::MultipleChoice => vec![
                items
                    .about("The exam.")
                    .needs([ports::instruction(), ports::choices(&params.choices), ports::right_choice(&params.answer)])
                    .takes(takes),
            ],
            OutputType::Loglikelihood => vec![
                items
                    .about("Questions with their answers.")
                    .needs([ports::instruction(), ports::right_choice(&params.answer)])
                    .takes(takes),
            ],
            OutputType::LoglikelihoodRolling => vec![
                items
                    .about("Texts.")
                    .needs([Column::text(params.text.clone(), "The text.")])
                    .takes([ports::id(), ports::task()]),
            ],
        };
        if params.is_asked() {
            inputs.push(fewshot::port(params.fewshot.num_fewshot));
        }
        inputs.extend([adapter_port(), model_port(params.model.as_ref())]);
        let metrics = params.output_type.metrics();
        let [over_all, by_task] = summed::ports(params.output_type.summed().iter().map(|metric| metric.name));
        let predictions = OutputPort::table("predictions")
            .about("One row per item: how probable its texts are, and how it is scored.")
            .gives([ports::id(), ports::task()])
            .may_give([
                ports::instruction(),
                ports::input(),
                Column::text("reference", "The right answer."),
                Column::new("labels", "list of texts", "The answers that there are to choose from."),
                Column::text("prediction", "The most probable choice."),
            ])
            .gives([
                Column::new("logprobs", "list of numbers", "Natural logarithms of the probabilities of its texts."),
                Column::new("text_tokens", "list of numbers", "Tokens of its texts."),
                Column::text("outcome", "`scored`, or why it has no scores."),
            ])
            .gives(metrics.iter().map(|metric| Column::number(metric.name, metric.about)));
        Ports { inputs, open_inputs: false, outputs: vec![predictions, over_all, by_task, ports::yields()] }
    }

    fn check(&self, params: &ScoreParams) -> Vec<ParamProblem> {
        params.problems()
    }

    fn check_files(&self, params: &ScoreParams, folder: &Path) -> Vec<ParamProblem> {
        if params.is_asked() { params.template.problems(Purpose::Respond, folder) } else { Vec::new() }
    }

    fn sources(&self, params: &ScoreParams) -> Result<Vec<Source>, StageError> {
        let mut sources = ModelRef::sources(params.model.as_ref());
        if params.is_asked() {
            sources.push(params.template.source(Purpose::Respond));
        }
        Ok(sources)
    }

    fn shares(&self, params: &ScoreParams) -> Option<String> {
        ModelRef::shared(params.model.as_ref())
    }

    fn follow(&self, params: &ScoreParams, arriving: &Arriving) -> Result<Preview, StageError> {
        model::follow(params.model.as_ref(), arriving)
    }

    fn asks(&self, params: &ScoreParams, host: &dyn SourceHost) -> Option<Question> {
        model::asks(params.model.as_ref(), host)
    }

    fn highlights(&self, params: &ScoreParams) -> Vec<Highlight> {
        params.output_type.summed().iter().map(|metric| summed::highlight(metric.name, metric.heading)).collect()
    }

    fn preview(&self, params: &ScoreParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        let template = params.is_asked().then_some((&params.template, Purpose::Respond));
        let work = params.is_asked().then_some(Work::Rows { slots: params.slots, max_new_tokens: 0 });
        let asked = Asked { weights: params.weights, chat_date: params.chat_date, template, work };
        model::preview(params.model.as_ref(), &asked, host)
    }

    fn run(&self, params: &ScoreParams, cx: &mut StageContext) -> Result<(), StageError> {
        let table = cx.table("items")?;
        let items = Items::read(params, &table.read()?)?;
        items.report(params, cx)?;
        let found = Likelihoods::of(params, cx, &table)?;
        found.report(params, cx, &items)?;
        cx.check_cancelled()?;
        let scored = Scored::new(params, &items, &found);
        let table = scored.predictions(params, &items, &found)?;
        cx.write_batches("predictions", table.schema_ref(), [&table])?;
        scored.summary(params, &items)?.write(cx)?;
        let table = found.counts.table()?;
        cx.write_batches("yield", table.schema_ref(), [&table])?;
        Ok(())
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { items: table, adapter: train }, params: { model: MODEL, bootstrap: { resamples: 50 } }",
    version: 2,
    outputs: &[
        ("predictions", "e68551d30de143249f9560b443565127e60adfb21c7a9e7d852346d3dc1871fb"),
        ("scores", "97eb0c13aa05ad1f2651ca49aad3d2cbe80ec0351d725c6bd17fbaf518c7b98d"),
        ("tasks", "e1e91c5a5ae8b5f5dc8b266a0ea55d94ebbb2631303128f6cbe067a997bf9458"),
        ("yield", "0008548a688f3beb3b788bf8d3c04001aba71ebd858334c2a95db8755c6c8285"),
    ],
};

#[cfg(test)]
mod tests;

mod edges;
mod large;
mod oracle;
mod studies;

use std::{fs::File, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use pipe_testing::{Lab, Ran};
use serde_json::Value;

/// One scored item.
#[derive(Debug, Clone, Default)]
struct Item {
    id: String,
    task: Option<String>,
    passage: Option<String>,
    scores: Vec<Option<f64>>,
}

/// Items `i0`, `i1`, .. of two tasks, each two of a passage, with one score.
fn items<S: Into<Option<f64>>>(count: usize, score: impl Fn(usize) -> S) -> Vec<Item> {
    let item = |i: usize| Item {
        id: format!("i{i}"),
        task: Some(format!("t{}", i % 2)),
        passage: Some(format!("p{}", i / 2)),
        scores: vec![score(i).into()],
    };
    (0..count).map(item).collect()
}

/// Writes them to a file; the scores are called so.
fn write(lab: &Lab, file: &str, metrics: &[&str], items: &[Item]) {
    let text = |of: fn(&Item) -> Option<&str>| -> ArrayRef { Arc::new(items.iter().map(of).collect::<StringArray>()) };
    let mut columns = vec![
        ("id", text(|item| Some(&item.id)), true),
        ("task", text(|item| item.task.as_deref()), true),
        ("passage", text(|item| item.passage.as_deref()), true),
    ];
    for (i, metric) in metrics.iter().enumerate() {
        columns.push((metric, Arc::new(items.iter().map(|item| item.scores[i]).collect::<Float64Array>()), true));
    }
    let table = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(lab.path(file)).unwrap(), table.schema(), None).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
}

/// Levels of a factor `n`, the first of which is the baseline's, in draws.
struct Study {
    lab: Lab,
    levels: Vec<i64>,
    draws: Vec<&'static str>,
}

impl Study {
    /// With the score `f1` of `items` items.
    fn new<S: Into<Option<f64>>>(
        levels: &[i64],
        draws: &[&'static str],
        items: usize,
        score: impl Fn(i64, &str, usize) -> S,
    ) -> Self {
        Self::of(levels, draws, &["f1"], |level, draw| self::items(items, |item| score(level, draw, item)))
    }

    fn of(levels: &[i64], draws: &[&'static str], metrics: &[&str], items: impl Fn(i64, &str) -> Vec<Item>) -> Self {
        let lab = Lab::with(crate::registry());
        for level in levels {
            for draw in draws {
                write(&lab, &format!("{level}-{draw}.parquet"), metrics, &items(*level, draw));
            }
        }
        Self { lab, levels: levels.to_vec(), draws: draws.to_vec() }
    }

    /// Compares them.
    fn run(&self, params: &str) -> Ran {
        self.run_with(&format!(
            "  effects: {{ kind: compare, inputs: {{ predictions: 'scores[*]' }}, params: {{ {params} }} }}\n"
        ))
    }

    /// The same with other stages below the scores.
    fn run_with(&self, stages: &str) -> Ran {
        let others: Vec<String> = self.levels[1..].iter().map(ToString::to_string).collect();
        let replicate = match &*self.draws {
            [_] => String::new(),
            draws => format!("replicate: {{ draw: [{}] }}\n", draws.join(", ")),
        };
        self.lab.run(&format!(
            "pipeline: p\nvars: {{ n: {}, draw: {} }}\nablate: {{ n: [{}] }}\n{replicate}stages:\n  scores: {{ kind: \
             table, params: {{ path: '${{n}}-${{draw}}.parquet' }} }}\n{stages}",
            self.levels[0],
            self.draws[0],
            others.join(", "),
        ))
    }

    /// Rows of an output.
    fn rows(&self, output: &str, wanted: &[(&str, &str)]) -> Vec<Value> {
        rows(&self.lab, output, wanted)
    }

    /// The one row.
    fn row(&self, output: &str, wanted: &[(&str, &str)]) -> Value {
        let mut rows = self.rows(output, wanted);
        assert_eq!(rows.len(), 1, "{output} {wanted:?}: {rows:#?}");
        rows.remove(0)
    }
}

fn rows(lab: &Lab, output: &str, wanted: &[(&str, &str)]) -> Vec<Value> {
    let all = lab.rows(&format!("effects.{output}"));
    all.into_iter().filter(|row| wanted.iter().all(|(name, value)| row[*name] == *value)).collect()
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("no {name}: {row}"))
}

#[track_caller]
fn close(row: &Value, name: &str, expect: f64, within: f64) {
    let found = number(row, name);
    assert!((found - expect).abs() <= within, "{name}: {found} instead of {expect}: {row}");
}

/// `columns` of each row, as one line.
fn lines(rows: &[Value], columns: &[&str]) -> Vec<String> {
    let cell = |row: &Value, name: &&str| match &row[*name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    rows.iter().map(|row| columns.iter().map(|name| cell(row, name)).collect::<Vec<_>>().join(" | ")).collect()
}

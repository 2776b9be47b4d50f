//! From the tables of a comparison to what is shown of it.

use std::collections::BTreeMap;

use arrow::{array::RecordBatch, json::ArrayWriter};
use pipe_report::{Comparison, Contrast, Effect, LeftOut, Mean, Trend, Variance};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::comparison::Answers;

/// Ids of items that are named for one reason.
const NAMED: usize = 5;
/// Rows that are read at once.
const TOGETHER: usize = 1 << 13;

/// Fills what the answers say.
pub(super) fn fill(comparison: &mut Comparison, answers: &Answers) -> Result<(), String> {
    comparison.effects = rows::<Effect>(&answers.effects)?;
    comparison.means = rows::<Mean>(&answers.means)?;
    comparison.trends = rows::<Trend>(&answers.trends)?;
    comparison.contrasts = rows::<Contrast>(&answers.contrasts)?;
    comparison.variance = objects(&answers.variance)?.into_iter().map(variance).collect();
    comparison.left_out = left_out(&answers.left_out)?;
    Ok(())
}

fn variance(row: Map<String, Value>) -> Variance {
    let number = |name: &str| row.get(name).and_then(Value::as_f64);
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    Variance {
        metric: text("metric").unwrap_or_default(),
        not_asked: text("not_asked"),
        draws: number("share_draws"),
        items: number("share_items"),
        sampling: number("share_sampling"),
    }
}

/// One entry for all items with the same reason.
fn left_out(table: &RecordBatch) -> Result<Vec<LeftOut>, String> {
    let mut found: Vec<LeftOut> = Vec::new();
    let mut places: BTreeMap<[Option<String>; 4], usize> = BTreeMap::new();
    // There may be a row for every item, which as JSON take many times what they do in a table.
    for first in (0..table.num_rows()).step_by(TOGETHER) {
        let some = table.slice(first, TOGETHER.min(table.num_rows() - first));
        for row in objects(&some)? {
            let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
            let key = [text("metric"), text("arm"), text("draw"), text("why")];
            let place = *places.entry(key.clone()).or_insert_with(|| {
                let [metric, arm, draw, why] = key;
                let (arm, why) = (arm.unwrap_or_default(), why.unwrap_or_default());
                found.push(LeftOut { metric, arm, draw, why, items: 0, ids: Vec::new() });
                found.len() - 1
            });
            if let Some(id) = text("id") {
                found[place].items += 1;
                if found[place].ids.len() < NAMED {
                    found[place].ids.push(id);
                }
            }
        }
    }
    Ok(found)
}

/// Rows as what they are; fields are called as columns.
fn rows<T: DeserializeOwned>(table: &RecordBatch) -> Result<Vec<T>, String> {
    let read = |row| serde_json::from_value(Value::Object(row)).map_err(|e| e.to_string());
    objects(table)?.into_iter().map(read).collect()
}

/// Rows as JSON; what is null, or no number, is left out.
pub(super) fn objects(table: &RecordBatch) -> Result<Vec<Map<String, Value>>, String> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write(table).and_then(|()| writer.finish()).map_err(|e| e.to_string())?;
    let written = writer.into_inner();
    if written.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&written).map_err(|e| e.to_string())
}

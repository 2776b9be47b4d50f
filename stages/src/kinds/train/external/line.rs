//! A line that the program prints.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The longest line that is one of progress; others go to the stage's log as they are.
const MAX_LINE: usize = 64 << 10;

/// A line of progress. Other keys are the program's own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    /// What it runs with, by name; before the first step.
    pub versions: Option<BTreeMap<String, String>>,
    /// The step of the checkpoint from which it goes on.
    pub resumed: Option<u64>,
    /// An optimizer step, from 1.
    pub step: Option<u64>,
    /// Of the step, in nats per target token.
    pub loss: Option<f64>,
    /// Of the step, where it is not the one that it was given.
    #[serde(alias = "lr")]
    pub learning_rate: Option<f64>,
    /// Of the step, before it was clipped.
    pub grad_norm: Option<f64>,
    /// Token ids of the step's rows.
    pub tokens: Option<u64>,
    /// On the held-out rows, after `step`.
    pub eval_loss: Option<f64>,
}

impl Line {
    /// A line of JSON that says something of a training; numbers that are none (`NaN`), as Python's `json` writes
    /// them, are left out.
    ///
    /// # Errors
    /// It tells the loss of a step in another way.
    pub(super) fn read(line: &str) -> Result<Option<Self>, serde_json::Error> {
        if !line.starts_with('{') || line.len() > MAX_LINE {
            return Ok(None);
        }
        let without = || ["-Infinity", "Infinity", "NaN"].iter().fold(line.to_owned(), |l, n| l.replace(n, "null"));
        match serde_json::from_str::<Self>(line).or_else(|_| serde_json::from_str(&without())) {
            Ok(found) => {
                Ok((found.versions.is_some() || found.resumed.is_some() || found.step.is_some()).then_some(found))
            }
            Err(error) => {
                let value = serde_json::from_str::<serde_json::Value>(&without()).unwrap_or_default();
                let says = |key| value.get(key).is_some();
                if says("step") && (says("loss") || says("eval_loss")) { Err(error) } else { Ok(None) }
            }
        }
    }
}

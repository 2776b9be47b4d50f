//! How many rows an optimizer step has, and in which parts it is computed.

use pipe_engine::kind::ParamProblem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};

/// Rows of a step where nothing is said: QLoRA's.
const DEFAULT: usize = 16;

/// Three numbers of which two give the third: `batch_size = micro_batch_size * gradient_accumulation_steps`. What
/// enters the key is how a step is computed, the last two, however it was said.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct BatchParams {
    /// Rows of an optimizer step. Given alone, they are computed at once; with one of the next two, in parts. 16 if
    /// none of the three is given.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub batch_size: Option<usize>,
    /// Rows per forward and backward pass.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub micro_batch_size: Option<usize>,
    /// Passes per optimizer step; their loss is normalised by the answer tokens of all of them together.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub gradient_accumulation_steps: Option<usize>,
}

impl BatchParams {
    /// Rows per pass, and passes per step.
    ///
    /// # Errors
    /// The three numbers contradict each other.
    pub fn parts(&self) -> Result<(usize, usize), ParamProblem> {
        let (rows, micro, passes) = (self.batch_size, self.micro_batch_size, self.gradient_accumulation_steps);
        let problem = |pointer: &str, message: String, help: &str| {
            Err(ParamProblem { pointer: pointer.to_owned(), message, help: Some(help.to_owned()) })
        };
        match (rows, micro, passes) {
            (None, micro, passes) => Ok((micro.unwrap_or(DEFAULT), passes.unwrap_or(1))),
            (Some(rows), None, None) => Ok((rows, 1)),
            (Some(rows), Some(micro), None) if rows % micro == 0 => Ok((micro, rows / micro)),
            (Some(rows), None, Some(passes)) if rows % passes == 0 => Ok((rows / passes, passes)),
            (Some(rows), Some(micro), Some(passes)) if micro.checked_mul(passes) == Some(rows) => Ok((micro, passes)),
            (Some(rows), Some(micro), None) => problem(
                "/micro_batch_size",
                format!("a step of {rows} rows has no whole number of parts of {micro}"),
                "`micro_batch_size` divides `batch_size`",
            ),
            (Some(rows), None, Some(passes)) => problem(
                "/gradient_accumulation_steps",
                format!("a step of {rows} rows cannot be computed in {passes} equal parts"),
                "`gradient_accumulation_steps` divides `batch_size`",
            ),
            (Some(rows), Some(micro), Some(passes)) => problem(
                "/batch_size",
                format!("{passes} passes of {micro} rows are no step of {rows}"),
                "`batch_size` is `micro_batch_size` times `gradient_accumulation_steps`: leave one of them out, and it \
                 follows",
            ),
        }
    }
}

impl Serialize for BatchParams {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Contradictions are refused before anything is made of them.
        let (micro, passes) = self.parts().unwrap_or_default();
        let mut parts = serializer.serialize_struct("BatchParams", 2)?;
        parts.serialize_field("micro_batch_size", &micro)?;
        parts.serialize_field("gradient_accumulation_steps", &passes)?;
        parts.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::BatchParams;

    #[test]
    fn two_numbers_give_the_third() {
        let parts = |rows, micro, passes| {
            let params = BatchParams { batch_size: rows, micro_batch_size: micro, gradient_accumulation_steps: passes };
            params.parts().map_err(|problem| format!("{}: {}", problem.pointer, problem.message))
        };
        assert_eq!(parts(None, None, None), Ok((16, 1)));
        assert_eq!(parts(None, Some(4), None), Ok((4, 1)), "as said: without `batch_size` a step is one pass");
        assert_eq!(parts(None, Some(4), Some(8)), Ok((4, 8)));
        assert_eq!(parts(Some(64), None, None), Ok((64, 1)));
        assert_eq!(parts(Some(64), Some(4), None), Ok((4, 16)));
        assert_eq!(parts(Some(64), None, Some(8)), Ok((8, 8)));
        assert_eq!(parts(Some(64), Some(8), Some(8)), Ok((8, 8)));
        let refused = |text: &str| Err(text.to_owned());
        assert_eq!(parts(Some(64), Some(4), Some(8)), refused("/batch_size: 8 passes of 4 rows are no step of 64"));
        assert_eq!(
            parts(Some(16), Some(3), None),
            refused("/micro_batch_size: a step of 16 rows has no whole number of parts of 3")
        );
        assert_eq!(
            parts(Some(4), Some(16), None),
            refused("/micro_batch_size: a step of 4 rows has no whole number of parts of 16")
        );
        assert_eq!(
            parts(Some(16), None, Some(1 << 60)),
            refused(&format!(
                "/gradient_accumulation_steps: a step of 16 rows cannot be computed in {} equal parts",
                1_u64 << 60
            ))
        );
        assert!(parts(Some(16), Some(1 << 40), Some(1 << 40)).is_err());
    }

    #[test]
    fn what_is_computed_alike_has_one_key() {
        let json = |given| serde_json::to_value(serde_json::from_value::<BatchParams>(given).unwrap()).unwrap();
        let expect = json!({ "micro_batch_size": 4, "gradient_accumulation_steps": 4 });
        assert_eq!(json(json!({ "batch_size": 16, "micro_batch_size": 4 })), expect);
        assert_eq!(
            json(json!({ "micro_batch_size": 4, "gradient_accumulation_steps": 4, "batch_size": null })),
            expect
        );
    }
}

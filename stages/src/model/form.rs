//! The parameter `weights`: the form in which a model's weights are kept in memory.

use std::{borrow::Cow, path::Path};

use pipe_engine::kind::StageError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The form of a model's weights in memory; sums are f32 in all of them, and activations in all but one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightForm {
    /// f32, whatever the checkpoint has; of a GGUF file its own blocks.
    #[default]
    F32,
    /// Rounded to bfloat16: half the memory.
    Bf16,
    /// Blocks of 32 values in 8 bits with a scale of 16, as GGUF's `Q8_0`: a quarter.
    Q8_0,
    /// As `Q8_0`, and activations rounded likewise before they are multiplied, in inference.
    W8A8,
    /// The matrices of the layers in 4-bit NormalFloat with double quantization, as bitsandbytes has it: an eighth.
    Nf4,
    /// Of a GGUF file: its blocks, expanded to f32 once.
    Dequantized,
}

/// Each form with its name in pipeline files, and what it is.
const FORMS: [(WeightForm, &str, &str); 6] = [
    (WeightForm::F32, "f32", "f32, whatever the checkpoint has; of a GGUF file its own blocks."),
    (WeightForm::Bf16, "bf16", "Rounded to bfloat16: half the memory. A checkpoint in bfloat16 loses nothing."),
    (WeightForm::Q8_0, "q8_0", "Blocks of 32 in 8 bits, as GGUF's Q8_0: a quarter of the memory."),
    (
        WeightForm::W8A8,
        "w8a8",
        "As q8_0, and activations are rounded likewise, as llama.cpp does: twice as quick. Training rounds none.",
    ),
    (WeightForm::Nf4, "nf4", "The layers' matrices in 4-bit NormalFloat with double quantization (QLoRA): an eighth."),
    (
        WeightForm::Dequantized,
        "dequantized",
        "Of a GGUF file: its blocks, expanded to f32 once. More memory, not faster.",
    ),
];

/// What the default was called when the parameter was `quantization`; keys have it still.
const NONE: &str = "none";

impl WeightForm {
    /// How many there are.
    pub(super) const COUNT: usize = FORMS.len();

    /// Whether it is what a stage has where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of a value of a layer's matrix, and of the embedding and the head.
    pub(super) fn bytes_per_value(self) -> (f64, f64) {
        match self {
            Self::F32 | Self::Dequantized => (4.0, 4.0),
            Self::Bf16 => (2.0, 2.0),
            // 32 values and a scale of 16 bits.
            Self::Q8_0 | Self::W8A8 => (34.0 / 32.0, 34.0 / 32.0),
            // 64 values of 4 bits, and their scale in f32; the ends keep their type, 16 bits as a rule.
            Self::Nf4 => (0.5 + 4.0 / 64.0, 2.0),
        }
    }

    /// Its name in pipeline files.
    pub fn name(self) -> &'static str {
        FORMS.iter().find(|(form, ..)| *form == self).map_or(NONE, |(_, name, _)| name)
    }

    /// Whether the weights of a GGUF file can be kept so.
    ///
    /// # Errors
    /// They have a form of their own, and can be expanded at most.
    pub(super) fn of_gguf(self, path: &Path) -> Result<(), StageError> {
        if matches!(self, Self::F32 | Self::Dequantized | Self::W8A8) {
            return Ok(());
        }
        let (path, form) = (path.display(), self.name());
        Err(StageError::user_help(
            format!("{path} is a GGUF file, whose weights have a form of their own: they cannot be {form}"),
            "leave `weights` out, write `weights: dequantized`, or use the model's Hugging Face directory",
        ))
    }

    /// Whether products can be rounded so; `in_8_bits` says whether the model at `place` can have weights in 8 bits.
    ///
    /// # Errors
    /// It is a GGUF file that has others.
    pub(super) fn of_blocks(self, in_8_bits: bool, place: &Path) -> Result<(), StageError> {
        if self != Self::W8A8 || in_8_bits {
            return Ok(());
        }
        Err(StageError::user_help(
            format!("{} is a GGUF file without weights in Q8_0: they cannot be w8a8", place.display()),
            "leave `weights` out, or take the file in Q8_0, or the model's Hugging Face directory",
        ))
    }

    /// What a schema needs beside the parameter `weights`: the name that it had, so that older files are read.
    pub(crate) fn with_old_name(schema: &mut Schema) {
        const OLD: &str = "quantization";
        let Some(properties) = schema.get_mut("properties").and_then(|all| all.as_object_mut()) else { return };
        let Some(mut property) = properties.get("weights").cloned() else { return };
        if let Some(property) = property.as_object_mut() {
            property.insert("description".to_owned(), "The old name of `weights`.".into());
            property.insert("deprecated".to_owned(), true.into());
        }
        properties.insert(OLD.to_owned(), property);
    }
}

impl Serialize for WeightForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_default() { NONE } else { self.name() })
    }
}

impl<'de> Deserialize<'de> for WeightForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        let named = FORMS.iter().find(|(_, known, _)| *known == name).map(|(form, ..)| *form);
        let named = named.or_else(|| (name == NONE).then(Self::default));
        named.ok_or_else(|| de::Error::unknown_variant(&name, &["f32", "bf16", "q8_0", "w8a8", "nf4", "dequantized"]))
    }
}

impl JsonSchema for WeightForm {
    fn schema_name() -> Cow<'static, str> {
        "WeightForm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |name: &str, about: &str| json_schema!({ "description": about, "type": "string", "const": name });
        let mut forms: Vec<Schema> = FORMS.iter().map(|(_, name, about)| one(name, about)).collect();
        forms.push(one(NONE, "The old name of `f32`."));
        json_schema!({
            "description": "The form in which a model's weights are kept in memory; sums are f32 in all of them.",
            "oneOf": forms,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_are_read_by_both_names_and_written_as_keys_have_them() {
        let read = |name: &str| serde_json::from_value::<WeightForm>(json!(name));
        for (form, name, _) in FORMS {
            assert_eq!(read(name).unwrap(), form);
            assert_eq!(read(serde_json::to_value(form).unwrap().as_str().unwrap()).unwrap(), form);
        }
        assert_eq!((read("none").unwrap(), json!(WeightForm::F32)), (WeightForm::F32, json!("none")));
        assert!(read("int8").unwrap_err().to_string().contains("q8_0"));
    }
}

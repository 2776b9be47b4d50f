//! `export`: a model's files for other programs.

use candle_core::DType;
use pipe_engine::{
    context::StageContext,
    kind::{OutputPort, ParamProblem, PortType, Ports, Preview, Source, SourceHost, StageError, StageKind},
};
use pipe_lm::{
    adapter::{Merged, load_adapter},
    export::{MAX_SHARD_BYTES, export_hf},
    gguf::{GgufType, export_gguf, export_gguf_adapter, export_gguf_again},
    tokenizer::TokenizerConfig,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    self, Asked, BaseModel, EXPORTED_GGUF, ModelRef, Work, adapter_port, model_error, model_port, resolve_local,
};

/// Writes a model, with an adapter folded into its weights, for other programs: a Hugging Face directory (transformers,
/// vLLM), or one GGUF file (llama.cpp, Ollama).
///
/// Folding adds `scale * B A` to each weight, in f32, and then rounds to `dtype`. An adapter of QLoRA was trained on
/// quantised weights and is folded into the unquantised ones. A model that is a GGUF file becomes another one (`format:
/// gguf`): the matrices that the adapter changes are expanded and stored in `dtype`, all else stays as it is, byte for
/// byte.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportParams {
    /// The base model: a Hugging Face directory, a hub id or a GGUF file. Its files enter the key by content. Or
    /// connect the input `model`.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub model: Option<ModelRef>,
    /// What is written.
    #[serde(default)]
    pub format: ExportFormat,
    /// What becomes of the adapter.
    #[serde(default, skip_serializing_if = "AdapterPart::is_merged")]
    pub adapter: AdapterPart,
    /// The type of the weights; in a Hugging Face directory as the base stores them, and in GGUF f16, when left out.
    #[serde(default)]
    pub dtype: Option<ExportType>,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// A Hugging Face directory with safetensors.
    #[default]
    HuggingFace,
    /// One GGUF file.
    Gguf,
}

/// What becomes of the adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdapterPart {
    /// It is folded into the weights.
    #[default]
    Merged,
    /// It alone is written, as `adapter.gguf`: llama.cpp's and Ollama's form, for `format: gguf`. (PEFT's form is that
    /// of `train`.) The base may be a GGUF file.
    Separate,
}

impl AdapterPart {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde wants")]
    fn is_merged(&self) -> bool {
        *self == Self::Merged
    }
}

/// The type of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportType {
    /// 32-bit floats.
    Float32,
    /// 16-bit floats.
    Float16,
    /// Brain floats; Hugging Face only.
    Bfloat16,
    /// 8-bit integers in blocks of 32 with a scale; GGUF only.
    Q8_0,
}

/// The kind.
pub struct Export;

impl ExportParams {
    /// The type of an export to safetensors; `None` keeps the stored ones.
    fn tensors(&self) -> Result<Option<DType>, &'static str> {
        Ok(match self.dtype {
            None => None,
            Some(ExportType::Float32) => Some(DType::F32),
            Some(ExportType::Float16) => Some(DType::F16),
            Some(ExportType::Bfloat16) => Some(DType::BF16),
            Some(ExportType::Q8_0) => return Err("safetensors have no q8_0"),
        })
    }

    fn gguf(&self) -> Result<GgufType, &'static str> {
        Ok(match self.dtype {
            Some(ExportType::Float32) => GgufType::F32,
            None | Some(ExportType::Float16) => GgufType::F16,
            Some(ExportType::Q8_0) => GgufType::Q8_0,
            Some(ExportType::Bfloat16) => return Err("GGUF files are not written in bfloat16"),
        })
    }
}

impl StageKind for Export {
    type Params = ExportParams;
    const NAME: &'static str = "export";
    // 1: the first.
    // 2: YaRN's factors and several ends are carried into GGUF; files that disagree about ends agree in the export;
    //    what GGUF lacks is refused.
    const VERSION: u32 = 2;

    fn ports(&self, params: &ExportParams) -> Ports {
        let outputs = vec![
            OutputPort::new("model", PortType::Files)
                .about("The model with the adapter in it: a Hugging Face directory, or one with `model.gguf`."),
        ];
        let inputs = vec![adapter_port(), model_port(params.model.as_ref())];
        Ports { inputs, open_inputs: false, outputs }
    }

    fn check(&self, params: &ExportParams) -> Vec<ParamProblem> {
        let problem = match params.format {
            ExportFormat::HuggingFace => params.tensors().err(),
            ExportFormat::Gguf => params.gguf().err(),
        };
        if params.adapter == AdapterPart::Separate && params.format != ExportFormat::Gguf {
            return vec![ParamProblem {
                pointer: "/adapter".into(),
                message: "an adapter by itself is written as GGUF".into(),
                help: Some("add `format: gguf`; in PEFT's form it is the output of `train`".into()),
            }];
        }
        if params.adapter == AdapterPart::Separate && params.dtype.is_some_and(|dtype| dtype != ExportType::Float32) {
            return vec![ParamProblem {
                pointer: "/dtype".into(),
                message: "an adapter by itself is written in float32".into(),
                help: Some("leave it out, or fold the adapter into the weights (`adapter: merged`)".into()),
            }];
        }
        let problem = problem.map(|message| ParamProblem {
            pointer: "/dtype".into(),
            message: message.into(),
            help: Some("float32 and float16 are written in both formats".into()),
        });
        problem.into_iter().collect()
    }

    fn sources(&self, params: &ExportParams) -> Result<Vec<Source>, StageError> {
        Ok(ModelRef::sources(params.model.as_ref()))
    }

    fn preview(&self, params: &ExportParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        model::preview(params.model.as_ref(), &Asked { work: Some(Work::Reading), ..Asked::default() }, host)
    }

    fn run(&self, params: &ExportParams, cx: &mut StageContext) -> Result<(), StageError> {
        let base = resolve_local(cx, params.model.as_ref())?;
        if params.adapter == AdapterPart::Separate {
            return separate(cx, &base);
        }
        let adapter = cx.optional_files("adapter")?;
        let adapter = adapter.map(|dir| load_adapter(&dir, base.config()).map_err(model_error)).transpose()?;
        let adapter = adapter.as_ref().map(|(_, adapter)| adapter);
        if let Some(file) = base.gguf()?.filter(|_| params.format == ExportFormat::Gguf) {
            let adapter = adapter.ok_or_else(|| {
                StageError::user_help(
                    format!("{} is a GGUF file already, and no adapter is connected", base.place().display()),
                    "connect the input `adapter`, or use the file as it is",
                )
            })?;
            let path = cx.output_dir("model")?.join(EXPORTED_GGUF);
            return export_gguf_again(&path, &file, adapter, params.gguf().map_err(StageError::user)?)
                .map_err(model_error);
        }
        let weights = base.weights()?;
        cx.check_cancelled()?;
        let dir = cx.output_dir("model")?;
        match params.format {
            ExportFormat::HuggingFace => {
                let merged = Merged::new(&weights, base.config(), adapter, params.tensors().map_err(StageError::user)?);
                export_hf(&dir, base.folder()?, &merged, base.ends(), MAX_SHARD_BYTES).map_err(model_error)?;
            }
            ExportFormat::Gguf => {
                let merged = Merged::new(&weights, base.config(), adapter, None);
                let chat = TokenizerConfig::from_dir(base.folder()?).map_err(model_error)?.chat_template;
                let stored = params.gguf().map_err(StageError::user)?;
                let path = dir.join(EXPORTED_GGUF);
                export_gguf(&path, &merged, base.tokenizer(), chat.as_deref(), &base.ends().ids, stored)
                    .map_err(model_error)?;
            }
        }
        Ok(())
    }
}

/// The adapter alone, for llama.cpp.
fn separate(cx: &StageContext, base: &BaseModel) -> Result<(), StageError> {
    let adapter = cx.optional_files("adapter")?.ok_or_else(|| {
        StageError::user_help("an adapter is to be written, and none is connected", "connect the input `adapter`")
    })?;
    let (config, adapter) = load_adapter(&adapter, base.config()).map_err(model_error)?;
    let path = cx.output_dir("model")?.join("adapter.gguf");
    export_gguf_adapter(&path, base.config(), &config, &adapter).map_err(model_error)
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { adapter: train }, params: { model: MODEL, dtype: float16 }",
    version: 2,
    outputs: &[("model", "b1619f829ca3062bc353401a0619a2375a5a448054f35a15b6d15b06ecad7c3d")],
};

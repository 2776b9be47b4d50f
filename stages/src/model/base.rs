//! Models on this machine, opened once per process.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::SystemTime,
};

use candle_core::{DType, Device};
use parking_lot::Mutex;
use pipe_engine::{context::causes, kind::StageError};
use pipe_lm::{
    adapter::load_adapter,
    chat::ChatTemplate,
    config::{DecoderConfig, GenerationDefaults},
    generate::{Ends, Generator},
    gguf::{Expanded, GgufModel, Rounding},
    model::{Adapter, Decoder, Inference, Packing, WeightProvider},
    origin::{Folder, LocalModel, files_of},
    quant::{Quantized, Rounded},
    tokenizer::Tokenizer,
    weights::{Param, Weights},
};

use super::{InFlight, Seen, WeightForm, model_error, place};

/// A model's configuration, tokenizer and weights. The weights are read when they are first needed, and kept for as
/// long as somebody uses them.
pub struct BaseModel {
    local: LocalModel,
    config: DecoderConfig,
    tokenizer: Arc<Tokenizer>,
    chat: Option<Arc<ChatTemplate>>,
    ends: Ends,
    /// As [`Seen::in_8_bits`].
    in_8_bits: bool,
    /// One for each [`WeightForm`].
    forms: [Form; WeightForm::COUNT],
}

/// What stages share of a model's weights in one form.
#[derive(Default)]
struct Form {
    decoder: Mutex<Weak<Decoder>>,
    inference: Mutex<Weak<Inference>>,
}

/// A model's files as they were when it was opened: path, size and time of change of each.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

static OPEN: Mutex<BTreeMap<Stamp, Weak<BaseModel>>> = Mutex::new(BTreeMap::new());

impl fmt::Debug for BaseModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaseModel").field("local", &self.local).finish_non_exhaustive()
    }
}

fn stamp(local: &LocalModel) -> Result<Stamp, StageError> {
    let files = match local {
        LocalModel::Directory { path, .. } => files_of(path).map_err(model_error)?,
        LocalModel::Gguf(path) => vec![path.clone()],
        LocalModel::Carried(carried) => return Ok(vec![(carried.place(), 0, None)]),
    };
    let one = |path: PathBuf| {
        let meta = std::fs::metadata(&path);
        let meta = meta.map_err(|e| StageError::other(format!("read {}", path.display()), e))?;
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        Ok((path, meta.len(), meta.modified().ok()))
    };
    files.into_iter().map(one).collect()
}

fn folder(local: &LocalModel) -> Result<Folder<'_>, StageError> {
    local.folder().ok_or_else(|| {
        StageError::user_help(
            format!(
                "{} is a GGUF file, whose weights can be run and adapted, but neither trained as a whole nor written \
                 for Hugging Face",
                place(local).display()
            ),
            "use the model's Hugging Face directory, or for an export `format: gguf`",
        )
    })
}

/// The value behind a weak reference, made anew when it is gone. Whoever asks meanwhile waits and shares it.
fn shared<T>(slot: &Mutex<Weak<T>>, make: impl FnOnce() -> Result<T, StageError>) -> Result<Arc<T>, StageError> {
    let mut slot = slot.lock();
    if let Some(value) = slot.upgrade() {
        return Ok(value);
    }
    let value = Arc::new(make()?);
    *slot = Arc::downgrade(&value);
    Ok(value)
}

impl BaseModel {
    /// Opens a model, or shares the one that another stage has open.
    ///
    /// # Errors
    /// A file is missing, damaged or of an unsupported kind; the tokenizer does not fit the model.
    pub fn open(local: &LocalModel) -> Result<Arc<Self>, StageError> {
        let stamp = stamp(local)?;
        let mut open = OPEN.lock();
        if let Some(model) = open.get(&stamp).and_then(Weak::upgrade) {
            return Ok(model);
        }
        open.retain(|_, model| model.strong_count() > 0);
        let model = Arc::new(Self::read(local)?);
        open.insert(stamp, Arc::downgrade(&model));
        Ok(model)
    }

    /// Whether a model can be opened, as far as everything but its weights says; and what it is. Each is looked at
    /// once.
    ///
    /// # Errors
    /// As [`BaseModel::open`].
    pub fn look(local: &LocalModel) -> Result<Arc<Seen>, StageError> {
        static SOUND: Mutex<BTreeMap<Stamp, Arc<Seen>>> = Mutex::new(BTreeMap::new());
        let stamp = stamp(local)?;
        if let Some(seen) = SOUND.lock().get(&stamp) {
            return Ok(Arc::clone(seen));
        }
        let model = Self::read(local)?;
        let seen = Arc::new(model.seen());
        SOUND.lock().insert(stamp, Arc::clone(&seen));
        Ok(seen)
    }

    fn read(local: &LocalModel) -> Result<Self, StageError> {
        let mut in_8_bits = true;
        let (config, tokenizer, chat, defaults) = match local {
            LocalModel::Gguf(path) => {
                let gguf = GgufModel::open(path).map_err(model_error)?;
                in_8_bits = gguf.has_q8_0();
                let tokenizer = gguf.tokenizer().map_err(model_error)?;
                let template = gguf.chat_template().map_err(model_error)?;
                let compile = |text: String| ChatTemplate::new(&text, tokenizer.special().clone());
                let chat = template.map(compile).transpose().map_err(model_error)?;
                (gguf.config().clone(), tokenizer, chat, GenerationDefaults::default())
            }
            LocalModel::Directory { .. } | LocalModel::Carried(_) => {
                let folder = folder(local)?;
                let config = DecoderConfig::from_dir(folder).map_err(model_error)?;
                let tokenizer = Tokenizer::from_dir(folder).map_err(model_error)?;
                let chat = ChatTemplate::from_dir(folder).map_err(model_error)?;
                let defaults = GenerationDefaults::from_dir(folder).map_err(model_error)?;
                (config, tokenizer, chat, defaults)
            }
        };
        tokenizer.check_fits(&config).map_err(model_error)?;
        let ends = Ends::of(&config, &defaults, &tokenizer, chat.as_ref());
        Ok(Self {
            local: local.clone(),
            config,
            tokenizer: Arc::new(tokenizer),
            chat: chat.map(Arc::new),
            ends,
            in_8_bits,
            forms: Default::default(),
        })
    }

    fn seen(&self) -> Seen {
        let gguf_bytes = match &self.local {
            LocalModel::Gguf(path) => std::fs::metadata(path).ok().map(|meta| meta.len()),
            _ => None,
        };
        let (talks, config) = (self.chat.is_some(), self.config.clone());
        let first_token = self.tokenizer.first_token(self.stop_tokens());
        let told = |error| format!("the chat template of {}: {}", self.place().display(), causes(&error).join(": "));
        let mute = self.chat.as_ref().and_then(|chat| chat.failure()).map(told);
        Seen { talks, mute, config, gguf_bytes, in_8_bits: self.in_8_bits, first_token }
    }

    /// What config.json says.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// The chat template, if the model has one.
    pub fn chat(&self) -> Option<&Arc<ChatTemplate>> {
        self.chat.as_ref()
    }

    /// The tokens that end a text.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.ends.ids
    }

    /// The tokens that end a text, and what the files say of them.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// What users should know of the model's files, as sentences.
    pub fn notes(&self) -> Vec<String> {
        let place = self.place();
        let dropout = self.tokenizer.dropout().map(|share| {
            format!(
                "its tokenizer drops {share} of the merges at random (`dropout`), which is off here: results would \
                     differ every time"
            )
        });
        let notes = self.ends.disagreement.clone().into_iter().chain(dropout);
        notes.map(|note| format!("{}: {note}", place.display())).collect()
    }

    /// A name for messages: where the files lie.
    pub fn place(&self) -> PathBuf {
        place(&self.local)
    }

    /// The mapped weights of a directory.
    ///
    /// # Errors
    /// A tensor is missing or of the wrong shape; a GGUF file has none of this form.
    pub fn weights(&self) -> Result<Weights, StageError> {
        Weights::from_dir(self.folder()?, &self.config).map_err(model_error)
    }

    /// The file, of a model that is one GGUF file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn gguf(&self) -> Result<Option<GgufModel>, StageError> {
        let LocalModel::Gguf(path) = &self.local else { return Ok(None) };
        GgufModel::open(path).map(Some).map_err(model_error)
    }

    /// The folder of its files.
    ///
    /// # Errors
    /// A GGUF file is none.
    pub fn folder(&self) -> Result<Folder<'_>, StageError> {
        folder(&self.local)
    }

    /// Where its files lie for other programs: a folder, or one GGUF file. Those that this program carries are written
    /// to `copy`.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn files(&self, copy: &Path) -> Result<PathBuf, StageError> {
        let LocalModel::Carried(carried) = &self.local else {
            let place = self.place();
            return std::path::absolute(&place).map_err(|e| StageError::other(format!("find {}", place.display()), e));
        };
        let failed = |e| StageError::other(format!("write {}", copy.display()), e);
        std::fs::create_dir_all(copy).map_err(failed)?;
        for (name, bytes) in carried.files {
            std::fs::write(copy.join(name), bytes).map_err(failed)?;
        }
        Ok(copy.to_owned())
    }

    fn form(&self, weights: WeightForm) -> &Form {
        &self.forms[weights as usize]
    }

    /// The base weights, shared: cloning the decoder shares them, adapters go onto clones.
    ///
    /// # Errors
    /// The weights cannot be read, or cannot have that form.
    pub fn decoder(&self, weights: WeightForm) -> Result<Arc<Decoder>, StageError> {
        shared(&self.form(weights).decoder, || match &self.local {
            LocalModel::Gguf(path) => self.gguf_decoder(path, weights),
            LocalModel::Directory { .. } | LocalModel::Carried(_) => {
                let (config, stored) = (&self.config, &self.weights()?);
                let decoder = match weights {
                    WeightForm::F32 => {
                        Decoder::build(config, &mut Packing { weights: stored, config }, &Device::Cpu, DType::F32)
                    }
                    WeightForm::Bf16 => Decoder::load(config, stored, &Device::Cpu, DType::BF16),
                    WeightForm::Q8_0 | WeightForm::W8A8 => {
                        let mut source = Rounded { weights: stored, config, activations: weights == WeightForm::W8A8 };
                        Decoder::build(config, &mut source, &Device::Cpu, DType::F32)
                    }
                    WeightForm::Nf4 => {
                        // Embedding and head keep the type in which they are stored.
                        let dtype = stored.dtype(Param::Embedding).map_err(model_error)?;
                        let mut source = Quantized { weights: stored, config, dtype };
                        Decoder::build(config, &mut source, &Device::Cpu, dtype)
                    }
                    WeightForm::Dequantized => {
                        return Err(StageError::user_help(
                            format!("{} is no GGUF file: there is nothing to expand", self.place().display()),
                            "leave `weights` out: it is f32 then",
                        ));
                    }
                };
                decoder.map_err(model_error)
            }
        })
    }

    fn gguf_decoder(&self, path: &Path, weights: WeightForm) -> Result<Decoder, StageError> {
        weights.of_gguf(path)?;
        weights.of_blocks(self.in_8_bits, path)?;
        let gguf = GgufModel::open(path).map_err(model_error)?;
        let source: &mut dyn WeightProvider = match weights {
            WeightForm::Dequantized => &mut Expanded(&gguf),
            WeightForm::W8A8 => &mut Rounding(&gguf),
            _ => &mut &gguf,
        };
        Decoder::build(&self.config, source, &Device::Cpu, DType::F32).map_err(model_error)
    }

    /// The model with every weight to be trained: a copy of its own in f32.
    ///
    /// # Errors
    /// The weights cannot be read; a GGUF file has none of this form.
    pub fn trainable(&self) -> Result<Decoder, StageError> {
        let decoder = Decoder::load(&self.config, &self.weights()?, &Device::Cpu, DType::F32);
        let mut decoder = decoder.map_err(model_error)?;
        decoder.make_trainable().map_err(model_error)?;
        Ok(decoder)
    }

    /// The base prepared for generation, shared.
    fn inference(&self, weights: WeightForm) -> Result<Arc<Inference>, StageError> {
        let form = self.form(weights);
        shared(&form.inference, || Inference::new(&*self.decoder(weights)?).map_err(model_error))
    }

    /// A generator of the base, or of the base with the adapter in a directory.
    ///
    /// # Errors
    /// The weights cannot be read; the adapter is damaged or does not fit.
    pub fn generator(
        &self,
        weights: WeightForm,
        adapter: Option<&Path>,
        options: InFlight,
    ) -> Result<Generator, StageError> {
        match adapter {
            None => self.asked(self.inference(weights)?, None, weights, options),
            Some(dir) => {
                let (_, adapter) = load_adapter(dir, &self.config).map_err(model_error)?;
                self.generator_with(weights, &adapter, options)
            }
        }
    }

    /// A generator of the base with an adapter as it is now.
    ///
    /// # Errors
    /// The weights cannot be read; the adapter does not fit.
    pub fn generator_with(
        &self,
        weights: WeightForm,
        adapter: &Adapter,
        options: InFlight,
    ) -> Result<Generator, StageError> {
        const NAME: &str = "adapter";
        let mut decoder = Decoder::clone(&*self.decoder(weights)?);
        decoder.add_adapter(NAME, adapter).map_err(model_error)?;
        self.asked(Arc::new(Inference::new(&decoder).map_err(model_error)?), Some(NAME), weights, options)
    }

    /// A generator of a decoder of this base's shape, as its weights are now.
    ///
    /// # Errors
    /// It cannot be prepared.
    pub fn generator_of(&self, decoder: &Decoder, options: InFlight) -> Result<Generator, StageError> {
        let inference = Arc::new(Inference::new(decoder).map_err(model_error)?);
        self.asked(inference, None, WeightForm::F32, options)
    }

    fn asked(
        &self,
        inference: Arc<Inference>,
        adapter: Option<&str>,
        weights: WeightForm,
        options: InFlight,
    ) -> Result<Generator, StageError> {
        let mut generator = Generator::new(inference, Arc::clone(&self.tokenizer), &self.ends.ids);
        if let Some(chat) = &self.chat {
            generator = generator.with_chat(Arc::clone(chat));
        }
        let options = options.options(&self.seen(), weights);
        generator.with_options(options).with_adapter(adapter).map_err(model_error)
    }
}

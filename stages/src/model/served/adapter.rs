//! Adapters on servers: what they take, and what of an adapter is with a server at the moment.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use pipe_cache::{Digest, Hasher};
use pipe_engine::{context::StageContext, kind::StageError};
use pipe_lm::{
    adapter::{AdapterConfig, load_adapter},
    generate::endpoint::{Endpoint, EndpointConfig, EndpointError},
    gguf::export_gguf_adapter,
    origin::LocalModel,
};

use super::{super::BaseModel, model_error, told};

/// The name of an adapter in the form of llama.cpp.
const GGUF: &str = "adapter.gguf";

/// What an adapter is, by its files.
fn digest(folder: &Path) -> Result<Digest, StageError> {
    let mut hasher = Hasher::new("pipe.served-adapter.v1");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let path = folder.join(name);
        let bytes = fs::read(&path).map_err(|e| StageError::other(format!("read {}", path.display()), e))?;
        hasher.digest(&Digest::of_bytes(&bytes));
    }
    Ok(hasher.finish())
}

/// Whether vLLM computes with an adapter what it says; its rank.
///
/// # Errors
/// It is no adapter, or one that vLLM refuses, or reads otherwise.
pub(super) fn check_for_vllm(folder: &Path) -> Result<usize, StageError> {
    let config = AdapterConfig::from_dir(folder).map_err(model_error)?;
    // It scales all modules by lora_alpha / r, whatever patterns say.
    for (key, is_there) in
        [("rank_pattern", !config.rank_pattern.is_empty()), ("alpha_pattern", !config.alpha_pattern.is_empty())]
    {
        if is_there {
            return Err(StageError::user_help(
                format!("vLLM cannot use the adapter: it reads no `{key}`"),
                "train it with one `r` and `alpha` for all modules, or use the model's files",
            ));
        }
    }
    Ok(config.r)
}

/// An adapter in llama.cpp's form, which a server reads when it starts.
pub(super) struct GgufAdapter {
    pub digest: Digest,
    pub path: PathBuf,
}

/// Writes an adapter for llama.cpp, into the stage's own folder: it is read once, when the server starts.
///
/// # Errors
/// It does not fit the model, or cannot be written.
pub(super) fn for_llama_cpp(cx: &StageContext, folder: &Path, base: &LocalModel) -> Result<GgufAdapter, StageError> {
    let seen = BaseModel::look(base)?;
    let (config, adapter) = load_adapter(folder, &seen.config).map_err(model_error)?;
    let path = cx.workdir()?.join(GGUF);
    export_gguf_adapter(&path, &seen.config, &config, &adapter).map_err(model_error)?;
    Ok(GgufAdapter { digest: digest(folder)?, path })
}

/// An adapter that vLLM has loaded for this process. It is unloaded when nobody uses it.
pub(super) struct Loaded {
    server: Endpoint,
    name: String,
}

static LOADED: Mutex<BTreeMap<(String, String), Weak<Loaded>>> = Mutex::new(BTreeMap::new());

/// Tells this process from others that ask the same server: each loads and unloads for itself.
fn process() -> String {
    let mut hasher = Hasher::new("pipe.process.v1");
    hasher.str(&pipe_cache::host_name()).u64(u64::from(std::process::id())).finish().to_string()[..8].to_owned()
}

impl Loaded {
    /// The adapter in a folder, loaded into `server` if it is not.
    ///
    /// # Errors
    /// The server cannot be reached, loads no adapters while it runs, or not this one; it has another model.
    pub(super) fn get(cx: &StageContext, server: &Endpoint, folder: &Path) -> Result<Arc<Self>, StageError> {
        let name = format!("pipe-{}-{}", &digest(folder)?.to_string()[..16], process());
        let place = (server.config().base_url.clone(), name.clone());
        let mut loaded = LOADED.lock();
        if let Some(loaded) = loaded.get(&place).and_then(Weak::upgrade) {
            return Ok(loaded);
        }
        loaded.retain(|_, adapter| adapter.strong_count() > 0);
        cx.check_cancelled()?;
        // From the root on: the server works in a folder of its own.
        let folder = std::path::absolute(folder).map_err(|e| StageError::other("find the adapter's folder", e))?;
        server.load_adapter(&name, &folder).map_err(refusal)?;
        let adapter = Arc::new(Self { server: server.clone(), name });
        loaded.insert(place, Arc::downgrade(&adapter));
        drop(loaded);
        adapter.check_base()?;
        Ok(adapter)
    }

    /// Whether it lies over the model that is meant.
    fn check_base(&self) -> Result<(), StageError> {
        let models = self.server.models().map_err(told)?;
        let meant = &self.server.config().model;
        let own = models.iter().find(|model| model.id == self.name);
        let parent = own.and_then(|own| own.parent.as_deref());
        if models.iter().any(|model| model.id == *meant && model.parent.is_none()) && own.is_some() {
            return Ok(());
        }
        let bases: Vec<&str> = models.iter().filter(|m| m.parent.is_none()).map(|m| &*m.id).collect();
        Err(StageError::user_help(
            format!(
                "the server at {} does not have the model `{meant}`: the adapter lies over `{}` there",
                self.server.config().base_url,
                parent.unwrap_or("another")
            ),
            format!("its models are: {}", bases.join(", ")),
        ))
    }

    /// The server, answering with the adapter.
    pub(super) fn endpoint(&self, config: &EndpointConfig) -> Result<Endpoint, StageError> {
        let config = EndpointConfig { model: self.name.clone(), ..config.clone() };
        Endpoint::new(config).map_err(told)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if let Err(error) = self.server.unload_adapter(&self.name) {
            tracing::warn!(%error, adapter = self.name, "an adapter stays with its server");
        }
    }
}

/// When vLLM loads adapters.
pub(super) const TAKES_ADAPTERS: &str = "vLLM loads adapters while it runs if it was started with --enable-lora, and \
                                         with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its environment";

/// Why an adapter was not loaded, and what to do.
fn refusal(error: EndpointError) -> StageError {
    let (status, problem) = match &error {
        EndpointError::Admin { status: Some(status), problem, .. } => (*status, problem.to_lowercase()),
        _ => return told(error),
    };
    let message = format!("failed to {error}");
    let help = match status {
        401 | 403 => return told(error),
        408 | 425 | 429 | 503 => return StageError::transient(message),
        // The way there is missing, which is not told from a missing adapter by the status.
        404 | 405 if !problem.contains("lora") && !problem.contains("adapter") => TAKES_ADAPTERS,
        404 => "vLLM reads the adapter from its own disk: the store must lie where it is seen there, too, by that path",
        _ if problem.contains("rank") => "start vLLM with a higher --max-lora-rank",
        _ if problem.contains("not enabled") => "start vLLM with --enable-lora",
        _ => "look at the server's log; an adapter that it does not take can be folded into its model (`export`)",
    };
    StageError::user_help(message, help)
}

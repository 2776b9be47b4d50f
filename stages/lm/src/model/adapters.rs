//! Adapters on a decoder: add, select.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{Decoder, LoraWeights, ModelError, error::Context};

/// A LoRA adapter as the decoder takes it: matrices by module path.
#[derive(Debug, Clone, Default)]
pub struct Adapter {
    /// Module path (`model.layers.0.self_attn.q_proj`) to its matrices.
    pub modules: BTreeMap<String, LoraWeights>,
}

impl Decoder {
    /// Loads an adapter under `name`, replacing one of the same name. It is not active until
    /// [`Decoder::set_adapter`]. Matrices that are variables stay so: training them changes the loaded adapter.
    ///
    /// # Errors
    /// A module that the model lacks, or matrices that do not fit it.
    pub fn add_adapter(&mut self, name: &str, adapter: &Adapter) -> Result<(), ModelError> {
        self.check_fit(name, adapter)?;
        let index = self.adapter_names.iter().position(|n| n == name).unwrap_or_else(|| {
            self.adapter_names.push(name.to_owned());
            self.adapter_names.len() - 1
        });
        let dtype = self.activation_dtype();
        let device = self.device.clone();
        let place = |t: &Tensor| t.to_device(&device)?.to_dtype(dtype);
        for linear in self.layers.iter_mut().flat_map(super::Layer::linears_mut) {
            let weights = adapter.modules.get(linear.path()).map(|w| {
                let (a, b) = (place(&w.a)?, place(&w.b)?);
                Ok(LoraWeights { a, b, ..w.clone() })
            });
            let weights = weights.transpose().what(|| format!("adapter {name}"))?;
            linear.put_adapter(index, weights);
        }
        Ok(())
    }

    /// Chooses the adapter of the training forward, or none. Inference names its adapter per call.
    pub fn set_adapter(&mut self, name: Option<&str>) -> Result<(), ModelError> {
        self.active = name.map(|name| self.adapter_index(name)).transpose()?;
        Ok(())
    }

    /// A loaded adapter with the values it has now, such as after training; later training does not change them.
    pub fn adapter(&self, name: &str) -> Result<Adapter, ModelError> {
        let index = self.adapter_index(name)?;
        let copy = |weights: &LoraWeights| -> candle_core::Result<LoraWeights> {
            Ok(LoraWeights { a: weights.a.copy()?.detach(), b: weights.b.copy()?.detach(), ..weights.clone() })
        };
        let modules = self.linears().filter_map(|linear| Some((linear.path().to_owned(), linear.adapter(index)?)));
        let copied = modules.map(|(path, weights)| Ok((path, copy(weights)?))).collect::<candle_core::Result<_>>();
        Ok(Adapter { modules: copied.what(|| format!("copy adapter {name}"))? })
    }

    /// Names of the loaded adapters, in the order in which they came.
    pub fn adapter_names(&self) -> &[String] {
        &self.adapter_names
    }

    /// Index of a loaded adapter.
    pub(crate) fn adapter_index(&self, name: &str) -> Result<usize, ModelError> {
        adapter_index(&self.adapter_names, name)
    }

    fn check_fit(&self, name: &str, adapter: &Adapter) -> Result<(), ModelError> {
        let wrong = |module: &str, problem: String| ModelError::Adapter {
            adapter: name.to_owned(),
            module: module.to_owned(),
            problem,
        };
        let shapes: BTreeMap<&str, (usize, usize)> =
            self.linears().map(|l| (l.path(), (l.out_features(), l.in_features()))).collect();
        for (module, weights) in &adapter.modules {
            let Some(&(out, inner)) = shapes.get(module.as_str()) else {
                return Err(wrong(module, "the model has no such linear layer".to_owned()));
            };
            let (a, b) = (weights.a.dims(), weights.b.dims());
            let fits = matches!((a, b), ([r, i], [o, q]) if r == q && *i == inner && *o == out);
            if !fits {
                let problem = format!("A is {a:?} and B is {b:?}, the layer needs [r, {inner}] and [{out}, r]");
                return Err(wrong(module, problem));
            }
        }
        Ok(())
    }
}

pub(super) fn adapter_index(names: &[String], name: &str) -> Result<usize, ModelError> {
    names
        .iter()
        .position(|n| n == name)
        .ok_or_else(|| ModelError::UnknownAdapter { name: name.to_owned(), known: names.to_vec() })
}

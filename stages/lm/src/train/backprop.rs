//! One micro-batch forward and backward, with activations kept or recomputed.

use pipe_random::Random;

use super::{MicroBatch, Params, TrainError, Trainable, rng::Stream};
use crate::ops;
use candle_core::{Tensor, Var, backprop::GradStore};

type Result<T> = std::result::Result<T, TrainError>;

/// Loss and gradients of a micro-batch.
pub(super) struct Gradients {
    /// Weighted sum of the token losses.
    pub loss: f64,
    /// One gradient per parameter, in their order; `None` where none arrived.
    pub grads: Vec<Option<Tensor>>,
}

/// Dropout seed of each layer, named by step and micro-batch so that no pass depends on those before it.
pub(super) struct DropoutSeeds {
    pub seed: u64,
    pub step: u64,
    pub micro: u64,
}

impl DropoutSeeds {
    fn layer(&self, layer: usize) -> u64 {
        Stream::new(self.seed, "dropout", &[self.step, self.micro, layer as u64]).next_u64()
    }
}

/// Weighted sum of the token losses, without gradients and without dropout.
pub(super) fn loss_only<M: Trainable + ?Sized>(model: &M, micro: &MicroBatch) -> Result<f64> {
    let mut x = model.embed(&micro.batch)?.detach();
    for layer in 0..model.num_layers() {
        x = model.layer(layer, &x, &micro.batch, None)?.detach();
    }
    scalar(&model.loss(&x, &micro.targets, &micro.weights)?)
}

/// Forward and backward. Token losses are weighted by `micro.weights`, which the caller has normalised.
pub(super) fn gradients<M: Trainable + ?Sized>(
    model: &M,
    params: &Params,
    micro: &MicroBatch,
    dropout: &DropoutSeeds,
    checkpointing: bool,
) -> Result<Gradients> {
    let mut grads = Collector { params, grads: vec![None; params.len()] };
    let pass = if checkpointing { recomputed } else { plain };
    let loss = pass(model, micro, dropout, &mut grads)?;
    Ok(Gradients { loss, grads: grads.grads })
}

/// Keeps all activations.
fn plain<M: Trainable + ?Sized>(
    model: &M,
    micro: &MicroBatch,
    dropout: &DropoutSeeds,
    grads: &mut Collector,
) -> Result<f64> {
    let embedded = model.embed(&micro.batch)?;
    // Cut off the embedding, as in the recomputed pass: a tied weight gets the sums of its two uses in the same order.
    let input = cut(&embedded, embedded.track_op())?;
    let mut x = input.clone();
    for layer in 0..model.num_layers() {
        x = model.layer(layer, &x, &micro.batch, Some(dropout.layer(layer)))?;
    }
    let loss = model.loss(&x, &micro.targets, &micro.weights)?;
    drop(x);
    let value = scalar(&loss)?;
    if value.is_finite() {
        let mut store = ops::backward_once(loss, None)?;
        let upstream = store.remove(&input);
        grads.take(&mut store)?;
        if let Some(gradient) = upstream {
            grads.take(&mut ops::backward_once(embedded, Some(&gradient))?)?;
            ops::reclaim(&gradient);
        }
    }
    Ok(value)
}

/// Keeps only the input of each layer, and runs each layer forward again when its gradient is due (Chen et al. 2016,
/// arXiv 1604.06174). The operations on the way to each gradient are those of the plain pass, so its bits are too.
fn recomputed<M: Trainable + ?Sized>(
    model: &M,
    micro: &MicroBatch,
    dropout: &DropoutSeeds,
    grads: &mut Collector,
) -> Result<f64> {
    let embedded = model.embed(&micro.batch)?;
    // Below the first trainable layer no gradient with respect to the input is needed.
    let mut tracked = embedded.track_op();
    let mut inputs: Vec<Tensor> = Vec::with_capacity(model.num_layers());
    let mut x = cut(&embedded, tracked)?;
    for layer in 0..model.num_layers() {
        let input = x;
        let output = model.layer(layer, &input, &micro.batch, Some(dropout.layer(layer)))?;
        tracked = output.track_op();
        x = cut(&output, tracked)?;
        if tracked {
            ops::release(output);
        }
        inputs.push(input);
    }
    let last = x;
    let loss = model.loss(&last, &micro.targets, &micro.weights)?;
    let value = scalar(&loss)?;
    if !value.is_finite() {
        return Ok(value);
    }
    let mut store = ops::backward_once(loss, None)?;
    let mut upstream = store.remove(&last);
    grads.take(&mut store)?;
    for (layer, input) in inputs.into_iter().enumerate().rev() {
        let Some(gradient) = upstream.take() else { return Ok(value) };
        let output = model.layer(layer, &input, &micro.batch, Some(dropout.layer(layer)))?;
        let mut store = ops::backward_once(output, Some(&gradient))?;
        ops::reclaim(&gradient);
        upstream = if input.is_variable() { store.remove(&input) } else { None };
        grads.take(&mut store)?;
    }
    if let Some(gradient) = upstream {
        grads.take(&mut ops::backward_once(embedded, Some(&gradient))?)?;
    }
    Ok(value)
}

/// The values of `x` as the start of a graph of its own, at which gradients arrive if `tracked`.
fn cut(x: &Tensor, tracked: bool) -> candle_core::Result<Tensor> {
    if tracked { Ok(Var::from_tensor(&x.detach())?.into_inner()) } else { Ok(x.detach()) }
}

struct Collector<'a> {
    params: &'a Params,
    grads: Vec<Option<Tensor>>,
}

impl Collector<'_> {
    fn take(&mut self, store: &mut GradStore) -> Result<()> {
        for (var, grad) in self.params.values().zip(&mut self.grads) {
            if let Some(new) = store.remove(var) {
                // A tied weight is reached twice: as the head, then as the embedding.
                *grad = Some(match grad.take() {
                    Some(old) => (old + new)?,
                    None => new,
                });
            }
        }
        Ok(())
    }
}

fn scalar(loss: &Tensor) -> Result<f64> {
    Ok(f64::from(loss.to_dtype(candle_core::DType::F32)?.to_scalar::<f32>()?))
}

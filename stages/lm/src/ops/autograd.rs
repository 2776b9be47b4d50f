//! How the ops stand in candle's graph, and a backward pass that knows them.
//!
//! Every fused op is recorded twice: as candle's `CustomOp`, so that `Tensor::backward` works, and on a tape of this
//! thread, so that [`backward`] can walk the same graph. candle's own walk adds every gradient to a fresh tensor of
//! zeros, on one thread, which costs more than a tenth of a training step; the walk here moves gradients where they go,
//! and adds only where a tensor was used more than once. Both add in the same order and give the same bits.

use std::{
    cell::RefCell,
    collections::HashMap,
    ops::Deref,
    rc::Rc,
    sync::{Arc, Weak},
};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Error, Layout, Result, Shape, Storage, StorageRef, Tensor,
    TensorId, backprop::GradStore,
};

use super::{scratch, slices};

/// The gradients of an op's inputs, `None` where nobody wants one.
pub(crate) type Grads = [Option<Tensor>; 3];

/// One fused op on contiguous f32 tensors on the CPU.
pub(crate) trait Op: Send + Sync + 'static {
    /// Name in errors.
    fn name(&self) -> &'static str;
    /// The result and its shape.
    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)>;
    /// Gradients of the inputs, given the result and its gradient (contiguous).
    fn backward(&self, inputs: &[Tensor], result: &Tensor, grad: &Tensor) -> Result<Grads>;
}

/// The elements and dimensions of an input.
pub(crate) struct Input<'a> {
    /// Row-major elements.
    pub data: &'a [f32],
    /// Dimensions.
    pub dims: &'a [usize],
}

/// Whether the fused kernels can take these tensors.
pub(crate) fn fused(inputs: &[&Tensor]) -> bool {
    inputs.iter().all(|t| t.device().is_cpu() && t.dtype() == DType::F32)
}

/// Read access to the elements of a contiguous f32 tensor on the CPU.
pub(crate) struct View<'a> {
    storage: StorageRef<'a>,
    start: usize,
    len: usize,
}

impl<'a> View<'a> {
    /// The elements of `t`.
    pub(crate) fn of(t: &'a Tensor) -> Result<Self> {
        let (storage, layout) = t.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            return Err(Error::RequiresContiguous { op: "fused op" }.bt());
        };
        if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
            candle_core::bail!("a fused op needs f32 tensors on the CPU, not {:?}", t.dtype());
        }
        Ok(Self { storage, start, len: end - start })
    }
}

impl Deref for View<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.start..self.start + self.len],
            _ => unreachable!("checked when the view was made"),
        }
    }
}

/// An op with the tensors that it was applied to.
struct Recorded {
    op: Box<dyn Op>,
    inputs: Vec<Tensor>,
}

thread_local! {
    /// The recorded ops of this thread by the id of their result. The graph owns them; entries die with it.
    static TAPE: RefCell<HashMap<TensorId, Weak<Recorded>>> = RefCell::new(HashMap::new());
}

/// Applies `op`, recording it if autograd tracks an input.
pub(crate) fn apply<const N: usize>(op: impl Op, inputs: [&Tensor; N]) -> Result<Tensor> {
    let inputs = inputs.iter().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
    let recorded = Arc::new(Recorded { op: Box::new(op), inputs: inputs.clone() });
    let node = Node(recorded.clone());
    let result = match &inputs[..] {
        [a] => a.apply_op1(node)?,
        [a, b] => a.apply_op2(b, node)?,
        [a, b, c] => a.apply_op3(b, c, node)?,
        _ => candle_core::bail!("{} has {N} inputs; candle's graph takes one to three", recorded.op.name()),
    };
    if result.track_op() {
        TAPE.with_borrow_mut(|tape| {
            if tape.len() == tape.capacity() {
                tape.retain(|_, node| node.strong_count() > 0);
            }
            tape.insert(result.id(), Arc::downgrade(&recorded));
        });
    }
    Ok(result)
}

/// The form in which candle's graph holds an op.
struct Node(Arc<Recorded>);

impl Node {
    fn forward(&self, inputs: &[(&CpuStorage, &Layout)]) -> Result<(CpuStorage, Shape)> {
        let inputs = inputs
            .iter()
            .map(|(storage, layout)| {
                let data = storage.as_slice::<f32>()?;
                let (start, end) = layout
                    .contiguous_offsets()
                    .ok_or_else(|| Error::RequiresContiguous { op: self.0.op.name() }.bt())?;
                Ok(Input { data: &data[start..end], dims: layout.dims() })
            })
            .collect::<Result<Vec<_>>>()?;
        let (data, shape) = self.0.op.forward(&inputs)?;
        Ok((CpuStorage::F32(data), shape))
    }

    fn backward(&self, result: &Tensor, grad: &Tensor) -> Result<Grads> {
        self.0.op.backward(&self.0.inputs, result, &grad.contiguous()?)
    }
}

impl CustomOp1 for Node {
    fn name(&self) -> &'static str {
        self.0.op.name()
    }
    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(s, l)])
    }
    fn bwd(&self, _: &Tensor, result: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [a, ..] = self.backward(result, grad)?;
        Ok(a)
    }
}

impl CustomOp2 for Node {
    fn name(&self) -> &'static str {
        self.0.op.name()
    }
    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1), (s2, l2)])
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, result: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b, _] = self.backward(result, grad)?;
        Ok((a, b))
    }
}

impl CustomOp3 for Node {
    fn name(&self) -> &'static str {
        self.0.op.name()
    }
    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(s1, l1), (s2, l2), (s3, l3)])
    }
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.backward(result, grad)?;
        Ok((a, b, c))
    }
}

/// Gradients of every tracked leaf below the scalar `loss`: what `loss.backward()` gives, sooner.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    match ours(loss) {
        Some(nodes) => walk(&nodes, loss, loss.ones_like()?, false),
        None => loss.backward(),
    }
}

/// Gradients of every tracked leaf below `output`, whose own gradient is `grad`.
pub fn backward_from(output: &Tensor, grad: &Tensor) -> Result<GradStore> {
    match ours(output) {
        Some(nodes) => walk(&nodes, output, grad.detach().contiguous()?, false),
        None => (output * grad.detach())?.sum_all()?.backward(),
    }
}

/// [`backward_from`], or [`backward`] without `grad`, that gives the memory of every result below `output` back to the
/// arena as soon as it has served. None of them may be read afterwards.
pub fn backward_once(output: Tensor, grad: Option<&Tensor>) -> Result<GradStore> {
    match (ours(&output), grad) {
        (Some(nodes), None) => walk(&nodes, &output, output.ones_like()?, true),
        (Some(nodes), Some(grad)) => walk(&nodes, &output, grad.detach().contiguous()?, true),
        (None, None) => output.backward(),
        (None, Some(grad)) => backward_from(&output, grad),
    }
}

/// Gives the memory of `output` and of every result below it back to the arena. None of them may be read afterwards.
pub fn release(output: Tensor) {
    for (node, recorded) in ours(&output).unwrap_or_default() {
        if recorded.is_some() {
            reclaim(node);
        }
    }
}

/// Gives the memory of a tensor back to the arena; the tensor, its clones and views may not be read afterwards.
pub fn reclaim(tensor: &Tensor) {
    struct Take;
    impl candle_core::InplaceOp1 for Take {
        fn name(&self) -> &'static str {
            "reclaim"
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
            if let CpuStorage::F32(data) = storage {
                scratch::recycle(std::mem::take(data));
            }
            Ok(())
        }
    }
    if tensor.device().is_cpu() && tensor.dtype() == DType::F32 {
        // Fails on other devices alone.
        let _ = tensor.inplace_op1(&Take);
    }
}

/// Tensors in backward order, with the op that made each; `None` marks a leaf.
type Walk<'a> = Vec<(&'a Tensor, Option<Arc<Recorded>>)>;

/// The graph below `root`, if it consists of recorded ops alone.
fn ours(root: &Tensor) -> Option<Walk<'_>> {
    let nodes = root.sorted_nodes();
    TAPE.with_borrow(|tape| {
        let recorded = |node: &Tensor| tape.get(&node.id()).and_then(Weak::upgrade);
        nodes
            .into_iter()
            .map(
                |node| {
                    if node.is_variable() {
                        Some((node, None))
                    } else {
                        recorded(node).map(|found| (node, Some(found)))
                    }
                },
            )
            .collect()
    })
}

/// A gradient under way. Gradients that share their memory (a sum passes its own on to both sides) share `owner`.
struct Pending {
    grad: Tensor,
    owner: Rc<()>,
}

impl Pending {
    fn new(grad: Tensor) -> Self {
        Self { grad, owner: Rc::new(()) }
    }

    /// Whether its memory belongs to it alone.
    fn unique(&self) -> bool {
        Rc::strong_count(&self.owner) == 1
    }

    /// Gives its memory back, if nobody shares it.
    fn end(self) {
        if self.unique() {
            reclaim(&self.grad);
        }
    }
}

/// `once` says that the results on the way are not needed afterwards.
fn walk(nodes: &[(&Tensor, Option<Arc<Recorded>>)], root: &Tensor, grad: Tensor, once: bool) -> Result<GradStore> {
    // The caller's gradient stays the caller's.
    let given = Pending::new(grad);
    let first = Pending { grad: given.grad.clone(), owner: given.owner.clone() };
    let mut pending = HashMap::from([(root.id(), first)]);
    let mut store = GradStore::default();
    let mut leaves = vec![given.owner.clone()];
    for (node, recorded) in nodes {
        // A node that no gradient has reached has none: an op above it gave it none.
        let Some(arrived) = pending.remove(&node.id()) else { continue };
        let Some(recorded) = recorded else {
            store.insert(node, arrived.grad);
            leaves.push(arrived.owner);
            continue;
        };
        let grads = recorded.op.backward(&recorded.inputs, node, &arrived.grad)?;
        for (input, grad) in recorded.inputs.iter().zip(grads) {
            let Some(grad) = grad else { continue };
            let new = if grad.id() == arrived.grad.id() {
                Pending { grad, owner: arrived.owner.clone() }
            } else {
                Pending::new(grad)
            };
            if !input.track_op() {
                continue;
            }
            let sum = match pending.remove(&input.id()) {
                None => new,
                Some(before) if before.unique() => {
                    add_in_place(&before.grad, &new.grad)?;
                    new.end();
                    before
                }
                Some(before) if new.unique() => {
                    add_in_place(&new.grad, &before.grad)?;
                    before.end();
                    new
                }
                Some(before) => Pending::new((&before.grad + &new.grad)?),
            };
            pending.insert(input.id(), sum);
        }
        arrived.end();
        if once && node.id() != root.id() {
            reclaim(node);
        }
    }
    Ok(store)
}

/// `to += from`, on all threads.
fn add_in_place(to: &Tensor, from: &Tensor) -> Result<()> {
    struct Add;
    impl candle_core::InplaceOp2 for Add {
        fn name(&self) -> &'static str {
            "add in place"
        }
        fn cpu_fwd(&self, to: &mut CpuStorage, to_layout: &Layout, from: &CpuStorage, layout: &Layout) -> Result<()> {
            match (to, to_layout.contiguous_offsets(), from, layout.contiguous_offsets()) {
                (CpuStorage::F32(to), Some((a, b)), CpuStorage::F32(from), Some((c, d))) => {
                    slices::add(&mut to[a..b], &from[c..d]);
                    Ok(())
                }
                _ => candle_core::bail!("gradients must be contiguous f32"),
            }
        }
    }
    to.inplace_op2(from, &Add)
}

//! Frozen weights that are computed with in the code they are kept in: f16, bf16, GGUF's quantised blocks and NF4.
//!
//! A matrix lies in panels of [`NR`] rows, column by column, in its code. For a few rows of x, kernels multiply
//! straight out of it: such a product takes as long as reading the weight. For more, panels are expanded to f32 first,
//! by the same instructions. The bits are the same.

mod blocks;
mod dots;
mod forms;
mod half;
mod integer;
mod kernel;
mod lanes;
mod nf4;
mod quads;

use std::{marker::PhantomData, ops::Range, sync::Arc};

use candle_core::{CpuStorage, Storage, Tensor, quantized::GgmlDType};
use rayon::prelude::*;

use crate::{
    ops::{
        Crew, FewRows, RoundedRows, WeightTile,
        gemm::{PackedWeight, Store, put_edge, read_panels},
    },
    quant::{BLOCK, Nf4Tensor},
};
use kernel::Tile;
use lanes::Lanes;
use nf4::Nf4;
pub(crate) use quads::Quads;

/// Rows side by side, as all kernels read them.
const NR: usize = PackedWeight::ROWS;

/// f16.
pub(crate) type F16 = half::Half<false>;
/// bf16.
pub(crate) type BF16 = half::Half<true>;

macro_rules! ggml {
    ($($quantised:ident)*) => {
        $(
            #[doc = concat!("GGUF's `", stringify!($quantised), "`.")]
            pub(crate) type $quantised = blocks::Blocks<forms::$quantised>;
        )*

        /// A matrix in one of GGUF's types, whose rows are asked for one by one as the file has them; `None` where
        /// there is no kernel for the type.
        pub(crate) fn ggml_weight<'a>(
            dtype: GgmlDType,
            shape: (usize, usize),
            row: impl Fn(usize) -> &'a [u8] + Sync,
        ) -> Option<Arc<dyn WeightTile>> {
            Some(match dtype {
                GgmlDType::F16 => Arc::new(CodedWeight::<F16>::of_rows(shape, row)),
                GgmlDType::BF16 => Arc::new(CodedWeight::<BF16>::of_rows(shape, row)),
                $(GgmlDType::$quantised => Arc::new(CodedWeight::<$quantised>::of_rows(shape, row)),)*
                GgmlDType::F32 | GgmlDType::Q8_1 | GgmlDType::Q8K => return None,
            })
        }
    };
}
ggml!(Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2K Q3K Q4K Q5K Q6K);

/// `c (+)= x wᵀ` for rounded rows.
type RoundedProduct<C> = fn(&CodedWeight<C>, &RoundedRows, Crew, Store, &mut [f32]);

/// A code of weights. A square is a block of columns of [`NR`] rows; a panel is squares one after the other.
pub(crate) trait Code: Send + Sync + Sized + 'static {
    /// Columns of a square.
    const COLUMNS: usize;
    /// Columns that are read with the same [`Code::Shared`]; a multiple of eight.
    const STEP: usize;
    /// Bytes of a square.
    const BYTES: usize;
    /// Bytes of a block of columns of one row, as files have it.
    const BLOCK: usize;

    /// Products of a matrix with rounded activations, where the code is for such.
    const ROUNDED: Option<RoundedProduct<Self>> = None;

    /// Puts a row's block in its place in a square that is zero there. The last block of a row may be shorter where
    /// blocks are made of whole values.
    fn put(square: &mut [u8], row: usize, block: &[u8]);

    /// What the columns of a step have in common.
    type Shared<L: Lanes>: Copy;

    /// What the columns around `k` have in common.
    ///
    /// # Safety
    /// `panel` must hold column `k`, and the CPU must have what `L` needs.
    unsafe fn shared<L: Lanes>(panel: *const u8, k: usize) -> Self::Shared<L>;

    /// Column `k + h` of the panel, `k` a multiple of eight.
    ///
    /// # Safety
    /// `panel` must hold the column, and the CPU must have what `L` needs.
    unsafe fn row<L: Lanes>(panel: *const u8, k: usize, h: usize, shared: &Self::Shared<L>) -> L;
}

/// Memory that no value crosses a cache line of.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A frozen matrix `[out, in]` in code `C`.
pub(crate) struct CodedWeight<C> {
    shape: (usize, usize),
    /// `[⌈out / NR⌉, ⌈in / columns⌉, bytes]`
    data: Vec<Line>,
    code: PhantomData<C>,
}

impl<C: Code> CodedWeight<C> {
    const WHOLE_LINES: () = assert!(C::BYTES.is_multiple_of(32), "a square is whole lines, or two are");

    /// A matrix of zeros, of which every row is to be put once.
    pub(crate) fn zeros(shape: (usize, usize)) -> Self {
        let () = Self::WHOLE_LINES;
        let bytes = shape.0.div_ceil(NR) * Self::panel_bytes(shape.1);
        Self { shape, data: vec![Line([0; 64]); bytes.div_ceil(64)], code: PhantomData }
    }

    /// A matrix whose rows are asked for one by one, as blocks one after the other.
    pub(crate) fn of_rows<'a>(shape: (usize, usize), row: impl Fn(usize) -> &'a [u8] + Sync) -> Self {
        let mut weight = Self::zeros(shape);
        let panel_bytes = Self::panel_bytes(shape.1);
        weight.bytes_mut().par_chunks_exact_mut(panel_bytes).enumerate().for_each(|(panel, data)| {
            for at in panel * NR..shape.0.min((panel + 1) * NR) {
                put_row::<C>(data, at % NR, row(at));
            }
        });
        weight
    }

    /// Puts rows from `first` on in their places: `rows` holds their blocks, which are whole.
    pub(crate) fn put_rows(&mut self, first: usize, rows: &[u8]) {
        let (columns, panel_bytes) = (self.shape.1, Self::panel_bytes(self.shape.1));
        debug_assert!((columns * C::BLOCK).is_multiple_of(C::COLUMNS), "rows are whole blocks");
        for (at, row) in rows.chunks_exact(columns * C::BLOCK / C::COLUMNS).enumerate() {
            let at = first + at;
            put_row::<C>(&mut self.bytes_mut()[at / NR * panel_bytes..][..panel_bytes], at % NR, row);
        }
    }

    fn panel_bytes(columns: usize) -> usize {
        columns.div_ceil(C::COLUMNS) * C::BYTES
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: lines are bytes, one after the other.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().cast(), size_of_val(self.data.as_slice())) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; any byte is a value.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_mut_ptr().cast(), size_of_val(self.data.as_slice())) }
    }
}

fn put_row<C: Code>(panel: &mut [u8], row: usize, blocks: &[u8]) {
    for (square, block) in panel.chunks_exact_mut(C::BYTES).zip(blocks.chunks(C::BLOCK)) {
        C::put(square, row, block);
    }
}

impl<C: Code> WeightTile for CodedWeight<C> {
    fn out_features(&self) -> usize {
        self.shape.0
    }

    fn in_features(&self) -> usize {
        self.shape.1
    }

    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        read_panels(self, rows, out);
    }

    fn expand_panel(&self, panel: usize, out: &mut [f32]) -> bool {
        let bytes = Self::panel_bytes(self.shape.1);
        let panel = &self.bytes()[panel * bytes..][..bytes];
        assert_eq!(out.len(), self.shape.1 * NR, "a panel has NR rows");
        // SAFETY: the panel holds all columns, and the kernel is this CPU's.
        unsafe { (kernel::kernels::<C>().expand)(panel.as_ptr(), out) };
        true
    }

    fn few_rows(&self) -> usize {
        kernel::ROWS
    }

    fn rounds(&self) -> bool {
        C::ROUNDED.is_some()
    }

    fn multiply_rounded(&self, x: &RoundedRows, crew: Crew, store: Store, c: &mut [f32]) {
        let product = C::ROUNDED.expect("the code is for products of rounded activations");
        product(self, x, crew, store, c);
    }

    unsafe fn multiply_few(&self, few: &FewRows, panels: Range<usize>) {
        let (n, k) = self.shape;
        let panel_bytes = Self::panel_bytes(k);
        let kernels = kernel::kernels::<C>();
        let mut panel = panels.start;
        while panel < panels.end {
            let column = panel * NR;
            // A panel that is cut by the edge goes through a tile of its own.
            let whole = (panels.end - panel).min((n - column) / NR);
            let (kernel, count) = match few.rows - 1 {
                row if whole >= kernels.panels => (kernels.several[row], kernels.panels),
                row => (kernels.one[row], 1),
            };
            for (k_block, add) in few.blocks() {
                // SAFETY: the caller vouches for x and c, and panels from `panel` on lie within the data.
                unsafe {
                    let c = few.c.add(column);
                    let mut tile = Tile {
                        k: k_block,
                        x: few.x,
                        x_stride: k,
                        panels: self.bytes().as_ptr().add(panel * panel_bytes),
                        panel_bytes,
                        c,
                        c_stride: n,
                        add,
                    };
                    if whole > 0 {
                        kernel(&tile);
                        continue;
                    }
                    let mut edge = [0.0; kernel::ROWS * NR];
                    (tile.c, tile.c_stride, tile.add) = (edge.as_mut_ptr(), NR, false);
                    kernel(&tile);
                    put_edge(&edge[..few.rows * NR], n - column, c, n, add);
                }
            }
            panel += count;
        }
    }
}

/// A 16-bit matrix that is on the CPU, as it is.
///
/// # Errors
/// It is not.
pub fn half_weight(matrix: &Tensor) -> candle_core::Result<Arc<dyn WeightTile>> {
    let shape = matrix.dims2()?;
    let matrix = matrix.contiguous()?;
    let (storage, layout) = matrix.storage_and_layout();
    let start = layout.start_offset();
    Ok(match &*storage {
        Storage::Cpu(CpuStorage::F16(all)) => of_values::<F16, _>(shape, &all[start..]),
        Storage::Cpu(CpuStorage::BF16(all)) => of_values::<BF16, _>(shape, &all[start..]),
        _ => candle_core::bail!("a 16-bit matrix on the CPU is needed, not {:?}", matrix.dtype()),
    })
}

fn of_values<C: Code, T: Sync>(shape: (usize, usize), values: &[T]) -> Arc<dyn WeightTile> {
    // SAFETY: numbers are bytes without gaps.
    let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
    let width = shape.1 * size_of::<T>();
    Arc::new(CodedWeight::<C>::of_rows(shape, |row| &bytes[row * width..][..width]))
}

/// A matrix in NF4; `None` where rows are no whole number of blocks.
pub(crate) fn nf4_weight(matrix: &Nf4Tensor) -> Option<Arc<dyn WeightTile>> {
    let [rows, columns] = matrix.shape();
    if !columns.is_multiple_of(BLOCK) {
        return None;
    }
    let blocks = matrix.packed().chunks_exact(BLOCK / 2).enumerate();
    let bytes: Vec<u8> = blocks
        .flat_map(|(at, indices)| matrix.scales().get(at).to_le_bytes().into_iter().chain(indices.iter().copied()))
        .collect();
    let width = columns / BLOCK * Nf4::BLOCK;
    Some(Arc::new(CodedWeight::<Nf4>::of_rows((rows, columns), |row| &bytes[row * width..][..width])))
}

#[cfg(test)]
mod tests;

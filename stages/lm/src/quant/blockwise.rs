//! 8-bit block-wise quantisation with the signed dynamic map (Dettmers et al. 2021, arXiv 2110.02861).
//! QLoRA uses it for the second level: the `absmax` values of the 4-bit blocks.

use std::sync::LazyLock;

/// Values that share one second-level `absmax`.
pub const DYNAMIC_BLOCK: usize = 256;

/// The signed dynamic map: 256 codes, ascending, from about -0.993 to 1.
///
/// For each exponent `10^(e-6)`, `e` in 0..7, the interval [0.1, 1] is cut into `2^e` equal pieces whose midpoints
/// are codes with both signs; 0 and 1 complete the table.
pub fn dynamic_map() -> &'static [f32; 256] {
    static MAP: LazyLock<[f32; 256]> = LazyLock::new(build_dynamic_map);
    &MAP
}

fn build_dynamic_map() -> [f32; 256] {
    let mut codes = vec![0.0, 1.0];
    for exponent in 0..7_i32 {
        let pieces = 1_usize << exponent;
        let scale = 10f64.powi(exponent - 6) as f32;
        let bound = |i: usize| linspace(0.1, 1.0, pieces + 1, i);
        for i in 0..pieces {
            let mean = f32::midpoint(bound(i), bound(i + 1));
            codes.push(scale * mean);
            codes.push(-scale * mean);
        }
    }
    codes.sort_by(f32::total_cmp);
    codes.try_into().expect("2 + 2 * (2^7 - 1) = 256 codes")
}

/// Element `i` of PyTorch's f32 `linspace`: counted from whichever end is nearer.
fn linspace(start: f32, end: f32, steps: usize, i: usize) -> f32 {
    let step = (end - start) / (steps - 1) as f32;
    if i < steps / 2 { step.mul_add(i as f32, start) } else { (-step).mul_add((steps - 1 - i) as f32, end) }
}

/// Index of the code nearest to `x`; exactly half-way goes to the lower one.
fn nearest(x: f32) -> u8 {
    static MIDPOINTS: LazyLock<[f32; 255]> = LazyLock::new(|| {
        let map = dynamic_map();
        std::array::from_fn(|i| f32::midpoint(map[i], map[i + 1]))
    });
    MIDPOINTS.partition_point(|&midpoint| midpoint < x) as u8
}

/// Quantises `values` in blocks of [`DYNAMIC_BLOCK`]: one code per value, one absmax per block.
pub(super) fn quantize(values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let mut codes = Vec::with_capacity(values.len());
    let mut absmax = Vec::with_capacity(values.len().div_ceil(DYNAMIC_BLOCK));
    for block in values.chunks(DYNAMIC_BLOCK) {
        let max = block.iter().fold(0f32, |max, x| max.max(x.abs()));
        absmax.push(max);
        // Multiplying by the reciprocal, not dividing, is what the reference does; the bits depend on it.
        let inverse = 1.0 / max.max(1e-38);
        codes.extend(block.iter().map(|x| nearest((x * inverse).clamp(-1.0, 1.0))));
    }
    (codes, absmax)
}

//! Kernels that encoders need besides those of decoders, over plain f32 slices and in place: exact activations, and the
//! softmax of whole rows. What a crew's threads share are parts of elements or rows, so who does them changes no bit.

use super::{
    Crew,
    activation::Gelu,
    math::{self, exp, mla, sigmoid, simd},
};

/// `erf(x)` with an error below 3e-7: the rational approximation of Eigen and XLA, whose argument is clamped to where
/// f32 tells the result from ±1.
#[inline(always)]
fn erf<const FMA: bool>(x: f32) -> f32 {
    const ODD: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_3e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_4e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const EVEN: [f32; 5] = [-1.456_607_2e-5, -2.133_740_5e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2];
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let (mut p, mut q) = (ODD[0], EVEN[0]);
    for c in &ODD[1..] {
        p = mla::<FMA>(p, square, *c);
    }
    for c in &EVEN[1..] {
        q = mla::<FMA>(q, square, *c);
    }
    x * p / q
}

simd! {
    fn gelu_erf_task(x: &mut [f32]) {
        for x in x {
            *x = 0.5 * *x * (1.0 + erf::<FMA>(*x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

simd! {
    fn gelu_tanh_task(x: &mut [f32]) {
        // 2 sqrt(2/π); half of 1 + tanh(u) is the sigmoid of 2u.
        const FACTOR: f32 = 1.595_769;
        for x in x {
            let inner = mla::<FMA>(0.044_715 * *x * *x, *x, *x);
            *x *= sigmoid::<FMA>(FACTOR * inner);
        }
    }
}

simd! {
    fn silu_task(x: &mut [f32]) {
        for x in x {
            *x *= sigmoid::<FMA>(*x);
        }
    }
}

/// `x = gelu(x)`.
pub fn gelu_in_place(crew: Crew, x: &mut [f32], kind: Gelu) {
    let task = match kind {
        Gelu::Erf => gelu_erf_task,
        Gelu::Tanh => gelu_tanh_task,
    };
    crew.parts(x, crew.part(x.len()), |_, x| task(x));
}

/// `x = x sigmoid(x)`.
pub fn silu_in_place(crew: Crew, x: &mut [f32]) {
    crew.parts(x, crew.part(x.len()), |_, x| silu_task(x));
}

simd! {
    /// The softmax of one row, in place. Elements of -∞ get no weight; one at least must be finite.
    pub fn softmax_row(x: &mut [f32]) {
        let largest = math::max(x);
        for x in &mut *x {
            *x = exp::<FMA>(*x - largest);
        }
        let scale = 1.0 / math::sum(x.len(), |i| x[i]);
        for x in x {
            *x *= scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_those_of_their_definitions() {
        let xs: Vec<f32> = (-12_000..12_000).map(|i| i as f32 * 1e-3).collect();
        let exact = |x: f64, kind: Gelu| match kind {
            Gelu::Erf => 0.5 * x * (1.0 + candle_core::cpu::erf::erf_f64(x / 2f64.sqrt())),
            Gelu::Tanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
        };
        for kind in [Gelu::Erf, Gelu::Tanh] {
            let mut ys = xs.clone();
            gelu_in_place(Crew::Pool, &mut ys, kind);
            for (&x, &y) in xs.iter().zip(&ys) {
                let expect = exact(f64::from(x), kind);
                let error = (f64::from(y) - expect).abs();
                assert!(error < 4e-7 * expect.abs().max(1.0) + 4e-7 * f64::from(x).abs(), "{kind:?}({x}) = {y}");
            }
        }
        let mut ys = xs.clone();
        silu_in_place(Crew::Alone, &mut ys);
        assert!(xs.iter().zip(ys).all(|(&x, y)| {
            let x = f64::from(x);
            (f64::from(y) - x / (1.0 + (-x).exp())).abs() < 1e-6 * x.abs().max(1.0)
        }));
    }

    #[test]
    fn softmax_is_a_distribution_and_leaves_masked_elements_out() {
        let mut row = [1.0, f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY];
        softmax_row(&mut row);
        assert_eq!(row, [0.5, 0.0, 0.5, 0.0]);
    }
}

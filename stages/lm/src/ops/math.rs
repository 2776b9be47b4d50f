//! Elementary functions in f32 that compilers vectorise, and loops compiled for any CPU, for AVX2 with FMA, and for
//! AVX-512.

/// Defines a function whose body is also compiled for AVX2 with FMA, and for AVX-512, and runs the widest version that
/// the CPU has; the two give the same bits. Inside, `FMA` says whether it is one of them, for [`mla`] and the functions
/// built on it, and `WIDE` whether it is the one for AVX-512, which has twice as many registers of twice the width.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FMA: bool, const WIDE: bool>($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn fused($($arg: $type),*) $(-> $ret)? {
                    body::<true, false>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                fn wide($($arg: $type),*) $(-> $ret)? {
                    body::<true, true>($($arg),*)
                }
                if $crate::ops::math::has_avx512() {
                    // SAFETY: AVX-512, AVX2 and FMA were detected.
                    return unsafe { wide($($arg),*) };
                }
                if $crate::ops::math::has_avx2() {
                    // SAFETY: AVX2 and FMA were detected.
                    return unsafe { fused($($arg),*) };
                }
            }
            body::<{ cfg!(target_arch = "aarch64") }, false>($($arg),*)
        }
    };
}
pub(crate) use simd;

/// Whether the CPU has AVX2, FMA and F16C, as all with AVX2 have (the answer is cached by the standard library).
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// Whether the CPU has the parts of AVX-512 that all such CPUs have had since 2017, with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Whether the kernels of this machine fuse multiplication and addition: those for AVX2 and for aarch64 do, with the
/// same bits; others do not.
pub(crate) fn is_fused() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        has_avx2()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        cfg!(target_arch = "aarch64")
    }
}

/// `a * b + c`, fused where `FMA` says that this is one instruction (elsewhere it would be a call into libm).
#[inline(always)]
pub(crate) fn mla<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The value of an f16, of which these are the bits.
///
/// Exponent and fraction are put where an f32 has them, and the bias is corrected by an exact product, so that
/// subnormals need no case of their own (Giesen 2012, "half to float done quick").
#[inline(always)]
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    /// 2^(127 - 15): the difference of the two biases.
    const REBIAS: f32 = f32::from_bits((254 - 15) << 23);
    const INFINITE: u32 = 0xff << 23;
    let bits = u32::from(bits);
    let magnitude = (f32::from_bits((bits & 0x7fff) << 13) * REBIAS).to_bits();
    // What has the largest exponent is infinite or no number.
    let magnitude = if bits & 0x7c00 == 0x7c00 { magnitude | INFINITE } else { magnitude };
    f32::from_bits(magnitude | (bits & 0x8000) << 16)
}

/// `e^x` with a relative error below 2e-7; 0 below -87.3, saturating above 88.
///
/// Cody and Waite's reduction to `|r| <= ln(2)/2`, then the polynomial of Cephes' `expf` (Moshier 1992).
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    /// Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LOWEST: f32 = -87.3;
    let clamped = x.clamp(LOWEST, 88.0);
    let rounded = mla::<FMA>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let r = mla::<FMA>(n, 2.121_944_4e-4, mla::<FMA>(n, -0.693_359_4, clamped));
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
        p = mla::<FMA>(p, r, c);
    }
    let y = mla::<FMA>(p * r, r, r + 1.0);
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x < LOWEST { 0.0 } else { y * power }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// Number of partial sums in reductions: enough to fill the pipelines of two vector units.
const LANES: usize = 32;

/// `Σ term(i)` in an order fixed by `len` alone.
#[inline(always)]
pub(crate) fn sum(len: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let whole = len / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    for i in whole..len {
        lanes[i - whole] += term(i);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The largest of `x`, -∞ if there is none.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = if value > *lane { value } else { *lane };
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = if lanes[i + width] > lanes[i] { lanes[i + width] } else { lanes[i] };
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    simd! {
        fn exp_all(x: &mut [f32]) {
            for x in x {
                *x = super::exp::<FMA>(*x);
            }
        }
    }

    #[test]
    fn every_half_is_what_it_was() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (super::f16_to_f32(bits), half::f16::from_bits(bits).to_f32());
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{bits:#x}: {found}");
        }
    }

    #[test]
    fn exp_is_accurate_over_its_range() {
        let xs: Vec<f32> = (-87_000..88_000).map(|i| i as f32 * 1e-3).collect();
        let mut ys = xs.clone();
        exp_all(&mut ys);
        for (x, y) in xs.iter().zip(ys) {
            let exact = f64::from(*x).exp();
            assert!((f64::from(y) / exact - 1.0).abs() < 2e-7, "exp({x}) = {y}, not {exact}");
            let portable = f64::from(super::exp::<false>(*x));
            assert!((portable / exact - 1.0).abs() < 2e-7, "portable exp({x}) = {portable}, not {exact}");
        }
        let mut edges = [f32::NEG_INFINITY, -1000.0, 0.0];
        exp_all(&mut edges);
        assert_eq!(edges, [0.0, 0.0, 1.0]);
    }

    #[test]
    fn reductions_cover_every_length() {
        for len in [0, 1, 31, 32, 33, 100] {
            let x: Vec<f32> = (0..len).map(|i| i as f32).collect();
            assert!((super::sum(len, |i| x[i]) - x.iter().sum::<f32>()).abs() < 1e-3);
            assert_eq!(super::max(&x), len.checked_sub(1).map_or(f32::NEG_INFINITY, |last| last as f32));
        }
    }
}

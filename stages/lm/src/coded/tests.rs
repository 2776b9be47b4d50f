use candle_core::{
    DType, Device,
    quantized::{GgmlType, QTensor, k_quants},
};

use super::*;
use crate::ops::{
    Crew, RoundedRows, Team,
    gemm::{Lhs, Product, Rhs, Store},
    math,
};

/// What a generator of any kind makes: bytes, whose f16 are moderate numbers where `scales` says so.
fn bytes(len: usize, scales: &[usize], block: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut bytes: Vec<u8> = (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    for block in bytes.chunks_exact_mut(block) {
        for at in scales {
            // Exponents from -15 to 0, both signs, subnormal numbers among them.
            block[at + 1] = block[at + 1] & 0x80 | block[at + 1] & 0x3f;
        }
    }
    bytes
}

/// A matrix of random blocks: the values are candle's, and products have the bits of those with the values in f32, in
/// few rows and in many, whole panels and cut ones.
fn check<C: Code, B: GgmlType>(scales: &[usize]) {
    for (rows, columns) in [(16 * 9, 512), (37, 1536)] {
        let blocks = columns / C::COLUMNS;
        let data = bytes(rows * blocks * C::BLOCK, scales, C::BLOCK);
        let width = blocks * C::BLOCK;
        let weight = CodedWeight::<C>::of_rows((rows, columns), |row| &data[row * width..][..width]);

        let mut expected = vec![0.0; rows * columns];
        let mut aligned = vec![0_u64; data.len().div_ceil(8)];
        // SAFETY: any bytes are blocks, and the vector is long and aligned enough.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), aligned.as_mut_ptr().cast(), data.len());
            let blocks = std::slice::from_raw_parts(aligned.as_ptr().cast::<B>(), data.len() / size_of::<B>());
            B::to_float(blocks, &mut expected);
        }
        check_weight(&weight, &expected);
        let mut again = CodedWeight::<C>::zeros((rows, columns));
        again.put_rows(0, &data[..16 * width]);
        again.put_rows(16, &data[16 * width..]);
        assert_eq!(again.bytes(), weight.bytes());
    }
}

fn check_weight(weight: &dyn WeightTile, expected: &[f32]) {
    let (rows, columns) = (weight.out_features(), weight.in_features());
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    for range in [0..rows, 5..6, 8..16, 16..24, 24..37] {
        let mut found = vec![f32::NAN; range.len() * columns];
        weight.read_rows(range.clone(), &mut found);
        assert_eq!(bits(&found), bits(&expected[range.start * columns..range.end * columns]), "{range:?}");
    }
    for m in [1, 2, 3, 4, 5, 7] {
        let x: Vec<f32> = (0..m * columns).map(|i| ((i * 31 % 97) as f32 - 48.0) * 0.021).collect();
        for store in [Store::Overwrite, Store::Add] {
            let multiply = |b: Rhs, crew: Crew| {
                let mut c: Vec<f32> = (0..m * rows).map(|i| i as f32).collect();
                Product { m, n: rows, k: columns, a: Lhs::Rows(&x), b, store }.by(crew, &mut c);
                bits(&c)
            };
            let plain = multiply(Rhs::Transposed(expected), Crew::Alone);
            for crew in [Crew::Alone, Crew::Pool] {
                assert_eq!(multiply(Rhs::TilesTransposed(weight), crew), plain, "{m} rows, {store:?}");
            }
        }
    }
}

#[test]
fn quantised_blocks_have_candles_values_and_the_bits_of_their_products() {
    check::<Q8_0, k_quants::BlockQ8_0>(&[0]);
    check::<Q4_0, k_quants::BlockQ4_0>(&[0]);
    check::<Q4_1, k_quants::BlockQ4_1>(&[0, 2]);
    check::<Q5_0, k_quants::BlockQ5_0>(&[0]);
    check::<Q5_1, k_quants::BlockQ5_1>(&[0, 2]);
    check::<Q2K, k_quants::BlockQ2K>(&[80, 82]);
    check::<Q3K, k_quants::BlockQ3K>(&[108]);
    check::<Q4K, k_quants::BlockQ4K>(&[0, 2]);
    check::<Q5K, k_quants::BlockQ5K>(&[0, 2]);
    check::<Q6K, k_quants::BlockQ6K>(&[208]);
}

#[test]
fn halves_are_exact_and_have_the_bits_of_their_products() {
    let (rows, columns) = (37, 333);
    let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
    let matrix = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
    let in_f32 = |dtype| -> Vec<f32> {
        let stored = matrix.to_dtype(dtype).unwrap();
        stored.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let halves = |half: fn(f32) -> u16| -> Vec<u8> {
        let all: Vec<f32> = matrix.flatten_all().unwrap().to_vec1().unwrap();
        all.into_iter().flat_map(|value| half(value).to_le_bytes()).collect()
    };
    let width = 2 * columns;
    let f16 = halves(|value| ::half::f16::from_f32(value).to_bits());
    check_weight(
        &CodedWeight::<F16>::of_rows((rows, columns), |row| &f16[row * width..][..width]),
        &in_f32(DType::F16),
    );
    let bf16 = halves(|value| ::half::bf16::from_f32(value).to_bits());
    check_weight(
        &CodedWeight::<BF16>::of_rows((rows, columns), |row| &bf16[row * width..][..width]),
        &in_f32(DType::BF16),
    );
}

#[test]
fn nf4_has_the_values_of_its_blocks_and_the_bits_of_their_products() {
    let (rows, columns) = (37, 576);
    let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 1009) as f32 - 504.0) * 0.0013).collect();
    let matrix = Nf4Tensor::quantize(&values, [rows, columns]).unwrap();
    check_weight(&*nf4_weight(&matrix).unwrap(), &matrix.dequantize());
    assert!(nf4_weight(&Nf4Tensor::quantize(&values[..48 * 3], [3, 48]).unwrap()).is_none(), "part of a block");
}

/// Every kernel, not only this CPU's: the values of a panel, and products with three rows.
fn check_kernels<C: Code>(scales: &[usize]) {
    const PANELS: usize = 4;
    let (rows, columns) = (NR * PANELS, 256);
    let width = columns / C::COLUMNS * C::BLOCK;
    let data = bytes(rows * width, scales, C::BLOCK);
    let weight = CodedWeight::<C>::of_rows((rows, columns), |row| &data[row * width..][..width]);
    let panel_bytes = CodedWeight::<C>::panel_bytes(columns);
    let x: Vec<f32> = (0..3 * columns).map(|i| ((i * 31 % 97) as f32 - 48.0) * 0.021).collect();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let found = kernel::every::<C>().into_iter().map(|kernels| {
        let (mut values, mut c) = (vec![0.0; NR * columns], vec![0.0; 3 * rows]);
        let multiply = |kernel: unsafe fn(&Tile), panel: usize, c: &mut [f32]| {
            let tile = Tile {
                k: 0..columns,
                x: x.as_ptr(),
                x_stride: columns,
                panels: weight.bytes()[panel * panel_bytes..].as_ptr(),
                panel_bytes,
                c: c[panel * NR..].as_mut_ptr(),
                c_stride: rows,
                add: false,
            };
            // SAFETY: the CPU has these kernels, and as many panels are there.
            unsafe { kernel(&tile) };
        };
        // SAFETY: as above.
        unsafe { (kernels.expand)(weight.bytes().as_ptr(), &mut values) };
        (0..PANELS).step_by(kernels.panels).for_each(|panel| multiply(kernels.several[2], panel, &mut c));
        let several = bits(&c);
        (0..PANELS).for_each(|panel| multiply(kernels.one[2], panel, &mut c));
        assert_eq!(bits(&c), several, "panels alone and together");
        (bits(&values), several)
    });
    let found: Vec<_> = found.collect();
    let (portable, others) = found.split_last().unwrap();
    for other in others {
        assert_eq!(other.0, portable.0, "what a code means does not depend on fusing");
        assert_eq!(other.1, others[0].1, "those that fuse have the same sums");
    }
}

#[test]
fn kernels_for_every_cpu_give_the_same_bits() {
    check_kernels::<F16>(&[0, 2, 4, 6, 8, 10, 12, 14]);
    check_kernels::<BF16>(&[0, 2, 4, 6, 8, 10, 12, 14]);
    check_kernels::<Q8_0>(&[0]);
    check_kernels::<Q4_0>(&[0]);
    check_kernels::<Q5_1>(&[0, 2]);
    check_kernels::<Q3K>(&[108]);
    check_kernels::<Q4K>(&[0, 2]);
    check_kernels::<Q6K>(&[208]);
    check_kernels::<Nf4>(&[2]);
}

#[test]
fn a_checkpoint_is_rounded_as_candle_rounds() {
    let (rows, columns) = (21, 96);
    let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
    let matrix = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
    let quantised = QTensor::quantize(&matrix, GgmlDType::Q8_0).unwrap();
    let expected: Vec<f32> = quantised.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let (data, width) = (quantised.data().unwrap(), 3 * Q8_0::BLOCK);
    let weight = ggml_weight(GgmlDType::Q8_0, (rows, columns), |row| &data[row * width..][..width]).unwrap();
    let mut found = vec![0.0; rows * columns];
    weight.read_rows(0..rows, &mut found);
    assert_eq!(found, expected);
}

/// The product of rounded activations as it is defined, in f64.
fn exact(weight: &[f32], x: &RoundedRows, m: usize, n: usize, k: usize) -> Vec<f64> {
    let x: Vec<f64> = x
        .blocks()
        .iter()
        .flat_map(|block| block.values.map(|value| f64::from(value) * f64::from(block.scale)))
        .collect();
    let dot = |i: usize, j: usize| (0..k).map(|k_at| x[i * k + k_at] * f64::from(weight[j * k + k_at])).sum();
    (0..m).flat_map(|i| (0..n).map(move |j| dot(i, j))).collect()
}

#[test]
fn products_of_rounded_activations_are_those_of_their_definition_on_every_cpu() {
    for (n, k) in [(16 * 9, 512), (37, 96), (5, 32), (16, 1536)] {
        let width = k / 32 * 34;
        let mut data = bytes(n * width, &[0], 34);
        // The factors that instructions cut off where they can: the largest, side by side.
        data[2..34].fill(127);
        data[width + 2..width + 34].fill(128);
        let weight = CodedWeight::<Quads>::of_rows((n, k), |row| &data[row * width..][..width]);
        let plain = CodedWeight::<Q8_0>::of_rows((n, k), |row| &data[row * width..][..width]);
        let mut values = vec![0.0; n * k];
        plain.read_rows(0..n, &mut values);
        if n >= 37 {
            check_weight(&weight, &values);
        }
        for m in [0, 1, 2, 4, 6, 7, 13, 64] {
            let x: Vec<f32> = (0..m * k).map(|i| ((i * 31 % 97) as f32 - 48.0) * 0.021).collect();
            let mut rounded = RoundedRows::default();
            rounded.fill(Crew::Alone, &x, m);
            let expected = exact(&values, &rounded, m, n, k);
            let largest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            let mut seen: Option<Vec<f32>> = None;
            for family in integer::families() {
                for (crew, store) in [(Crew::Alone, Store::Overwrite), (Crew::Pool, Store::Add)] {
                    let mut c = vec![0.0; m * n];
                    integer::product_by(family, &weight, &rounded, crew, store, &mut c);
                    for (found, expected) in c.iter().zip(&expected) {
                        assert!((f64::from(*found) - expected).abs() < 1e-5 * largest, "{m} x {n} x {k}");
                    }
                    // Plain kernels may round once more.
                    if math::is_fused() && family.as_ptr() != integer::families().last().unwrap().as_ptr() {
                        assert_eq!(*seen.get_or_insert_with(|| c.clone()), c, "{m} x {n} x {k}");
                    }
                }
            }
            Team::gather(2, |crew| {
                let mut c = vec![0.0; m * n];
                weight.multiply_rounded(&rounded, crew, Store::Overwrite, &mut c);
                assert_eq!(*seen.get_or_insert_with(|| c.clone()), c, "{m} x {n} x {k}");
            });
            if m == 0 {
                continue;
            }
            // A row alone, and with others.
            let mut alone = RoundedRows::default();
            alone.fill(Crew::Alone, &x[(m - 1) * k..], 1);
            let (mut one, mut all) = (vec![0.0; n], vec![0.0; m * n]);
            weight.multiply_rounded(&alone, Crew::Alone, Store::Overwrite, &mut one);
            weight.multiply_rounded(&rounded, Crew::Pool, Store::Overwrite, &mut all);
            assert_eq!(one, all[(m - 1) * n..], "{m} x {n} x {k}");
        }
    }
}

//! Values against f64, and bits against batch size, thread count and operand form.

use std::ops::Range;

use super::{super::Team, *};

/// Reproducible values in [-1, 1).
fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

fn transpose(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|i| x[i % rows * columns + i / rows]).collect()
}

struct Plain<'a>(&'a [f32], usize);
impl WeightTile for Plain<'_> {
    fn out_features(&self) -> usize {
        self.0.len() / self.1
    }
    fn in_features(&self) -> usize {
        self.1
    }
    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self.0[rows.start * self.1..rows.end * self.1]);
    }
}

/// A packed weight reads back what was packed, whole and from anywhere, and is the same when it arrives row by row.
fn assert_packed(packed: &PackedWeight, weight: &[f32]) {
    let (n, k) = (packed.out_features(), packed.in_features());
    let mut put = PackedWeight::zeroed(n, k);
    for (block, rows) in weight.chunks(2 * PackedWeight::ROWS * k).enumerate() {
        put.put_rows(2 * block * PackedWeight::ROWS, rows);
    }
    assert_eq!(put.data, packed.data);
    for range in [0..n, n / 3..n, n / 2..n / 2 + 1] {
        let mut read = vec![f32::NAN; range.len() * k];
        packed.read_rows(range.clone(), &mut read);
        assert_eq!(read, weight[range.start * k..range.end * k]);
    }
}

/// Every operand form of one shape: equal to the f64 product, and all with the same bits.
fn check(m: usize, n: usize, k: usize) {
    let (a, b) = (values(m * k, 1), values(k * n, 2));
    let (a_t, b_t) = (transpose(&a, m, k), transpose(&b, k, n));
    let packed = PackedWeight::pack(&b_t, n, k);
    let across = PackedWeight::pack(&b, k, n);
    assert_packed(&packed, &b_t);
    let product = |a: Lhs, b: Rhs| {
        let mut c = vec![f32::NAN; m * n];
        gemm(m, n, k, a, &b, Store::Overwrite, &mut c);
        c
    };
    let c = product(Lhs::Rows(&a), Rhs::Rows(&b));
    for i in 0..m {
        for j in 0..n {
            let exact: f64 = (0..k).map(|p| f64::from(a[i * k + p]) * f64::from(b[p * n + j])).sum();
            let bound = 1e-6 * (k as f64).sqrt() + 1e-6;
            assert!(
                (f64::from(c[i * n + j]) - exact).abs() < bound,
                "{m}x{n}x{k} at {i},{j}: {} {exact}",
                c[i * n + j]
            );
        }
    }
    let (plain, plain_t) = (Plain(&b, n), Plain(&b_t, k));
    for b in [
        Rhs::Rows(&b),
        Rhs::Transposed(&b_t),
        Rhs::Tiles(&plain),
        Rhs::TilesTransposed(&plain_t),
        Rhs::Packed(&packed),
        Rhs::PackedRows(&across),
    ] {
        assert_eq!(product(Lhs::Rows(&a), b), c, "{m}x{n}x{k}");
        assert_eq!(product(Lhs::Transposed(&a_t), b), c, "{m}x{n}x{k}, A transposed");
    }
    let mut added = c.clone();
    gemm(m, n, k, Lhs::Rows(&a), &Rhs::Rows(&b), Store::Add, &mut added);
    let tolerance = 1e-5 * k as f32;
    assert!(added.iter().zip(&c).all(|(sum, c)| (sum - 2.0 * c).abs() <= tolerance), "{m}x{n}x{k}: C += A B");
}

#[test]
fn products_agree_with_f64_in_every_operand_form() {
    for (m, n, k) in [
        (1, 1, 1),
        (1, 16, 8),
        (1, 70, 33),
        (2, 33, 40),
        (3, 64, 320),
        (4, 15, 321),
        (5, 17, 7),
        (6, 16, 16),
        (7, 48, 700),
        (96, 32, 64),
        (97, 31, 650),
        (130, 80, 24),
        (13, 100, 1),
        (16, 64, 600),
        (100, 16, 600),
    ] {
        check(m, n, k);
    }
}

#[test]
fn large_right_operands_are_packed_by_parts() {
    // 700 x 6016 floats are 16 MB: more than is packed at a time, by panels and (encoded weights) by rows.
    let (m, n, k) = (2, 6016, 700);
    let (a, b) = (values(m * k, 3), values(k * n, 4));
    let whole = PackedWeight::pack(&transpose(&b, k, n), n, k);
    let mut expect = vec![0.0; m * n];
    whole.matmul(&a, m, None, &mut expect);
    let plain = Plain(&b, n);
    for b in [Rhs::Rows(&b), Rhs::Tiles(&plain)] {
        let mut c = vec![0.0; m * n];
        gemm(m, n, k, Lhs::Rows(&a), &b, Store::Overwrite, &mut c);
        assert_eq!(c, expect);
    }
}

#[test]
fn a_row_keeps_its_bits_in_any_batch_and_on_any_number_of_threads() {
    let (n, k) = (200, 700);
    let (x, w) = (values(64 * k, 5), PackedWeight::pack(&values(n * k, 6), n, k));
    let bias = values(n, 7);
    let run = |rows: usize, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = vec![0.0; rows * n];
        pool.install(|| w.matmul(&x[..rows * k], rows, Some(&bias), &mut out));
        out
    };
    let by_team = |rows: usize, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = bias.repeat(rows);
        let (a, b) = (Lhs::Rows(&x[..rows * k]), Rhs::Packed(&w));
        let product = Product { m: rows, n, k, a, b, store: Store::Add };
        pool.install(|| Team::gather(threads, |crew| product.by(crew, &mut out)));
        out
    };
    let all = run(64, 2);
    for rows in [1, 2, 3, 4, 5, 7, 13, 64] {
        for threads in [1, 2, 3] {
            assert_eq!(run(rows, threads), all[..rows * n], "{rows} rows on {threads} threads");
            assert_eq!(by_team(rows, threads), all[..rows * n], "{rows} rows by a team of {threads}");
        }
    }
    for i in [6, 63] {
        let mut alone = vec![0.0; n];
        w.matmul(&x[i * k..(i + 1) * k], 1, Some(&bias), &mut alone);
        assert_eq!(alone, all[i * n..(i + 1) * n], "row {i} alone");
    }
}

#[test]
fn what_is_skipped_changes_no_bit_of_the_rest() {
    // Rows i of A see columns j <= i + shift; 700 columns are three blocks.
    for (m, k, n, shift) in [(5, 9, 3, 4), (63, 63, 32, 0), (66, 100, 20, 34), (40, 700, 64, 660), (2, 50, 48, 48)] {
        let mut a = values(m * k, 11);
        for (i, row) in a.chunks_exact_mut(k).enumerate() {
            row[k.min(i + shift + 1)..].fill(0.0);
        }
        let multiply = |[m, n, k]: [usize; 3], a: Lhs, b: Rhs, skip: Skip| {
            let mut c = values(m * n, 12);
            Product { m, n, k, a, b, store: Store::Add }.partly(skip, Crew::Alone, &mut c);
            c
        };
        let (b, b_tall, skip) = (values(k * n, 13), values(m * n, 14), Skip::Left { shift });
        for (shape, a, b) in
            [([m, n, k], Lhs::Rows(&a), Rhs::Rows(&b)), ([k, n, m], Lhs::Transposed(&a), Rhs::Rows(&b_tall))]
        {
            assert_eq!(multiply(shape, a, b, skip), multiply(shape, a, b, Skip::Nothing), "{shape:?}, {shift}");
        }
        // A as a result: the product of some [m, n] and the transpose of some [k, n].
        let operands = (Lhs::Rows(&b_tall), Rhs::Transposed(&b));
        let whole = multiply([m, k, n], operands.0, operands.1, Skip::Nothing);
        let part = multiply([m, k, n], operands.0, operands.1, Skip::Result { shift });
        for i in 0..m {
            let wanted = i * k..i * k + k.min(i + shift + 1);
            assert_eq!(part[wanted.clone()], whole[wanted], "row {i} of {m} x {k}, {shift}");
        }
        let (column, before) = (k.min(m + shift).next_multiple_of(NR), values(m * k, 12));
        assert!(column >= k || part[column..k] == before[column..k], "whole panels beyond the last row are left alone");
    }
}

#[test]
fn portable_kernel_agrees_with_the_detected_one() {
    let k = 50;
    let (a, b) = (values(6 * k, 8), values(k * NR, 9));
    let run = |kernel: Kernel| {
        let mut c = vec![0.0f32; 6 * NR];
        let tile = Tile {
            k,
            a: a.as_ptr(),
            a_row_stride: k,
            a_k_stride: 1,
            b: b.as_ptr(),
            b_k_stride: NR,
            panel_stride: k * NR,
            c: c.as_mut_ptr(),
            c_stride: NR,
            add: false,
            ahead: b.as_ptr(),
            ahead_step: 0,
            ahead_across: 0,
        };
        // SAFETY: the tile's extents are those of the vectors above.
        unsafe { kernel(&tile) };
        c
    };
    let (portable, detected) = (run(PORTABLE.kernels[2].by_rows[5]), run(family().kernels[2].by_rows[5]));
    assert!(portable.iter().zip(&detected).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn packed_weights_give_their_rows_back() {
    let w = values(20 * 9, 10);
    let packed = PackedWeight::pack(&w, 20, 9);
    let mut rows = vec![0.0; 5 * 9];
    packed.read_rows(14..19, &mut rows);
    assert_eq!(rows, w[14 * 9..19 * 9]);
}

/// Every kernel of fused multiply-adds gives the bits of the plain chain, whatever its width: machines with AVX2 and
/// with AVX-512 compute the same. Of the families those are tried that this CPU has.
#[cfg(target_arch = "x86_64")]
#[test]
fn kernels_of_every_width_are_one_chain() {
    const K: usize = 37;
    let families: Vec<(&str, &Family)> = [("avx2", math::has_avx2(), &AVX2), ("avx512", math::has_avx512(), &AVX512)]
        .into_iter()
        .filter_map(|(name, has, family)| has.then_some((name, family)))
        .collect();
    assert!(!families.is_empty() || !math::is_fused(), "a CPU that fuses has a kernel that does");
    for (name, family) in families {
        for kernels in &family.kernels {
            for rows in 1..=MR {
                let columns = kernels.panels * NR;
                let (a, b, c) = (values(rows * K, 3), values(columns * K, 4), values(rows * columns, 5));
                let mut found = c.clone();
                let tile = Tile {
                    k: K,
                    a: a.as_ptr(),
                    a_row_stride: K,
                    a_k_stride: 1,
                    b: b.as_ptr(),
                    b_k_stride: NR,
                    panel_stride: K * NR,
                    c: found.as_mut_ptr(),
                    c_stride: columns,
                    add: true,
                    ahead: b.as_ptr(),
                    ahead_step: 1,
                    ahead_across: K * NR,
                };
                // SAFETY: the CPU has what the family needs, and the tile is whole.
                unsafe { kernels.by_rows[rows - 1](&tile) };
                for (at, found) in found.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let panel = &b[column / NR * K * NR..][..K * NR];
                    let sum = (0..K).fold(0.0, |sum, k| a[row * K + k].mul_add(panel[k * NR + column % NR], sum));
                    assert_eq!(found.to_bits(), (c[at] + sum).to_bits(), "{name}, {rows} rows, {row}, {column}");
                }
            }
        }
    }
}

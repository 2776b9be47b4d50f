//! Every fused op against its composition of candle's operations in f64, values and gradients, and bits against batch
//! and thread count.

use std::{ops::Range, sync::Arc};

use candle_core::{DType, Device, Result, Tensor, Var};

use super::*;

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

fn tensor(rows: usize, columns: usize, seed: u64) -> Tensor {
    Tensor::from_vec(values(rows * columns, seed), (rows, columns), &Device::Cpu).unwrap()
}

fn vector(len: usize, seed: u64) -> Tensor {
    Tensor::from_vec(values(len, seed), len, &Device::Cpu).unwrap()
}

fn floats(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference relative to the largest value.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (floats(a), floats(b));
    let largest = b.iter().fold(1e-6, |m: f64, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0, |m: f64, (x, y)| m.max((x - y).abs())) / largest
}

/// Values and all gradients of `op` in f32 (fused) agree with those of `op` in f64 (composed); candle's walk over the
/// graph and ours give the same bits.
fn check(name: &str, inputs: &[Tensor], op: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let run = |dtype: DType| -> Result<(Tensor, Vec<Tensor>, Vec<Tensor>)> {
        let vars = inputs.iter().map(|t| Var::from_tensor(&t.to_dtype(dtype)?)).collect::<Result<Vec<_>>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let y = op(&tensors)?;
        let seed = Tensor::from_vec(values(y.elem_count(), 99), y.shape(), &Device::Cpu)?.to_dtype(dtype)?;
        let walked = backward_from(&y, &seed)?;
        // The gradients of a cross-entropy can be taken once: a second forward for candle's own walk.
        let candle = (op(&tensors)? * &seed)?.sum_all()?.backward()?;
        let pick = |store: &candle_core::backprop::GradStore| {
            tensors.iter().map(|t| store.get(t).expect("every input has a gradient").clone()).collect()
        };
        Ok((y, pick(&walked), pick(&candle)))
    };
    let (y, grads, candle_grads) = run(DType::F32).unwrap();
    let (y_exact, exact, _) = run(DType::F64).unwrap();
    assert!(distance(&y, &y_exact) < 2e-6, "{name}: value differs by {}", distance(&y, &y_exact));
    for (i, ((grad, candle), exact)) in grads.iter().zip(&candle_grads).zip(&exact).enumerate() {
        assert!(distance(grad, exact) < 5e-6, "{name}: gradient {i} differs by {}", distance(grad, exact));
        assert_eq!(floats(grad), floats(candle), "{name}: gradient {i} of the two walks");
    }
}

/// The first `rows` rows of `op` applied to many rows are those of `op` applied to them alone, whatever the threads.
fn check_rows(name: &str, rows: usize, op: impl Fn(usize) -> Tensor + Sync) {
    let on = |threads: usize, rows: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| op(rows))
    };
    let all = on(2, rows);
    for some in [1, 7, 64.min(rows)] {
        for threads in [1, 2] {
            let part = all.narrow(0, 0, some).unwrap();
            assert_eq!(floats(&on(threads, some)), floats(&part), "{name}: {some} rows on {threads} threads");
        }
    }
}

struct Plain(Vec<f32>, usize);
impl WeightTile for Plain {
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

#[test]
fn linear_values_and_gradients() {
    let (x, w, b) = (tensor(37, 24, 1), tensor(21, 24, 2), vector(21, 3));
    check("linear", &[x.clone(), w.clone()], |t| linear(&t[0], &t[1].clone().into(), None));
    check("linear with bias", &[x.clone(), w.clone(), b.clone()], |t| linear(&t[0], &t[1].clone().into(), Some(&t[2])));
    let frozen = |t: &Tensor| Weight::Dense(w.to_dtype(t.dtype()).unwrap());
    check("frozen linear", std::slice::from_ref(&x), |t| {
        linear(&t[0], &frozen(&t[0]), Some(&b.to_dtype(t[0].dtype())?))
    });
    check("frozen linear, trained bias", &[x.clone(), b.clone()], |t| linear(&t[0], &frozen(&t[0]), Some(&t[1])));
    let data = w.flatten_all().unwrap().to_vec1().unwrap();
    let packed = gemm::PackedWeight::pack(&data, 21, 24);
    let (tiles, packed) = (Weight::Tiles(Arc::new(Plain(data, 24))), Weight::Packed(Arc::new(packed)));
    let wide = |weight: &Weight, t: &Tensor| match t.dtype() {
        DType::F64 => frozen(t),
        _ => weight.clone(),
    };
    check("tiles", std::slice::from_ref(&x), |t| linear(&t[0], &wide(&tiles, &t[0]), None));
    check("packed", &[x], |t| linear(&t[0], &wide(&packed, &t[0]), None));
}

#[test]
fn frozen_weights_get_no_gradient() {
    let (x, w) = (Var::from_tensor(&tensor(5, 8, 1)).unwrap(), tensor(6, 8, 2));
    let y = linear(&x, &Weight::Dense(w.clone()), None).unwrap();
    let grads = backward_from(&y, &y.ones_like().unwrap()).unwrap();
    assert!(grads.get(&w).is_none() && grads.get(&x).is_some());
}

#[test]
fn lora_values_and_gradients() {
    // The last weight is too large to be merged with its adapter.
    for (n, k, m) in [(33, 40, 50), (99, 40, 50), (520, 530, 20)] {
        let (x, w, bias) = (tensor(m, k, 1), tensor(n, k, 2), vector(n, 5));
        let (a, b) = (tensor(16, k, 3), tensor(n, 16, 4));
        for dropout in [None, Some(Dropout { p: 0.3, seed: 7 })] {
            check("lora_linear", &[x.clone(), a.clone(), b.clone()], |t| {
                let as_x = |u: &Tensor| u.to_dtype(t[0].dtype());
                let lora = Lora { a: &t[1], b: &t[2], scale: 2.0, dropout };
                lora_linear(&t[0], &Weight::Dense(as_x(&w)?), Some(&as_x(&bias)?), &lora)
            });
        }
    }
}

#[test]
fn dropout_keeps_the_stated_share() {
    let dropout = Dropout { p: 0.25, seed: 3 };
    let kept = (0..40_000).filter(|&i| dropout.factor(i) > 0.0).count();
    assert!((kept as f64 / 40_000.0 - 0.75).abs() < 0.01, "{kept} of 40000 kept");
    assert!((0..100).any(|i| dropout.factor(i) != Dropout { seed: 4, ..dropout }.factor(i)));
}

#[test]
fn norm_values_and_gradients() {
    let (x, w, b) = (tensor(70, 50, 1), vector(50, 2), vector(50, 3));
    check("rms_norm", &[x.clone(), w.clone()], |t| rms_norm(&t[0], &t[1], 1e-5));
    check("rms_norm per head", &[x.clone(), vector(25, 4)], |t| rms_norm(&t[0], &t[1], 1e-5));
    check("layer_norm", &[x.clone(), w.clone()], |t| layer_norm(&t[0], &t[1], None, 1e-5));
    check("layer_norm with bias", &[x, w, b], |t| layer_norm(&t[0], &t[1], Some(&t[2]), 1e-5));
}

#[test]
fn rope_values_and_gradients() {
    let table = Rope::new(&[1.0, 0.3, 0.1, 0.01], 40, 1.5);
    let positions: Vec<u32> = (0..30).map(|i| i % 13 + 20).collect();
    check("rope", &[tensor(30, 24, 1)], |t| rope(&t[0], &table, &positions));
}

#[test]
fn elementwise_values_and_gradients() {
    let (a, b) = ((tensor(33, 40, 1) * 6.0).unwrap(), tensor(33, 40, 2));
    check("swiglu", &[a.clone(), b.clone()], |t| swiglu(&t[0], &t[1]));
    check("add", &[a.clone(), b], |t| add(&t[0], &t[1]));
    check("add to itself", std::slice::from_ref(&a), |t| add(&t[0], &t[0]));
    check("gelu erf", std::slice::from_ref(&a), |t| gelu(&t[0], Gelu::Erf));
    check("gelu tanh", &[a], |t| gelu(&t[0], Gelu::Tanh));
}

#[test]
fn embedding_values_and_gradients() {
    check("embedding", &[tensor(11, 6, 1)], |t| embedding(&t[0].clone().into(), &[3, 0, 10, 3, 3, 7]));
    let table = tensor(37, 24, 1);
    assert!(embedding(&table.clone().into(), &[37]).is_err());
    let data = table.flatten_all().unwrap().to_vec1().unwrap();
    let packed = Weight::Packed(Arc::new(gemm::PackedWeight::pack(&data, 37, 24)));
    let rows = |weight: &Weight| embedding(weight, &[36, 0, 17, 36]).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(rows(&packed), rows(&Weight::Dense(table)));
}

#[test]
fn cross_entropy_values_and_gradients() {
    let (hidden, head) = (tensor(90, 20, 1), (tensor(130, 20, 2) * 3.0).unwrap());
    let targets: Vec<u32> = (0..90).map(|i| i * 7 % 130).collect();
    let weights: Vec<f32> = (0..90).map(|i| [0.0, 1.0, 2.5][i % 3]).collect();
    check("cross_entropy", &[hidden.clone(), head.clone()], |t| {
        cross_entropy(&t[0], &t[1].clone().into(), &targets, &weights)
    });
    check("cross_entropy, frozen head", std::slice::from_ref(&hidden), |t| {
        cross_entropy(&t[0], &Weight::Dense(head.to_dtype(t[0].dtype())?), &targets, &weights)
    });
    let hidden = Var::from_tensor(&hidden).unwrap();
    let loss = cross_entropy(&hidden, &Weight::Dense(head), &targets, &[0.0; 90]).unwrap();
    assert_eq!(floats(&loss), [0.0]);
    assert!(floats(backward(&loss).unwrap().get(&hidden).unwrap()).iter().all(|g| *g == 0.0));
}

#[test]
fn attention_values_and_gradients() {
    let cu_seqlens = [0, 1, 90, 90, 100];
    let base = AttentionSpec::causal(6, 3, 8);
    let cases = [
        ("causal", base.clone()),
        ("full", AttentionSpec { causal: false, ..base.clone() }),
        ("window", AttentionSpec { window: Some(9), ..base.clone() }),
        ("alibi", AttentionSpec { alibi: Some((1..=6).map(|i| 0.1 * i as f32).collect()), ..base }),
    ];
    let inputs = [tensor(100, 48, 1), tensor(100, 24, 2), tensor(100, 24, 3)].map(|t| (t * 2.0).unwrap());
    for (name, spec) in cases {
        check(name, &inputs, |t| attention_train(&t[0], &t[1], &t[2], &spec, &cu_seqlens));
    }
}

#[test]
fn a_row_keeps_its_bits_in_any_batch_and_on_any_number_of_threads() {
    let (x, w, up) = (tensor(64, 48, 1), tensor(40, 48, 2), tensor(64, 48, 3));
    let (a, b, norm) = (tensor(8, 48, 4), tensor(40, 8, 5), vector(48, 6));
    let table = Rope::new(&[1.0, 0.1, 0.01], 64, 1.0);
    let first = |t: &Tensor, rows: usize| t.narrow(0, 0, rows).unwrap();
    check_rows("linear", 64, |rows| linear(&first(&x, rows), &w.clone().into(), None).unwrap());
    check_rows("lora_linear", 64, |rows| {
        let lora = Lora { a: &a, b: &b, scale: 0.5, dropout: None };
        lora_linear(&first(&x, rows), &w.clone().into(), None, &lora).unwrap()
    });
    check_rows("rms_norm", 64, |rows| rms_norm(&first(&x, rows), &norm, 1e-5).unwrap());
    check_rows("layer_norm", 64, |rows| layer_norm(&first(&x, rows), &norm, None, 1e-5).unwrap());
    check_rows("swiglu", 64, |rows| swiglu(&first(&x, rows), &first(&up, rows)).unwrap());
    check_rows("rope", 64, |rows| rope(&first(&x, rows), &table, &(0..rows as u32).collect::<Vec<_>>()).unwrap());
    // Sequences of one token, so that rows are whole sequences.
    let spec = AttentionSpec::causal(6, 6, 8);
    check_rows("attention_train", 64, |rows| {
        let cu_seqlens: Vec<u32> = (0..=rows as u32).collect();
        let (q, v) = (first(&x, rows), first(&up, rows));
        attention_train(&q, &q, &v, &spec, &cu_seqlens).unwrap()
    });
}

#[test]
fn gradients_keep_their_bits_on_any_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let vars = [tensor(300, 48, 1), tensor(48, 48, 2)].map(|t| Var::from_tensor(&t).unwrap());
            let norm = Var::from_tensor(&vector(48, 3)).unwrap();
            let (x, w) = (vars[0].as_tensor(), Weight::Dense(vars[1].as_tensor().clone()));
            let h = rms_norm(x, &norm, 1e-5).unwrap();
            let q = linear(&h, &w, None).unwrap();
            let y = attention_train(&q, &h, &h, &AttentionSpec::causal(6, 6, 8), &[0, 100, 300]).unwrap();
            let y = add(x, &swiglu(&y, &q).unwrap()).unwrap();
            let targets: Vec<u32> = (0..300).map(|i| i % 48).collect();
            let loss = cross_entropy(&y, &w, &targets, &[1.0; 300]).unwrap();
            let grads = backward(&loss).unwrap();
            let all = [x, vars[1].as_tensor(), norm.as_tensor()];
            all.map(|t| floats(grads.get(t).unwrap()))
        })
    };
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(3), one);
}

/// The two kinds of kernels round differently, which is why they are told apart; the usual kind has no name, so that
/// keys stay what they were.
#[test]
fn the_numeric_class_is_told_where_it_is_not_the_usual_one() {
    assert_eq!(super::class_of(true), None);
    assert_eq!(super::class_of(false), Some("cpu f32, unfused"));
    assert_eq!(super::numeric_class().is_none(), super::math::is_fused());
    // 1 + 2^-12, whose square needs a bit more than f32 has.
    let (a, b, c) = (1.000_244_1_f32, 1.000_244_1_f32, -1.0_f32);
    assert_ne!(super::math::mla::<true>(a, b, c).to_bits(), super::math::mla::<false>(a, b, c).to_bits());
}

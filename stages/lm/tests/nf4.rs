//! NF4 with double quantization against bitsandbytes' own bytes (`golden/make_nf4.py`).

use pipe_lm::quant::{Nf4Builder, Nf4Tensor, QuantError, Scales, dynamic_map};
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

/// A weight, and what bitsandbytes makes of it.
struct Golden {
    input: Vec<f32>,
    shape: [usize; 2],
    dequantized: Vec<f32>,
    packed: Vec<u8>,
    /// `absmax`: a code per block of 64.
    codes: Vec<u8>,
    nested_absmax: Vec<f32>,
    nested_map: Vec<f32>,
    nested_offset: f64,
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn golden(name: &str) -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/nf4/{name}.safetensors"));
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let data = |name: &str| file.tensor(name).unwrap().data().to_vec();
    let state: serde_json::Value = serde_json::from_slice(&data("weight.quant_state.bitsandbytes__nf4")).unwrap();
    let input = file.tensor("input").unwrap();
    assert_eq!(file.tensor("weight.absmax").unwrap().dtype(), Dtype::U8);
    Golden {
        shape: [input.shape()[0], input.shape()[1]],
        input: floats(input.data()),
        dequantized: floats(&data("dequantized")),
        packed: data("weight"),
        codes: data("weight.absmax"),
        nested_absmax: floats(&data("weight.nested_absmax")),
        nested_map: floats(&data("weight.nested_quant_map")),
        nested_offset: state["nested_offset"].as_f64().unwrap(),
    }
}

const CASES: [&str; 6] = ["square", "blocks_cross_rows", "several_nested_blocks", "odd_tail", "with_zeros", "half_way"];

#[test]
fn the_dynamic_map_is_bitsandbytes() {
    assert_eq!(golden("square").nested_map, dynamic_map());
}

/// Codes, scales, nested scales and offset: every number that bitsandbytes would store.
#[test]
fn quantized_bytes_are_bitsandbytes() {
    for case in CASES {
        let golden = golden(case);
        let ours = Nf4Tensor::quantize(&golden.input, golden.shape).unwrap();
        assert!(ours.packed() == golden.packed, "{case}: codes");
        let Scales::Double { codes, absmax, offset } = ours.scales() else { panic!("{case}") };
        assert_eq!((codes, absmax), (&golden.codes, &golden.nested_absmax), "{case}");
        assert_eq!(f64::from(*offset), golden.nested_offset, "{case}");
    }
}

#[test]
fn dequantized_values_are_bitsandbytes() {
    for case in CASES {
        let golden = golden(case);
        let ours = Nf4Tensor::quantize(&golden.input, golden.shape).unwrap();
        assert!(ours.dequantize() == golden.dequantized, "{case}");
    }
}

/// A tile holds the same bits as the whole, whichever blocks it cuts.
#[test]
fn tiles_are_cuts_of_the_whole() {
    let golden = golden("blocks_cross_rows");
    let weight = Nf4Tensor::quantize(&golden.input, golden.shape).unwrap();
    let whole = weight.dequantize();
    for (start, len) in [(0, 2), (62, 4), (64, 64), (70, 130), (3598, 2), (0, 3600)] {
        let mut tile = vec![0.0; len];
        weight.dequantize_range(start, &mut tile);
        assert_eq!(tile, &whole[start..start + len]);
    }
    let mut rows = vec![0.0; 3 * 72];
    weight.dequantize_rows(7, &mut rows);
    assert_eq!(rows, &whole[7 * 72..10 * 72]);
}

#[test]
fn pieces_of_any_size_quantize_alike() {
    let golden = golden("several_nested_blocks");
    let whole = Nf4Tensor::quantize(&golden.input, golden.shape).unwrap();
    for piece in [1, 63, 64, 100, 4096] {
        let mut builder = Nf4Builder::new(golden.shape);
        for values in golden.input.chunks(piece) {
            builder.push(values).unwrap();
        }
        assert!(builder.finish().unwrap() == whole, "pieces of {piece}");
    }
}

#[test]
fn takes_about_4_127_bits_per_parameter() {
    let n = 1024 * 1024;
    let values: Vec<f32> = (0..n).map(|i: i32| (i % 1009) as f32 / 1009.0 - 0.5).collect();
    let weight = Nf4Tensor::quantize(&values, [1024, 1024]).unwrap();
    assert!(matches!(weight.scales(), Scales::Double { .. }));
    let bits = weight.size_in_bytes() as f64 * 8.0 / f64::from(n);
    assert!((bits - 4.127).abs() < 0.001, "{bits}");
}

#[test]
fn bad_input_is_named() {
    let mut values = vec![0.5; 128];
    values[77] = f32::NAN;
    let error = Nf4Tensor::quantize(&values, [2, 64]).unwrap_err();
    assert!(matches!(error, QuantError::NotFinite { index: 77, .. }), "{error}");
    let error = Nf4Tensor::quantize(&[0.5; 64], [2, 64]).unwrap_err();
    assert_eq!(error.to_string(), "failed to quantise a weight of shape [2, 64]: expected 128 values, got 64");
}

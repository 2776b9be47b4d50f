"""A tiny Llama as GGUF with a different encoding for every matrix, and its logits -> gguf/mixed.gguf, gguf/expected.json.

The quantised blocks are random bits with sane scales; `gguf` says what they mean, `transformers` (which reads GGUF by means of `gguf`) gives
logits. Made with gguf 0.19.0, transformers 5.23.0, torch 2.15.0. Run: python make_gguf.py, then make_gguf_ids.py
"""
import json
import pathlib

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Q

HERE = pathlib.Path(__file__).parent
OUT = HERE / "gguf"
OUT.mkdir(exist_ok=True)
rng = np.random.default_rng(5)
HIDDEN, HEADS, KV, HEAD, FF, LAYERS = 256, 4, 2, 64, 256, 1

# The vocabulary of the SentencePiece-like golden tokenizer, cut to what its first merges make.
source = json.loads((HERE / "tokenizers/sentencepiece_bpe/tokenizer.json").read_text())
vocab = sorted(source["model"]["vocab"], key=source["model"]["vocab"].get)[:420]
pairs = [m if isinstance(m, list) else m.split(" ") for m in source["model"]["merges"]]
rank = {}
for i, (left, right) in enumerate(pairs):
    rank.setdefault(left + right, i)
kinds = [gguf.TokenType.BYTE if t.startswith("<0x") else gguf.TokenType.NORMAL for t in vocab]
kinds[0], kinds[1], kinds[2] = gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL

w = gguf.GGUFWriter(str(OUT / "mixed.gguf"), "llama")
w.add_block_count(LAYERS)
w.add_context_length(128)
w.add_embedding_length(HIDDEN)
w.add_feed_forward_length(FF)
w.add_head_count(HEADS)
w.add_head_count_kv(KV)
w.add_layer_norm_rms_eps(1e-5)
w.add_rope_freq_base(10000.0)
w.add_rope_dimension_count(HEAD)
w.add_vocab_size(len(vocab))
w.add_tokenizer_model("llama")
w.add_tokenizer_pre("default")
w.add_token_list(vocab)
w.add_token_scores([-float(rank[t]) - 1 if t in rank else 0.0 for t in vocab])
w.add_token_types(kinds)
w.add_unk_token_id(0)
w.add_bos_token_id(1)
w.add_eos_token_id(2)
w.add_add_bos_token(True)
w.add_add_eos_token(False)
w.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")


def quantised(shape, kind):
    """Random blocks of a type; the f16 scales in them are overwritten with small ones."""
    values = rng.standard_normal(shape).astype(np.float32) * 0.05
    if kind in (Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0):
        return gguf.quants.quantize(values, kind)
    size, width = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (shape[0] * shape[1] // size, width), dtype=np.uint8)
    # Where each K-quant keeps its f16 scale and minimum.
    places = {Q.Q2_K: (80, 82), Q.Q3_K: (108,), Q.Q4_K: (0, 2), Q.Q5_K: (0, 2), Q.Q6_K: (208,)}[kind]
    for place in places:
        scale = (rng.random(len(blocks)) * 2e-4 + 1e-5).astype(np.float16)
        blocks[:, place:place + 2] = scale.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(shape[0], -1)


def add(name, shape, kind):
    data = quantised(shape, kind)
    w.add_tensor(name, data, raw_dtype=kind)
    full = gguf.quants.dequantize(data, kind).astype(np.float64)
    return {"kind": kind.name, "sum": float(full.sum()), "squares": float((full**2).sum()),
            "row": gguf.quants.dequantize(data, kind).reshape(shape)[shape[0] - 1, :8].astype(float).tolist()}


tensors = {}
for name, shape, kind in [
    ("token_embd", (len(vocab), HIDDEN), Q.Q8_0), ("blk.0.attn_q", (HEADS * HEAD, HIDDEN), Q.Q4_K),
    ("blk.0.attn_k", (KV * HEAD, HIDDEN), Q.Q5_K), ("blk.0.attn_v", (KV * HEAD, HIDDEN), Q.Q6_K),
    ("blk.0.attn_output", (HIDDEN, HEADS * HEAD), Q.Q3_K), ("blk.0.ffn_gate", (FF, HIDDEN), Q.Q2_K),
    ("blk.0.ffn_up", (FF, HIDDEN), Q.Q5_0), ("blk.0.ffn_down", (HIDDEN, FF), Q.Q4_1), ("output", (len(vocab), HIDDEN), Q.Q4_0),
]:
    tensors[name] = add(f"{name}.weight", shape, kind)
for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"]:
    w.add_tensor(f"{name}.weight", (1 + 0.1 * rng.standard_normal(HIDDEN)).astype(np.float32))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

model = transformers.AutoModelForCausalLM.from_pretrained(OUT, gguf_file="mixed.gguf", dtype=torch.float32)
with torch.no_grad():
    prompt = [1, 300, 5, 310, 299, 40, 41, 350]
    logits = model(torch.tensor([prompt])).logits[0]
out = {"versions": {"gguf": "0.19.0", "transformers": transformers.__version__, "torch": torch.__version__},
       "tensors": tensors, "prompt": prompt, "logits": [[round(float(x), 6) for x in row[:64]] for row in logits]}
(OUT / "expected.json").write_text(json.dumps(out))

"""Writes tiny random checkpoints of every supported family, and what `transformers` computes with them.

Made with torch 2.15.0 and transformers 5.23.0 (CPU, f32, eager attention). Run from this directory:

    python make_logits.py                       # the folders logits/NAME
    python make_logits.py --stories DIR         # greedy_stories.json, from the tinystories-656k checkpoint in DIR

Each folder holds `config.json`, `model.safetensors` (f16 or bf16, so that loading those is covered too) and
`expected.safetensors`:

    ids.0, ids.1        two prompts of different length (i32)
    logits.0, logits.1  their logits, [length, vocab] (f32)
    greedy.0, greedy.1  the continuation of each by greedy decoding (i32)

Norm weights and biases are perturbed, since at their initial values (ones, zeros) a model that ignores them passes.
"""

import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    MistralConfig,
    MptConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

VOCAB = 96
BASE = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    tie_word_embeddings=True,
)


def rope(**kw):
    return {"rope_parameters": {"rope_theta": 10000.0, **kw}}


def variants():
    """(name, config, dtype of the checkpoint)."""
    f16, bf16 = torch.float16, torch.bfloat16

    def llama(**kw):
        return LlamaConfig(**{**BASE, **kw})

    yield "llama1", llama(num_key_value_heads=4, tie_word_embeddings=False, rms_norm_eps=1e-6), f16
    yield "llama2_gqa", llama(), f16
    yield "llama_bf16", llama(), bf16
    yield "llama_bias_head_dim", llama(head_dim=16, attention_bias=True, mlp_bias=True), f16
    yield "llama_mqa", llama(num_key_value_heads=1), f16
    yield "llama_rope_linear", llama(**rope(rope_type="linear", factor=4.0)), f16
    yield "llama_rope_llama3", llama(
        head_dim=16,
        **rope(
            rope_type="llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        ),
    ), f16
    yield "llama_rope_yarn", llama(
        head_dim=16, **rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
    ), f16
    yield "mistral_window", MistralConfig(**{**BASE, "sliding_window": 7}), f16
    yield "qwen2", Qwen2Config(**BASE), f16
    yield "qwen2_window", Qwen2Config(
        **BASE, use_sliding_window=True, sliding_window=7, max_window_layers=1
    ), f16
    yield "qwen3", Qwen3Config(**BASE, head_dim=16), f16
    yield "smollm3_nope", SmolLM3Config(**BASE, no_rope_layer_interval=2), f16

    def mpt(n_heads=4, d_model=32, **attn):
        return MptConfig(
            d_model=d_model,
            n_heads=n_heads,
            n_layers=2,
            expansion_ratio=4,
            max_seq_len=128,
            vocab_size=VOCAB,
            no_bias=True,
            attn_config={"attn_type": "multihead_attention", "alibi": True, **attn},
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )

    yield "mpt", mpt(), f16
    yield "mpt_6_heads", mpt(n_heads=6, d_model=24), f16
    yield "mpt_clip", mpt(clip_qkv=0.6), f16


def randomise(model, seed):
    """Weights large enough that the logits differ clearly, norms and biases away from ones and zeros."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if p.dim() == 2:
                scale = 0.5 if "embed" in name or "wte" in name else 1.6 * p.shape[1] ** -0.5
                p.copy_(noise * scale)
            elif "bias" in name:
                p.copy_(noise * 0.3)
            else:
                p.copy_(1 + noise * 0.2)


def greedy(model, ids, new_tokens):
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    return out[0, len(ids) :].tolist()


def greedy_by_logits(model, ids, new_tokens):
    """Greedy decoding without a cache and without any logits processor: what the goldens hold."""
    ids = list(ids)
    start = len(ids)
    for _ in range(new_tokens):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        best = torch.topk(logits, 2).values
        assert best[0] - best[1] > 1e-3, "a near tie: choose another seed"
        ids.append(int(logits.argmax()))
    assert len(set(ids[start:])) >= 6, "a continuation that repeats itself tests little"
    return ids[start:]


def write(name, config, dtype, seed):
    folder = pathlib.Path("logits") / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomise(model, seed)
    model.to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    g = torch.Generator().manual_seed(seed + 1)
    expected = {}
    with torch.no_grad():
        for i, length in enumerate((24, 9)):
            ids = torch.randint(3, VOCAB, (length,), generator=g).tolist()
            expected[f"ids.{i}"] = torch.tensor(ids, dtype=torch.int32)
            expected[f"logits.{i}"] = model(torch.tensor([ids]), use_cache=False).logits[0].contiguous()
            out = greedy_by_logits(model, ids, 24)
            expected[f"greedy.{i}"] = torch.tensor(out, dtype=torch.int32)
    save_file(expected, folder / "expected.safetensors")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stories", help="folder of the tinystories-656k checkpoint")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.stories:
        tokenizer = AutoTokenizer.from_pretrained(args.stories)
        model = AutoModelForCausalLM.from_pretrained(args.stories, dtype=torch.float32).eval()
        rows = []
        for prompt in ("Once upon a time", "Lily and Tom went to the park", "The dog was very sad because"):
            ids = tokenizer(prompt)["input_ids"]
            with torch.no_grad():
                rows.append({"prompt": prompt, "ids": ids, "greedy": greedy(model, ids, 200)})
        pathlib.Path("greedy_stories.json").write_text(json.dumps(rows) + "\n")
        return
    for seed, (name, config, dtype) in enumerate(variants()):
        for attempt in range(200):
            try:
                write(name, config, dtype, 1000 * attempt + seed)
                break
            except AssertionError:
                continue
        else:
            raise SystemExit(f"{name}: every seed tried gives near ties or repetition")


if __name__ == "__main__":
    main()

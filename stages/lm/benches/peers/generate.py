"""Batched greedy generation, this crate and `transformers` in turns on one checkpoint (f32, CPU).

    python generate.py --ours BENCH_BINARY [--model DIR | --shape llama-6.9m | --shape smollm-135m] [--rounds 3]

BENCH_BINARY is what `cargo bench -p pipe-lm --bench generate --no-run` names. Measured with torch 2.15.0 and
transformers 5.23.0. Prints tokens per second of both, round by round, and the ratio of the medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

SHAPES = {
    "llama-2.2m": dict(
        vocab_size=2048, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=6,
        num_key_value_heads=6, max_position_embeddings=512, tie_word_embeddings=True,
    ),
    "llama-6.9m": dict(
        vocab_size=4096, hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=512, tie_word_embeddings=False,
    ),
    "smollm-135m": dict(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True,
    ),
}


def ours(binary, folder, args):
    command = [binary, folder, str(args.rows), str(args.new), str(args.prompt), "1"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {line["temperature"]: line["tokens_per_second"] for line in map(json.loads, lines)}


def theirs(model, args):
    vocab = model.config.vocab_size
    ids = [[3 + (row * 131 + i * 31) % (vocab - 3) for i in range(args.prompt)] for row in range(args.rows)]
    ids = torch.tensor(ids)
    begin = time.perf_counter()
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=args.new, min_new_tokens=args.new,
        do_sample=False, pad_token_id=0,
    )
    seconds = time.perf_counter() - begin
    assert out.shape == (args.rows, args.prompt + args.new)
    return args.rows * args.new / seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("--model")
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--prompt", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.model or scratch
        if args.shape:
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(LlamaConfig(**SHAPES[args.shape])).save_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        rates = []
        for round_ in range(args.rounds):
            mine, peer = ours(args.ours, folder, args), theirs(model, args)
            rates.append((mine[0], mine[0.9], peer))
            print(
                f"round {round_}: greedy {mine[0]:.0f} tokens/s, sampled {mine[0.9]:.0f}, "
                f"transformers greedy {peer:.0f}",
                flush=True,
            )
    greedy, sampled, peer = (statistics.median(column) for column in zip(*rates))
    print(f"medians: {greedy:.0f}, {sampled:.0f}, {peer:.0f}; greedy is {greedy / peer:.2f} times transformers")


if __name__ == "__main__":
    main()

"""Vectors of texts: this crate and sentence-transformers in turns on one model (f32, CPU).

    python embed.py --ours BENCH_BINARY MODEL TEXTS [--rounds 3]

BENCH_BINARY is what `cargo bench -p pipe-lm --bench embed --no-run` names; TEXTS has a text on each line.
Measured with torch 2.15.0, transformers 5.24.0, sentence-transformers 6.2.0. Prints the least seconds of both and their
ratio, wall and CPU.
"""

import argparse
import subprocess
import time

from sentence_transformers import SentenceTransformer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True)
    parser.add_argument("model")
    parser.add_argument("texts")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    texts = open(args.texts, encoding="utf-8").read().splitlines()
    model = SentenceTransformer(args.model, device="cpu")
    model.encode(texts[:8], normalize_embeddings=True)
    ours, theirs = [], []
    for _ in range(args.rounds):
        command = [args.ours, args.model, args.texts, "1"]
        words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1].split()
        ours.append((float(words[3]), float(words[6])))
        start, cpu = time.perf_counter(), time.process_time()
        model.encode(texts, batch_size=32, normalize_embeddings=True)
        theirs.append((time.perf_counter() - start, time.process_time() - cpu))
    best = [min(times) for times in (ours, theirs)]
    cpu = [min(times, key=lambda pair: pair[1])[1] for times in (ours, theirs)]
    print(f"ours {best[0][0]:.2f} s (CPU {cpu[0]:.2f}), sentence-transformers {best[1][0]:.2f} s (CPU {cpu[1]:.2f}), "
          f"ratio {best[1][0] / best[0][0]:.2f} (CPU {cpu[1] / cpu[0]:.2f})")


if __name__ == "__main__":
    main()

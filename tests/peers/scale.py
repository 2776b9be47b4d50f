"""Times what has no peer: a run with nothing to do over 10,000 and 100,000 nodes, and the ingestion of a large JSONL
file.

    cargo build --release
    python tests/peers/scale.py --pipe target/release/pipe

The nodes are chains of `seed_subset` stages, one chain for each value of a factor; all stages are distinct. Nothing but
the standard library is needed.
"""
import argparse
import json
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time


def run(pipe, folder):
    start = time.perf_counter()
    done = subprocess.run([pipe, "run", "p.yaml"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode()[-2000:])
    return time.perf_counter() - start


def chains(folder, variants, deep):
    rows = ({"id": f"r{i}", "instruction": f"q {i}", "output": f"a {i}"} for i in range(50))
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ["pipeline: p", "vars: { x: 0 }", f"matrix: {{ x: {list(range(variants))} }}", "stages:"]
    lines.append("  s0: { kind: table, params: { path: pool.jsonl, id: id } }")
    for i in range(1, deep + 1):
        params = 'params: { count: 5, seed: "${x}" }'
        lines.append(f"  s{i}: {{ kind: seed_subset, inputs: {{ pool: s{i - 1} }}, {params} }}")
    (folder / "p.yaml").write_text("\n".join(lines) + "\n")


def large_file(path, size):
    draw = random.Random(1)
    words = [f"word{draw.randrange(5000)}" for _ in range(100_000)]
    written = rows = 0
    with path.open("w") as file:
        while written < size:
            k = draw.randrange(99_000)
            row = {"id": f"row-{rows}", "instruction": " ".join(words[k : k + 12])}
            row |= {"output": " ".join(words[k + 12 : k + 60]), "score": draw.random(), "n": rows}
            written += file.write(json.dumps(row) + "\n")
            rows += 1
    return written


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipe", default=shutil.which("pipe"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1000)
    args = parser.parse_args()
    pipe = str(pathlib.Path(args.pipe).resolve())
    for variants, deep in ((100, 100), (1000, 10), (1000, 100)):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            chains(folder, variants, deep)
            cold = run(pipe, folder)
            again = [run(pipe, folder) for _ in range(args.runs)]
            times = ", ".join(f"{t:.2f}" for t in again)
            median = statistics.median(again)
            said = f"cold {cold:.1f} s, nothing to do median {median:.2f} s (of {times})"
            print(f"{variants * deep:7} nodes: {said}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        size = large_file(folder / "large.jsonl", args.megabytes * 1_000_000)
        stages = "stages:\n  large: { kind: table, params: { path: large.jsonl, id: id } }\n"
        (folder / "p.yaml").write_text(f"pipeline: p\n{stages}")
        seconds = run(pipe, folder)
        again = run(pipe, folder)
        rate = size / 1e6 / seconds
        print(f"{size / 1e6:.0f} MB of JSONL: {seconds:.2f} s ({rate:.0f} MB/s), unchanged {again:.3f} s")


if __name__ == "__main__":
    main()

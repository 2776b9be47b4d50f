"""Times 300 trivial chained stages (10 wide, 30 deep, each copying a line through `sh`) in pipe, DVC and Snakemake:
cold, and with nothing changed.

    cargo build --release
    pip install dvc snakemake          # DVC 3.67.1 and Snakemake 9.27.1 were used
    python tests/peers/chain.py --pipe target/release/pipe --runs 3

The commands differ in a comment: without it pipe, which goes by content, would run one of each chain's thirty equal
stages and reuse it 29 times. Every tool gets the same files, two jobs where it can, and a fresh folder for each cold
run. Nothing but the standard library is needed here.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

WIDE, DEEP = 10, 30


def pipe_yaml():
    lines = ["pipeline: chain", "stages:"]
    for w in range(WIDE):
        for d in range(DEEP):
            if d == 0:
                lines.append(f"  in_{w}: {{ kind: table, params: {{ path: in_{w}.jsonl }} }}")
            upstream = f"in_{w}" if d == 0 else f"s_{w}_{d - 1}"
            lines.append(
                f"  s_{w}_{d}: {{ kind: command, inputs: {{ line: {upstream} }}, params: {{ input_format: jsonl, "
                f"shell: 'cat \"$PIPE_INPUT_line\" > \"$PIPE_OUTPUT_out\" # {w} {d}', "
                "outputs: { out: { format: jsonl } } } }"
            )
    return "\n".join(lines) + "\n"


def dvc_yaml():
    stages = {}
    for w in range(WIDE):
        for d in range(DEEP):
            source = f"in_{w}.jsonl" if d == 0 else f"s_{w}_{d - 1}.jsonl"
            out = f"s_{w}_{d}.jsonl"
            stages[f"s_{w}_{d}"] = {"cmd": f"cat {source} > {out} # {w} {d}", "deps": [source], "outs": [out]}
    return json.dumps({"stages": stages}, indent=1)


def snakefile():
    last = [f"s_{w}_{DEEP - 1}.jsonl" for w in range(WIDE)]
    text = f"rule all:\n    input: {last!r}\n"
    for w in range(WIDE):
        for d in range(DEEP):
            source = f"in_{w}.jsonl" if d == 0 else f"s_{w}_{d - 1}.jsonl"
            text += f"rule s_{w}_{d}:\n    input: {source!r}\n    output: 's_{w}_{d}.jsonl'\n"
            text += f"    shell: 'cat {{input}} > {{output}} # {w} {d}'\n"
    return text


TOOLS = {
    "pipe": ("pipeline.yaml", pipe_yaml, lambda a: [a.pipe, "run", "pipeline.yaml", "--jobs", "2"]),
    "dvc": ("dvc.yaml", dvc_yaml, lambda a: [a.dvc, "repro", "-q"]),
    "snakemake": ("Snakefile", snakefile, lambda a: [a.snakemake, "-q", "all", "-c", "2"]),
}


def prepare(tool, folder, args):
    name, make, _ = TOOLS[tool]
    (folder / name).write_text(make())
    for w in range(WIDE):
        (folder / f"in_{w}.jsonl").write_text(json.dumps({"line": f"hello {w}"}) + "\n")
    if tool == "dvc":
        subprocess.run([args.dvc, "init", "-q", "--no-scm"], cwd=folder, check=True)


def timed(command, folder):
    start = time.perf_counter()
    env = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {done.stderr.decode()[-2000:]}")
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for tool in TOOLS:
        parser.add_argument(f"--{tool}", default=shutil.which(tool))
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    tools = [t for t in TOOLS if getattr(args, t)]
    for tool in tools:
        given = getattr(args, tool)
        setattr(args, tool, str(pathlib.Path(given).resolve()) if os.sep in given else given)
    times = {}
    for _ in range(args.runs):  # interleaved, so that a drift of the machine's speed meets all of them
        for tool in tools:
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                prepare(tool, folder, args)
                command = TOOLS[tool][2](args)
                times.setdefault((tool, "cold"), []).append(timed(command, folder))
                times.setdefault((tool, "unchanged"), []).append(timed(command, folder))
    for phase in ("cold", "unchanged"):
        ours = statistics.median(times["pipe", phase]) if "pipe" in tools else None
        for tool in tools:
            median = statistics.median(times[tool, phase])
            ratio = f"  {median / ours:6.1f}x pipe" if ours else ""
            each = ", ".join(f"{t:.3f}" for t in times[tool, phase])
            print(f"{phase:10} {tool:10} median {median:8.3f} s  (of {each}){ratio}")


if __name__ == "__main__":
    main()

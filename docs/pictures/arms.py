"""Draws the table of arms of `pipelines/data_size.yaml` with its plot, from what a run left.

    pipe run pipelines/data_size.yaml
    python3 docs/pictures/arms.py > docs/pictures/arms.svg

`--pipe PROGRAM` names another program than `pipe`, `--store DIR` another store. Python's standard library is enough.
"""

import argparse
import json
import subprocess
from html import escape

PIPELINE = "pipelines/data_size.yaml"
WIDTH, TOP, ROW = 760, 76, 34
# Where columns end, and where the plot lies.
ROWS, F1, MATCH, KEPT = 122, 212, 318, 446
LEFT, RIGHT = 476, 736

STYLE = """
    .paper { fill: #ffffff; stroke: #d1d9e0 }
    text { font: 13px ui-sans-serif, system-ui, sans-serif; font-variant-numeric: tabular-nums; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 }
    .quiet { fill: #59636e; font-size: 12px }
    .rule { stroke: #d1d9e0 }
    .f1 { fill: #0969da; stroke: #0969da }
    .match { fill: #bc4c00; stroke: #bc4c00 }
    text.f1, text.match { stroke: none; font-size: 12px }
    .interval { stroke-width: 2 }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; stroke: #3d444d }
      text { fill: #f0f6fc }
      .quiet { fill: #9198a1 }
      .rule { stroke: #3d444d }
      .f1 { fill: #58a6ff; stroke: #58a6ff }
      .match { fill: #f0883e; stroke: #f0883e }
    }
"""


def arms(pipe: list[str]) -> list[dict]:
    """The lines of the table at the end of a run, each with the intervals of its scores."""
    ran = subprocess.run([*pipe, "run", PIPELINE, "--format", "json"], check=True, stdout=subprocess.PIPE)
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    lines = next(event["arms"] for event in events if event["event"] == "arms")
    for line in lines:
        target = f"{line['stage']}.scores@{line['variants'][0]}"
        shown = subprocess.run([*pipe, "show", target, "--pipeline", "data_size", "--format", "json"],
                               check=True, stdout=subprocess.PIPE)
        line["shown"] = json.loads(shown.stdout)["head"][0]
        line["rows"] = line["factors"].get("n_synthetic", 0)
    return sorted(lines, key=lambda line: line["rows"])


def who(line: dict) -> str:
    return f"{line['rows']:,} synthetic rows" if line["rows"] else "The base model, no synthetic rows"


def x(score: float) -> float:
    return LEFT + score * (RIGHT - LEFT)


def text(at: float, y: float, words: str, kind: str = "", anchor: str = "end") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'  <text x="{at:g}" y="{y:g}" text-anchor="{anchor}"{kind}>{escape(words)}</text>'


def mark(line: dict, metric: str, kind: str, y: float) -> list[str]:
    score, low, high = (line["shown"][metric + end] for end in ("", "_low", "_high"))
    return [f'  <path d="M{x(low):.1f} {y:g}H{x(high):.1f}" class="{kind} interval"/>', dot(x(score), y, kind)]


def dot(at: float, y: float, kind: str) -> str:
    """Shapes differ, too, for those who do not see the colours."""
    if kind == "match":
        return f'  <path d="M{at:.1f} {y - 5:g}l5 5l-5 5l-5 -5z" class="{kind}"/>'
    return f'  <circle cx="{at:.1f}" cy="{y:g}" r="4" class="{kind}"/>'


def draw(lines: list[dict]) -> str:
    bottom = TOP + ROW * len(lines)
    height = bottom + 62
    name = "Does more synthetic data make a better specialist?"
    items = lines[0]["shown"]["n"]
    told = [f"{who(line)}: token F1 {line['shown']['token_f1']:.3f}, "
            f"exact match {line['shown']['exact_match']:.3f}" for line in lines]
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
           'aria-labelledby="title desc">',
           f'  <title id="title">{name}</title>',
           f'  <desc id="desc">{escape(". ".join(told))}. Both have 95 % intervals over {items} items.</desc>',
           f"  <style>{STYLE}  </style>",
           f'  <rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="paper"/>',
           text(24, 32, name, "title", "start")]
    out += [text(at, TOP - 12, words, kind) for at, words, kind in [
        (ROWS, "synthetic rows", "quiet"), (F1, "token F1", "f1"), (MATCH, "exact match", "match"),
        (KEPT, "kept of attempted", "quiet")]]
    out += [dot(F1 - 68, TOP - 16.5, "f1"), dot(MATCH - 88, TOP - 16.5, "match")]
    for tick in range(6):
        at = x(tick / 5)
        out.append(f'  <path d="M{at:g} {TOP - 4}V{bottom}" class="rule"/>')
        out.append(text(at, bottom + 18, f"{tick / 5:g}", "quiet", "middle"))
    for nth, line in enumerate(lines):
        y = TOP + ROW * nth + ROW / 2
        out.append(f'  <path d="M24 {TOP + ROW * nth:g}H{RIGHT}" class="rule"/>')
        out.append(text(ROWS, y + 5, f"{line['rows']:,}" if line["rows"] else "none (base)"))
        out.append(text(F1, y + 5, f"{line['shown']['token_f1']:.3f}"))
        out.append(text(MATCH, y + 5, f"{line['shown']['exact_match']:.3f}"))
        kept = line.get("yield")
        out.append(text(KEPT, y + 5, f"{kept['kept']:,} of {kept['attempted']:,}" if kept else "–", "quiet"))
        out += mark(line, "exact_match", "match", y) + mark(line, "token_f1", "f1", y)
    said = f"{items} questions of the exam, closed book; scores with their 95 % intervals; from"
    out.append(f'  <path d="M24 {bottom}H{RIGHT}" class="rule"/>')
    out.append(text(24, bottom + 44, f"{said} pipe run {PIPELINE}", "quiet", "start"))
    return "\n".join([*out, "</svg>"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipe", default="pipe", help="the program")
    parser.add_argument("--store", help="the store, if it is not the one of this folder")
    args = parser.parse_args()
    store = ["--store", args.store] if args.store else []
    print(draw(arms([args.pipe, *store])))


if __name__ == "__main__":
    main()

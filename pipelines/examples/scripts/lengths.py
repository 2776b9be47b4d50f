"""Counts the words of answers by topic: JSON lines in, JSON lines and a small report out."""

import argparse
import json
import pathlib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=pathlib.Path)
    parser.add_argument("rows", type=pathlib.Path)
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--min-words", type=int, default=0)
    args = parser.parse_args()

    lengths: dict[str, list[int]] = {}
    with args.seeds.open(encoding="utf-8") as seeds:
        for line in seeds:
            row = json.loads(line)
            words = len(row["output"].split())
            if words >= args.min_words:
                lengths.setdefault(row["topic"], []).append(words)

    with args.rows.open("w", encoding="utf-8") as rows:
        for topic in sorted(lengths):
            counts = lengths[topic]
            mean = sum(counts) / len(counts)
            print(json.dumps({"topic": topic, "answers": len(counts), "mean_words": mean}), file=rows)

    total = sum(len(counts) for counts in lengths.values())
    (args.report / "report.txt").write_text(f"{total} answers in {len(lengths)} topics\n", encoding="utf-8")
    print(f"counted {total} answers")


if __name__ == "__main__":
    main()

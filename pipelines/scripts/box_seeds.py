"""Seed instructions from BoX's BoX_instructions.json (Parmar et al. 2022): a row for every worked example.

    python box_seeds.py BoX_instructions.json > seeds.jsonl
    python box_seeds.py BoX_instructions.json --max-words 150 > seeds.jsonl    # for models with a short context

Needs nothing but the standard library.
"""
import argparse
import json

parser = argparse.ArgumentParser(
    description="Seed instructions from BoX's BoX_instructions.json, a JSON object a line."
)
parser.add_argument("file", help="BoX_instructions.json")
parser.add_argument(
    "--max-words", type=int, help="leave out rows with more words in instruction, input and output together"
)
args = parser.parse_args()

with open(args.file, encoding="utf-8") as file:
    tasks = json.load(file)
for task, description in tasks.items():
    definition = description.get("Definition:") or description.get("Definition")
    for i, example in enumerate(description["Examples"]):
        row = {"id": f"{task}-{i}", "task": task, "instruction": definition}
        row |= {"input": example["input"], "output": example["output"]}
        words = len(f"{row['instruction']} {row['input']} {row['output']}".split())
        if args.max_words is None or words <= args.max_words:
            print(json.dumps(row, ensure_ascii=False))

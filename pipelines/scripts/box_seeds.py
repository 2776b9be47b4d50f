"""Seed instructions from BoX's BoX_instructions.json (Parmar et al. 2022): a row for every worked example.

    python box_seeds.py BoX_instructions.json > seeds.jsonl

Needs nothing but the standard library.
"""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    tasks = json.load(file)
for task, description in tasks.items():
    definition = description.get("Definition:") or description.get("Definition")
    for i, example in enumerate(description["Examples"]):
        row = {"id": f"{task}-{i}", "task": task, "instruction": definition, "input": example["input"], "output": example["output"]}
        print(json.dumps(row, ensure_ascii=False))

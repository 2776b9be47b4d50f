"""Writes expected.json: what lm-evaluation-harness says of the built-in model on choices.jsonl and texts.jsonl.

Made with lm-evaluation-harness 0.4.13, torch 2.15.0 and transformers 5.24.0 (CPU, f32). Run from this directory:

    python make_likelihoods.py
"""

import json
import pathlib

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.api.task import ConfigurableTask

MODEL = str(pathlib.Path("../../../../../pipelines/models/nano").resolve())
QUESTIONS = [
    ("Is the tower older than the bridge?", ["yes", "no"], 0),
    ("Which metal is the bell made of?", ["copper", "tin and lead", "iron"], 2),
    ("Name the river that flows through the town.", ["the Aldin", "the river Corvex", "none of them", "Sandby"], 1),
    ("What does the guild trade in?  ", ["salt", "wool and amber", "fish, fresh or dried"], 1),
    ("Wie heißt die Stadt?", ["Köln", "Ägina über dem See", "東京"], 1),
    ("How many bells has the tower?", ["3", "12", "1,200"], 0),
    ("", ["The town lies by the sea.", "It is a town.", "xqzw kkj vvbn"], 1),
    ("List three facts about the harbour:\n-", ["It is deep.", "no", "It was built in the year of the flood."], 2),
]
TEXTS = [
    "The harbour of the town is deep, and ships from many lands come to it in summer.",
    "Short.",
    "  White space, at\tboth ends \n",
    "Über den Fluss führt eine Brücke; 東京 und Ελλάδα sind weit.",
    " ".join(f"The {i}th bell of the tower rings at {i % 24} o'clock and is heard in the fields." for i in range(90)),
]

lines = [
    {"id": f"q{i}", "instruction": question, "labels": choices, "output": choices[right], "right": right}
    for i, (question, choices, right) in enumerate(QUESTIONS)
]
pathlib.Path("choices.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
texts = [{"id": f"t{i}", "text": text} for i, text in enumerate(TEXTS)]
pathlib.Path("texts.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in texts))


def task(name, file, **config):
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(pathlib.Path(file).resolve())}}}
    return ConfigurableTask(config={"task": name, "test_split": "test", **data, **config})


metric = lambda name: {"metric": name, "aggregation": "mean", "higher_is_better": True}
choices = task(
    "choices",
    "choices.jsonl",
    output_type="multiple_choice",
    doc_to_text="{{instruction}}",
    doc_to_choice="{{labels}}",
    doc_to_target="{{right}}",
    metric_list=[metric(name) for name in ("acc", "acc_norm", "acc_bytes")],
)
rolling = task(
    "texts",
    "texts.jsonl",
    output_type="loglikelihood_rolling",
    doc_to_text="",
    doc_to_target="{{text}}",
    metric_list=[{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
)
model = HFLM(pretrained=MODEL, device="cpu", dtype="float32", batch_size=1)
found = simple_evaluate(model=model, tasks=[choices, rolling], log_samples=True, bootstrap_iters=0)
expected = {"results": {}, "choices": {}, "texts": {}, "pairs": []}
for name, row in found["results"].items():
    expected["results"][name] = {
        key.removesuffix(",none"): value
        for key, value in row.items()
        if key.endswith(",none") and isinstance(value, float) and "stderr" not in key
    }
for sample in found["samples"]["choices"]:
    answers = [[float(logprob), bool(greedy)] for (logprob, greedy), in sample["resps"]]
    scores = {name: float(sample[name]) for name in ("acc", "acc_norm", "acc_bytes")}
    expected["choices"][sample["doc"]["id"]] = {"answers": answers, **scores}
for sample in found["samples"]["texts"]:
    expected["texts"][sample["doc"]["id"]] = float(sample["resps"][0][0])

# Pairs as they come: with and without a space between, or none of either.
pairs = [("The town is", " old"), ("The town is ", "old"), ("The town is", "old"), ("", "The town"), ("a\n\n", "b")]
asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
for (context, continuation), (logprob, greedy) in zip(pairs, model.loglikelihood(asked), strict=True):
    expected["pairs"].append([context, continuation, float(logprob), bool(greedy)])
pathlib.Path("expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")

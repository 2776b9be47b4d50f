"""Has lm-evaluation-harness (0.4.13) score two exams for two models of no weights, and write its files beside this one.

    pip install lm-eval==0.4.13
    cd stages/tests/golden/lm_eval && HF_DATASETS_OFFLINE=1 python make_samples.py

The exams (data/) are our own. With a folder of `pipe export-samples` behind it, it reads that instead, by the harness's
own table and by `datasets`.
"""

import glob
import json
import os
import sys

import lm_eval
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_file_datetime, get_file_task_name, make_table


@register_model("parrot")
class Parrot(LM):
    """Repeats the last words of the question, and finds choices of four letters a word likely."""

    def __init__(self, words=1, **_):
        super().__init__()
        self.words = int(words)

    @classmethod
    def create_from_arg_obj(cls, arguments, additional_config=None):
        return cls(**arguments)

    def generate_until(self, requests, disable_tqdm=False):
        return [" ".join(r.args[0].rstrip(" ?").split()[-self.words :]) for r in requests]

    def loglikelihood(self, requests, disable_tqdm=False):
        return [(-float(abs(len(r.args[1]) - 4 * self.words)), False) for r in requests]

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        raise NotImplementedError


def write():
    tasks = TaskManager(include_path="tasks", include_defaults=False)
    for words in (1, 2):
        tracker = EvaluationTracker(output_path=".")
        arguments = {"words": words, "pretrained": f"parrot-{words}"}
        results = lm_eval.simple_evaluate(
            model="parrot",
            model_args=arguments,
            tasks=["capitals", "choices"],
            task_manager=tasks,
            evaluation_tracker=tracker,
            log_samples=True,
            bootstrap_iters=100,
        )
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        for task in results["configs"]:
            tracker.save_results_samples(task_name=task, samples=samples[task])
        print(make_table(results))


def read(folder):
    from datasets import load_dataset

    (results,) = glob.glob(os.path.join(folder, "results_*.json"))
    results = json.load(open(results))
    print(make_table(results))
    if "groups" in results:
        print(make_table(results, "groups"))
    for file in glob.glob(os.path.join(folder, "samples_*.jsonl")):
        rows = load_dataset("json", data_files=file, split="train")
        name = os.path.basename(file)
        task = get_file_task_name(name)
        assert get_file_datetime(name) and task in results["results"], name
        for metric in rows[0]["metrics"]:
            mean = sum(rows[metric]) / len(rows)
            assert abs(mean - results["results"][task][f"{metric},none"]) < 1e-9, (task, metric)
    print("samples and results agree")


if __name__ == "__main__":
    read(sys.argv[1]) if sys.argv[1:] else write()

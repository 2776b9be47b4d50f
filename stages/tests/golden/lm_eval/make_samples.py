"""Scores an exam of ours in two ways with lm-evaluation-harness, and has it write its files."""
import json, os, sys
from pathlib import Path
os.environ["HF_DATASETS_OFFLINE"]="1"
import lm_eval
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
here = Path(__file__).parent

@register_model("parrot")
class Parrot(LM):
    """Repeats a part of the question: an answer without a model."""
    def __init__(self, words=1, **_):
        super().__init__(); self.words=int(words)
    @classmethod
    def create_from_arg_string(cls, s, additional_config=None):
        return cls(**dict(p.split("=") for p in s.split(",") if p))
    @classmethod
    def create_from_arg_obj(cls, d, additional_config=None): return cls(**d)
    def generate_until(self, requests, disable_tqdm=False):
        return [" ".join(r.args[0].rstrip(" ?").split()[-self.words:]) for r in requests]
    def loglikelihood(self, requests, disable_tqdm=False):
        return [(-abs(len(r.args[1]) - 4*self.words)*1.0, False) for r in requests]
    def loglikelihood_rolling(self, requests, disable_tqdm=False): raise NotImplementedError

if __name__=="__main__":
    out=Path(sys.argv[1])
    tm=TaskManager(include_path=str(here/"tasks"), include_defaults=False)
    for words in (1,2):
        tracker=EvaluationTracker(output_path=str(out))
        res=lm_eval.simple_evaluate(model="parrot", model_args={"words":words,"pretrained":f"parrot-{words}"}, tasks=["capitals","choices"], task_manager=tm, evaluation_tracker=tracker, log_samples=True, bootstrap_iters=100)
        samples=res.pop("samples")
        tracker.save_results_aggregated(results=res, samples=samples)
        for task in res["configs"]: tracker.save_results_samples(task_name=task, samples=samples[task])
        print(lm_eval.utils.make_table(res))

"""Writes rankings.json: what trec_eval (by pytrec_eval) and ranx say of random rankings.

Made with pytrec_eval-terrier 0.5.11 and ranx 0.3.21. Run from this directory:

    python make_rankings.py

Many scores are equal, for trec_eval has an order of its own for these; ranx is asked about rankings without equal
scores.
"""

import json
import random

import pytrec_eval
from ranx import Qrels, Run, evaluate

draw = random.Random(5)
CUTS = [1, 5, 10]
TREC = {
    "ndcg": "ndcg",
    "map": "map",
    "mrr": "recip_rank",
    "recall": "set_recall",
    "precision": "set_P",
    **{f"ndcg@{k}": f"ndcg_cut_{k}" for k in CUTS},
    **{f"map@{k}": f"map_cut_{k}" for k in CUTS},
    **{f"recall@{k}": f"recall_{k}" for k in CUTS},
    **{f"precision@{k}": f"P_{k}" for k in CUTS},
    **{f"success@{k}": f"success_{k}" for k in CUTS},
}
RANX = [f"{name}@{k}" for k in CUTS for name in ("ndcg", "map", "mrr", "recall", "precision", "hit_rate")]

documents = [f"d{i}" for i in range(1, 31)]
qrels, run = {}, {}
for i in range(24):
    judged = draw.sample(documents, draw.randint(1, 14))
    qrels[f"q{i}"] = {d: draw.choice([-1, 0, 0, 1, 1, 2, 3]) for d in judged}
    found = draw.sample(documents, draw.randint(1, 20))
    # The last half has equal scores.
    scores = draw.sample(range(1000), len(found)) if i < 12 else [draw.randrange(4) for _ in found]
    run[f"q{i}"] = {d: s / 7 for d, s in zip(found, scores)}

measures = {"ndcg", "map", "recip_rank", "set_recall", "set_P"} | {
    f"{name}.{','.join(map(str, CUTS))}" for name in ("ndcg_cut", "map_cut", "recall", "P", "success")
}
found = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
plain = [query for query in run if int(query[1:]) < 12 and any(r > 0 for r in qrels[query].values())]
# ranx counts a negative relevance; trec_eval does not.
for_ranx = {query: {d: max(r, 0) for d, r in qrels[query].items()} for query in plain}
also = evaluate(
    Qrels(for_ranx), Run({query: run[query] for query in plain}), RANX, return_mean=False, make_comparable=True
)
order = sorted(plain)
rows = []
for query in run:
    rows.append(
        {
            "query": query,
            "ranking": list(run[query].items()),
            "judgements": qrels[query],
            "trec_eval": {ours: found[query][theirs] for ours, theirs in TREC.items()},
            "ranx": {name.replace("hit_rate", "success"): float(also[name][order.index(query)]) for name in RANX}
            if query in plain
            else {},
        }
    )
with open("rankings.json", "w") as file:
    json.dump(rows, file, indent=1)
    file.write("\n")

"""Writes scores.csv and compare.json: what pandas, SciPy and statsmodels say of one study.

    python3 -m venv V && V/bin/pip install pandas scipy statsmodels && V/bin/python make_compare.py

Three arms (n = 1, 2, 4), five draws, 40 items of two tasks, a score between 0 and 1 and one that is 0 or 1. Some scores
are missing. Everything is drawn from a seeded generator, and stands in the file.
"""

import json
import pathlib

import numpy as np
import pandas as pd
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

HERE = pathlib.Path(__file__).parent
MARGIN, ALPHA, FLIPS = 0.06, 0.05, 200_000
rng = np.random.default_rng(20261127)


def recorded():
    rows, effect = [], {1: 0.0, 2: 0.05, 4: 0.11}
    ease = rng.normal(0.5, 0.2, 40)
    for draw in "abcde":
        of_draw = rng.normal(0, 0.03)
        for n in (1, 2, 4):
            of_arm = effect[n] + of_draw + rng.normal(0, 0.015)
            for item in range(40):
                f1 = float(np.clip(ease[item] + of_arm + rng.normal(0, 0.1), 0, 1).round(3))
                right = int(ease[item] + of_arm + rng.normal(0, 0.2) > 0.55)
                missing = (n, draw, item) in {(1, "a", 3), (2, "b", 7), (4, "b", 7), (4, "e", 39)}
                row = (n, draw, f"i{item}", f"t{item % 2}", None if missing else f1, None if missing else right)
                rows.append(row)
    return pd.DataFrame(rows, columns=["n", "draw", "id", "task", "f1", "right"]).convert_dtypes()


def flips_p(differences):
    differences = np.array(differences, float)
    signs = rng.choice([-1.0, 1.0], (FLIPS, len(differences)))
    as_far = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9
    return (as_far.sum() + 1) / (FLIPS + 1)


def holm(of):
    return dict(zip(of, multipletests(list(of.values()), ALPHA, "holm")[1].tolist()))


def study(table):
    found = {"draws": [], "items": [], "trends": []}
    for metric in ("f1", "right"):
        wide = table.pivot(index=["draw", "task", "id"], columns="n", values=metric).astype(float)
        for tasks in (["all"], ["t0", "t1"]):
            p, same, rows = {}, {}, {}
            for task in tasks:
                part = wide if task == "all" else wide.xs(task, level="task", drop_level=False)
                for n in (2, 4):
                    pairs = part[[1, n]].dropna()
                    by_draw = pairs.groupby("draw").mean()
                    difference = by_draw[n] - by_draw[1]
                    test = stats.ttest_1samp(difference, 0.0)
                    low, high = test.confidence_interval(1 - ALPHA)
                    above = stats.ttest_1samp(difference, -MARGIN, alternative="greater").pvalue
                    below = stats.ttest_1samp(difference, MARGIN, alternative="less").pvalue
                    p[task, n], same[task, n] = float(test.pvalue), float(max(above, below))
                    rows[task, n] = {
                        "metric": metric, "task": task, "arm": f"n={n}", "difference": float(difference.mean()),
                        "baseline_mean": float(by_draw[1].mean()), "mean": float(by_draw[n].mean()),
                        "low": float(low), "high": float(high), "df": float(test.df), "p": float(test.pvalue),
                    }
            corrected, corrected_same = holm(p), holm(same)
            for key, row in rows.items():
                found["draws"].append({**row, "p_holm": corrected[key], "p_same": corrected_same[key]})
        for draw in "abcde":
            p, rows = {}, {}
            for n in (2, 4):
                pairs = wide.xs(draw, level="draw")[[1, n]].dropna()
                difference = pairs[n] - pairs[1]
                improved, regressed = int((difference > 0).sum()), int((difference < 0).sum())
                if metric == "right":
                    p[n] = float(mcnemar([[0, improved], [regressed, 0]], exact=True).pvalue)
                else:
                    p[n] = float(flips_p(difference))
                order = difference[difference != 0].abs().sort_values(ascending=False, kind="stable")
                rows[n] = {
                    "metric": metric, "arm": f"n={n}", "draw": f"draw={draw}", "items": len(pairs), "p": p[n],
                    "difference": float(difference.mean()), "improved": improved, "regressed": regressed,
                    "standard_error": float(difference.std(ddof=1) / np.sqrt(len(pairs))),
                    "largest": order.index[0][1] if metric == "f1" else None,
                }
            corrected = holm(p)
            found["items"] += [{**row, "p_holm": corrected[n]} for n, row in rows.items()]
        whole = wide.dropna().groupby("draw").mean()
        slopes = [stats.linregress([0, 1, 2], row).slope for row in whole.to_numpy()]
        test = stats.ttest_1samp(slopes, 0.0)
        found["trends"].append({"metric": metric, "slope": float(np.mean(slopes)), "p": float(test.pvalue)})
    return found


table = recorded()
table.to_csv(HERE / "scores.csv", index=False)
versions = {"pandas": pd.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__}
(HERE / "compare.json").write_text(json.dumps({"versions": versions, **study(table)}, indent=1) + "\n")

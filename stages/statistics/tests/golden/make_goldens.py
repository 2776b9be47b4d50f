"""Writes goldens.json: what SciPy, statsmodels and mpmath say of the same numbers.

    python3 -m venv V && V/bin/pip install scipy statsmodels mpmath && V/bin/python make_goldens.py

Samples come from a seeded generator, rounded to four digits, and stand in the file beside what was found.
"""

import json
import pathlib

import mpmath
import numpy as np
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired

rng = np.random.default_rng(20261127)
mpmath.mp.dps = 60


def rounded(values):
    return [round(float(v), 4) for v in values]


def exact_t_upper(t, df):
    t, df = mpmath.mpf(t), mpmath.mpf(df)
    return float(mpmath.betainc(df / 2, mpmath.mpf(1) / 2, 0, df / (df + t * t), regularized=True) / 2)


def exact_binomial(k, n):
    return float(sum(mpmath.binomial(n, i) for i in range(k + 1)) / mpmath.mpf(2) ** n)


def tails():
    normal = [
        [x, float(mpmath.erfc(mpmath.mpf(x) / mpmath.sqrt(2)) / 2)] for x in (1e-8, 0.1, 0.7, 1.96, 2, 3, 6, 12, 37)
    ]
    t = [
        [t, df, exact_t_upper(t, df)]
        for df in (0.4, 1, 1.5, 2, 3.7, 9, 30.25, 659, 1e4, 1e6)
        for t in (1e-6, 0.05, 1, 2.5, 8, 40, 1e3)
    ]
    t = [case for case in t if case[2] > 1e-290]
    coins = [
        [k, n, exact_binomial(k, n)] for k, n in ((0, 1), (2, 9), (10, 40), (300, 700), (4900, 10_000), (20, 3000))
    ]
    return dict(normal=normal, t=t, fair_binomial=coins)


def quantiles():
    p = (0.4, 0.1, 0.025, 1e-3, 1e-8, 1e-40)
    return dict(
        normal=[[q, float(stats.norm.isf(q))] for q in p],
        t=[[q, df, float(stats.t.isf(q, df))] for df in (1, 1.5, 2, 3.7, 9, 30.25, 659, 1e6) for q in p],
    )


def noncentral():
    def outside(t, df, delta):
        # Not by nct.cdf alone: its lower tail loses digits.
        return float(stats.ncf.sf(t * t, 1, df, delta * delta))

    return [[t, df, d, outside(t, df, d)] for df in (1, 2, 4, 9, 30, 659) for t in (1, 2.5, 6) for d in (0.3, 2, 5, 12)]


def paired():
    cases = []
    for n, effect, spread in ((2, 0.02, 0.02), (3, 0.026, 0.019), (5, 0.0, 0.03), (10, 0.05, 0.01), (40, -0.01, 0.05)):
        baseline = rounded(rng.normal(0.6, 0.05, n))
        arm = rounded(np.array(baseline) + rng.normal(effect, spread, n))
        test = stats.ttest_rel(arm, baseline)
        interval = test.confidence_interval(0.95)
        margins = [[m, float(ttost_paired(np.array(arm), np.array(baseline), -m, m)[0])] for m in (0.005, 0.03, 0.1)]
        cases.append(
            dict(arm=arm, baseline=baseline, t=test.statistic, df=int(test.df), p=test.pvalue, low=interval.low,
                 high=interval.high, equivalence=margins)
        )
    return cases


def welch():
    cases = []
    for a, b in ((2, 3), (4, 4), (3, 9)):
        arm, baseline = rounded(rng.normal(0.65, 0.05, a)), rounded(rng.normal(0.6, 0.02, b))
        test = stats.ttest_ind(arm, baseline, equal_var=False)
        interval = test.confidence_interval(0.95)
        cases.append(dict(arm=arm, baseline=baseline, t=test.statistic, df=test.df, p=test.pvalue, low=interval.low,
                          high=interval.high))
    return cases


def holm():
    families = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.02, 0.02, 0.9, 0.02], rounded(rng.uniform(0, 0.2, 12))]
    return [[family, list(map(float, multipletests(family, method="holm")[1]))] for family in families]


def changes():
    """Improved, regressed, McNemar's exact p, mid-p (Fagerland et al. 2013)."""
    cases = []
    for improved, regressed in ((1, 0), (6, 1), (10, 10), (59, 16), (220, 181), (3, 40)):
        exact = mcnemar([[0, improved], [regressed, 0]], exact=True).pvalue
        n, k = improved + regressed, min(improved, regressed)
        seen = stats.binom.pmf(k, n, 0.5)
        mid = 1 - seen / 2 if improved == regressed else 2 * stats.binom.cdf(k, n, 0.5) - seen
        cases.append([improved, regressed, float(exact), float(mid)])
    return cases


def bootstrap():
    """Intervals of 200,000 resamples, p of all sign flips or of 200,000, and the share of means beyond a margin."""
    samples = dict(
        normal=rng.normal(0.02, 0.35, 120),
        skewed=rng.exponential(0.1, 40) - 0.06,
        coarse=rng.choice([-1, 0, 0, 0, 0, 1, 1], 90),
        few=rng.normal(0.1, 0.2, 9),
    )
    cases = []
    for name, sample in samples.items():
        sample = rounded(sample)
        how = dict(n_resamples=200_000, vectorized=True, batch=2000, rng=np.random.default_rng(1))
        ends = {}
        for method in ("percentile", "BCa"):
            found = stats.bootstrap((sample,), np.mean, confidence_level=0.95, method=method, **how)
            ends[method] = [found.confidence_interval.low, found.confidence_interval.high]
        means = found.bootstrap_distribution
        margin = 0.06
        flips = stats.permutation_test((sample,), np.sum, permutation_type="samples", vectorized=True, batch=2000,
                                       n_resamples=200_000, rng=np.random.default_rng(2))
        cases.append(dict(name=name, sample=sample, percentile=ends["percentile"], bca=ends["BCa"],
                          standard_error=float(stats.sem(sample)), p=float(flips.pvalue), margin=margin,
                          equivalence=float(max(np.mean(means <= -margin), np.mean(means >= margin)))))
    return cases


def power():
    solver = TTestPower()

    def power_of(d, n):
        found = float(solver.power(d, n, 0.05))
        # SciPy's non-central t, which statsmodels asks, has no number for large effects; its non-central F has.
        return found if np.isfinite(found) else float(stats.ncf.sf(stats.t.isf(0.025, n - 1) ** 2, 1, n - 1, n * d * d))

    of = [[n, d, power_of(d, n)] for n in (2, 3, 5, 10, 40, 660) for d in (0.1, 0.5, 1.37, 3)]
    effects = []
    for n in (2, 3, 5, 8, 10, 30, 660):
        effects.append([n, float(solver.solve_power(None, n, 0.05, 0.8)) * n**0.5])
    needed = []
    for d in (0.06, 0.2, 0.5, 0.8, 1.0, 1.37, 2.0, 4.0, 9.0, 30.0):
        n = 2
        while power_of(d, n) < 0.8:
            n += 1
        needed.append([d, n])
    return dict(of=of, effects=effects, needed=needed)


def trends():
    cases = []
    factors = (([1000, 5000, 10_000, 20_000], "doubling"), ([0, 1, 2, 4], "unit"), ([0.5, 2, 16], "doubling"))
    for levels, scale in factors:
        x = np.log2(levels) if scale == "doubling" else np.array(levels, dtype=float)
        draws = [rounded(0.5 + 0.02 * x + rng.normal(0, 0.02, len(x))) for _ in range(5)]
        slopes = [float(stats.linregress(x, draw).slope) for draw in draws]
        test = stats.ttest_1samp(slopes, 0)
        cases.append(dict(levels=levels, scale=scale, draws=draws, slopes=slopes, t=test.statistic, p=test.pvalue))
    return cases


goldens = dict(
    versions=dict(scipy=scipy.__version__, statsmodels=statsmodels.__version__, mpmath=mpmath.__version__,
                  numpy=np.__version__),
    tails=tails(), quantiles=quantiles(), noncentral=noncentral(), paired=paired(), welch=welch(), holm=holm(),
    mcnemar=changes(), bootstrap=bootstrap(), power=power(), trends=trends(),
)
text = json.dumps(goldens, allow_nan=False, separators=(", ", ": "))
for key in list(goldens)[1:]:
    text = text.replace(f', "{key}":', f',\n"{key}":', 1)
pathlib.Path(__file__).with_name("goldens.json").write_text(text + "\n")

"""Writes references.json: what other programs say of sets, numbers, labels and regular expressions.

Made with scikit-learn 1.9.1, Babel 2.19.0 and lm-evaluation-harness 0.4.13. Run from this directory:

    python make_references.py
"""

import json
import random

from babel.numbers import format_decimal, parse_decimal
from lm_eval.filters.extraction import RegexFilter
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

draw = random.Random(17)


def sets():
    """Lists as people write them, and the scores of the sets that they are."""
    words = ["heparin", "warfarin", "beta blocker", "aspirin", "statin", "ACE inhibitor", "zinc", "iron"]

    def written(members):
        form = draw.randrange(4)
        if form == 0:
            return ", ".join(members)
        if form == 1:
            return "\n".join(f"- {m}" for m in members)
        if form == 2:
            return "; ".join(members) + "."
        return ", ".join(members[:-1]) + (", and " if len(members) > 2 else " and ") * (len(members) > 1) + members[-1]

    rows = []
    for _ in range(60):
        prediction = draw.sample(words, draw.randint(1, 6))
        reference = draw.sample(words, draw.randint(1, 6))
        binary = MultiLabelBinarizer(classes=words)
        matrix = binary.fit_transform([reference, prediction])
        scores = precision_recall_fscore_support(matrix[:1], matrix[1:], average="samples", zero_division=0)
        rows.append(
            {
                "prediction": written(prediction),
                "reference": written(reference),
                "precision": float(scores[0]),
                "recall": float(scores[1]),
                "f1": float(scores[2]),
            }
        )
    return rows


def numbers():
    """Numbers as Babel writes English ones, with their values."""
    rows = []
    for _ in range(60):
        value = round(draw.choice([1, -1]) * 10 ** draw.uniform(-3, 9), draw.choice([0, 1, 2, 4]))
        text = format_decimal(value, locale="en")
        rows.append({"text": text, "value": float(parse_decimal(text, locale="en", strict=True))})
    return rows


def extractions():
    """What the harness's filter takes: the first and the last match."""
    texts = [
        "He has 3 + 4 = 7 apples. #### 7",
        "#### 1,200\nNo: #### -12.5",
        "The answer is (B). The answer is (C).",
        "The answer is B",
        "nothing",
        "",
        " a=1; b=22 ",
    ]
    patterns = [
        r"#### (\-?[0-9\.\,]+)",
        r"(-?[$0-9.,]{2,})|(-?[0-9]+)",
        r"answer is \(?([A-D])\)?",
        r"[a-z]=\d+",
        r"(?i)ANSWER is (\(.\))?",
    ]
    rows = []
    for pattern in patterns:
        for text in texts:
            first, last = (
                RegexFilter(regex_pattern=pattern, group_select=i, fallback="[invalid]").apply([[text]], [{}])
                for i in (0, -1)
            )
            rows.append({"regex": pattern, "text": text, "first": list(first)[0][0], "last": list(last)[0][0]})
    return rows


def labels():
    """Right and given labels; null is an answer that names none."""
    tables = []
    for size in (3, 5):
        names = ["yes", "no", "maybe", "A", "B"][:size]
        right = [draw.choice(names) for _ in range(80)]
        given = [r if draw.random() < 0.6 else draw.choice([*names, None]) for r in right]
        known = sorted({*right, *(g for g in given if g)})
        told = [g or "(none)" for g in given]
        score = lambda **kw: [
            [float(v) for v in part] if hasattr(part, "__len__") else (None if part is None else float(part))
            for part in precision_recall_fscore_support(right, told, labels=known, zero_division=0, **kw)
        ]
        tables.append(
            {
                "right": right,
                "given": given,
                "labels": known,
                "matrix": confusion_matrix(right, told, labels=[*known, "(none)"]).tolist(),
                "each": score(average=None),
                "micro": score(average="micro")[:3],
                "macro": score(average="macro")[:3],
                "weighted": score(average="weighted")[:3],
            }
        )
    return tables


with open("references.json", "w") as file:
    found = {"sets": sets(), "numbers": numbers(), "extractions": extractions(), "labels": labels()}
    json.dump(found, file, indent=1, ensure_ascii=False)
    file.write("\n")

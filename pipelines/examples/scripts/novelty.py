"""How much of an answer does not stand in its question: the share of its words, from 0 to 1."""

import json
import sys

for line in sys.stdin:
    row = json.loads(line)
    question = set(row["instruction"].lower().split())
    answer = row["output"].lower().split()
    print(json.dumps({"novelty": sum(word not in question for word in answer) / len(answer)}))

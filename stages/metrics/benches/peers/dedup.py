"""The work of benches/dedup.rs on its first N questions, pair by pair with Google's rouge_score.

    python benches/peers/dedup.py [N]      # 1000 when left out

Needs rouge_score 0.1.2. The time grows with the square of N.
"""
import sys
import time

from rouge_score import rouge_scorer


def questions(n):
    state = 7

    def below(limit):
        nonlocal state
        state = (state * 6364136223846793005 + 1) % 2**64
        return (state >> 33) % limit

    for _ in range(n):
        words = 5 + below(16)
        yield " ".join(f"w{below(40) * below(900)}" for _ in range(words))


scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
kept = []
pairs = 0
n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
texts = list(questions(n))
start = time.perf_counter()
for text in texts:
    pairs += len(kept)
    if all(scorer.score(other, text)["rougeL"].fmeasure <= 0.7 for other in kept):
        kept.append(text)
seconds = time.perf_counter() - start
print(f"{n} questions, {len(kept)} kept, {pairs} pairs, {seconds:.1f} s, {seconds / pairs * 1e6:.1f} us per pair")

"""BM25 by bm25s over the documents that `million make` wrote: python bm25.py FILE QUERIES [numpy|numba]

Measured with bm25s 0.3.16, numba 0.68.1, PyStemmer 3.0; k1 = 0.9, b = 0.4, Lucene's form, English stop words,
Porter's stemmer.
"""

import resource
import sys
import time

import bm25s
import Stemmer


def report(what, begin):
    use = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{what}: {time.perf_counter() - begin:.2f} s, CPU so far {use.ru_utime + use.ru_stime:.2f} s, "
          f"peak so far {use.ru_maxrss} kB", flush=True)


def main():
    file, queries, backend = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "numpy"
    stemmer = Stemmer.Stemmer("porter")
    begin = time.perf_counter()
    texts = open(file, encoding="utf-8").read().splitlines()
    tokens = bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)
    index = bm25s.BM25(method="lucene", k1=0.9, b=0.4, backend=backend)
    index.index(tokens, show_progress=False)
    report(f"built over {len(texts)} documents ({backend})", begin)
    queries = open(queries, encoding="utf-8").read().splitlines()
    for _ in range(2):
        begin = time.perf_counter()
        asked = bm25s.tokenize(queries, stopwords="en", stemmer=stemmer, show_progress=False)
        threads = {} if backend == "numba" else {"n_threads": 2}
        index.retrieve(asked, k=10, show_progress=False, **threads)
        report(f"{len(queries)} queries", begin)


main()

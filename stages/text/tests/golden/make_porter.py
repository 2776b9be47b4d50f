"""Makes porter.tsv: word, NLTK stem, Martin stem. Needs nltk (3.10.4 was used) and a word list of your own on stdin."""
import sys
from nltk.stem.porter import PorterStemmer as P

nltk, martin = P(P.NLTK_EXTENSIONS), P(P.MARTIN_EXTENSIONS)
for word in sorted(set(sys.stdin.read().split())):
    print(word, nltk.stem(word), martin.stem(word), sep="\t")

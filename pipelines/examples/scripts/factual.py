"""Keeps rows whose answer is a fact to be looked up: not yes, no or empty."""

import json
import sys

for line in sys.stdin:
    answer = json.loads(line)["output"].strip(" .").lower()
    print("null" if answer in ("", "yes", "no") else "{}")

#!/usr/bin/env bash
# Installs the program as Python's users do, into a virtual environment of its own, and runs it from there. Takes a
# release build; CARGO_TARGET_DIR may name a folder that has most of it.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/env"
"$place/env/bin/pip" install --quiet --disable-pip-version-check .
pipe=$place/env/bin/pipe
"$pipe" --version
mkdir "$place/project"
cd "$place/project"
"$pipe" init
"$pipe" plan starter.yaml
"$pipe" run starter.yaml
"$pipe" run starter.yaml
# Nothing is left to do, and the result can be read.
"$pipe" plan starter.yaml --format json | python3 -c '
import json, sys
actions = {node["action"] for node in json.load(sys.stdin)["nodes"]}
assert actions == {"hit"}, actions'
"$pipe" show summary --format json | python3 -c 'import json, sys; assert json.load(sys.stdin)["output"]["rows"] == 5'
"$place/env/bin/pip" uninstall --quiet --yes pipe-ablation
test ! -e "$pipe"
echo "pip install: all is well"

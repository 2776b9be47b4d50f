#!/bin/sh
# Made the store beside it, with the binary of version 0.1.0 as its argument: what later versions have to read.
#   tests/cli/stores/0.1.0/make.sh path/to/pipe
set -eu
pipe=$(realpath "$1")
cd "$(dirname "$0")"
here=$(pwd)
# Results name the place where they were made.
made=/tmp/pipe-0.1.0
rm -rf "$made" store
mkdir "$made"
cp -r p.yaml data ../../../../pipelines/models "$made"
cd "$made"
"$pipe" --store store run p.yaml -j 1
cp -r store "$here"
cd "$here"
rm -rf "$made" store/v1/tmp store/v1/births store/v1/lock store/v1/refs/.lock
find store -type d -empty -delete

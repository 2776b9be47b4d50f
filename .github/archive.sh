#!/usr/bin/env bash
# archive.sh BINARY NAME: makes dist/NAME.tar.gz of the program, its man pages, completions, licences and README, and
# its SHA-256 beside it.
set -euo pipefail
binary=$(realpath "$1")
name=$2
cd "$(dirname "$0")/.."
folder=dist/$name
rm -rf "$folder"
mkdir -p "$folder/completions"
cp "$binary" README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$folder/"
"$binary" docs --man "$folder/man/man1"
for shell in bash zsh fish elvish powershell; do
    "$binary" completions "$shell" >"$folder/completions/pipe.$shell"
done
tar -C dist -czf "dist/$name.tar.gz" "$name"
rm -rf "$folder"
if command -v sha256sum >/dev/null; then sha=(sha256sum); else sha=(shasum -a 256); fi
(cd dist && "${sha[@]}" "$name.tar.gz" >"$name.tar.gz.sha256")

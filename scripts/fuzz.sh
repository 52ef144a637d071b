#!/usr/bin/env bash
# Runs each fuzz test of the module for the time given. Go fuzzes one test of one package at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-20s}
grep -rlE --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
  package=$(dirname "$file")
  grep -oE '^func Fuzz[A-Za-z0-9_]*' "$file" | awk '{print $2}' | while read -r name; do
    echo "== $package $name"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "$duration" "$package" </dev/null
  done
done

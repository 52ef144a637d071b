#!/usr/bin/env bash
# Prints docs/configuration.md, from the binary given.
set -euo pipefail
cat <<'HEAD'
# Configuration

Every key with its default and its meaning. How the file, variables and flags go together is in [operations.md](operations.md).
This page is generated from the program: `make docs`.

HEAD
"$1" config --reference

#!/usr/bin/env bash
# Runs the tests that need real services, on services that it installs, starts
# and ends by itself, and those of the SDKs (scripts/sdk.sh). At the end stands
# which case of sdk/conformance each SDK has passed. MILLSTREAM_TEST_KILLS sets
# how often the process is killed in the end-to-end tests (8 here, four times that
# for ingest alone; 4 in make test), MILLSTREAM_TEST_OUTAGE how long Kafka is
# away (60s here; 5s in make test).
# TestChainModel of the batcher runs as many seeds as MILLSTREAM_TEST_SEEDS says
# (make test: 12 with the race detector and 100 without; 10000 take a core an hour).
set -euo pipefail
cd "$(dirname "$0")/.."

export MILLSTREAM_TEST_KILLS=${MILLSTREAM_TEST_KILLS:-8}
export MILLSTREAM_TEST_OUTAGE=${MILLSTREAM_TEST_OUTAGE:-60s}
exec scripts/services.sh bash -euo pipefail -c '
  scripts/sdk.sh test
  MILLSTREAM_TEST_CONFORMANCE=$(mktemp)
  export MILLSTREAM_TEST_CONFORMANCE
  go test -count=1 -tags integration -parallel 4 -timeout 20m "$@" ./internal/e2e ./internal/metric/... ./cdc ./rollup ./internal/local/redshift
  go test -count=1 -tags integration -timeout 10m -run RealServices "$@" ./batcher
  # Alone: its cases watch the clock.
  go test -count=1 -tags integration -timeout 20m "$@" ./sdk/conformance || { cat "$MILLSTREAM_TEST_CONFORMANCE"; exit 1; }
  cat "$MILLSTREAM_TEST_CONFORMANCE"
  rm "$MILLSTREAM_TEST_CONFORMANCE"
' integration "$@"

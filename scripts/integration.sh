#!/usr/bin/env bash
# Runs the tests that need real services, on services that it installs, starts
# and ends by itself. MILLSTREAM_TEST_KILLS sets how often the process is
# killed in the end-to-end tests (25 here, twice that for ingest alone; 4 in make test), MILLSTREAM_TEST_OUTAGE how long
# Kafka is away (60s here; 5s in make test).
set -euo pipefail
cd "$(dirname "$0")/.."

export MILLSTREAM_TEST_KILLS=${MILLSTREAM_TEST_KILLS:-25}
export MILLSTREAM_TEST_OUTAGE=${MILLSTREAM_TEST_OUTAGE:-60s}
exec scripts/services.sh go test -count=1 -tags integration -timeout 20m "$@" \
  ./internal/e2e ./internal/metric/... ./cdc ./rollup ./internal/local/redshift

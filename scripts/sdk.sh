#!/usr/bin/env bash
# Builds and tests Millstream's own SDKs (sdk/). What it needs is pinned by lock files and kept, by their hash, in
# sdk/js/node_modules and .services.
#
#   scripts/sdk.sh build   each package; copies the browsers' script to ingest/web, where ingest embeds it
#   scripts/sdk.sh test    each of them as it is published; services.sh has found Chromium before
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
home=${MILLSTREAM_SERVICES:-$root/.services}
js=$root/sdk/js
run=$(mktemp -d "${TMPDIR:-/tmp}/millstream-sdk.XXXXXX")
trap 'rm -rf "$run"' EXIT

say() { printf 'sdk: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# quietly NAME COMMAND… shows what a command has said only if it fails.
quietly() {
  local name=$1 begin=$SECONDS
  shift
  "$@" >"$run/log" 2>&1 || { cat "$run/log" >&2; die "$name: failed"; }
  say "$name: ok after $((SECONDS - begin)) s"
}

install_js() {
  cmp -s "$js/package-lock.json" "$js/node_modules/.installed" && return
  quietly "npm ci" npm --prefix "$js" ci --no-audit --no-fund
  cp "$js/package-lock.json" "$js/node_modules/.installed"
}

install_python() {
  venv=$home/python-$(sha256sum "$root/scripts/sdks/python-dev.txt" | cut -c1-12)
  [ -f "$venv/.installed" ] && return
  rm -rf "$venv"
  quietly "python -m venv" python3 -m venv "$venv"
  quietly "pip install" "$venv/bin/pip" install --quiet --require-hashes -r "$root/scripts/sdks/python-dev.txt"
  touch "$venv/.installed"
}

build_js() {
  install_js
  quietly "npm run build" npm --prefix "$js" run build
  npm --prefix "$js" run --silent size >"$run/size" || { cat "$run/size" >&2; die "a bundle is larger than promised"; }
}

# The wheel is made of what git knows, and leaves nothing beside the sources.
build_python() {
  install_python
  rm -rf "$root/sdk/python/dist" "$run/python"
  mkdir -p "$run/python"
  (cd "$root/sdk/python" && git ls-files --cached --others --exclude-standard -z | xargs -0 tar -cf - | tar -xf - -C "$run/python")
  quietly "python -m build" "$venv/bin/python" -m build --no-isolation --outdir "$root/sdk/python/dist" "$run/python"
}

# sources is the hash of all that the browsers' script is made of; internal/sdk_test.go computes the same.
sources() {
  (cd "$js" && find package.json package-lock.json tsconfig.json scripts/build.mjs scripts/options.mjs src -path src/node -prune -o -type f -print \
    | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d ' ' -f 1)
}

# describe says what a copy of the script is, so that a stale one is found without Node.
describe() {
  echo "sources $(sources)"
  echo "analytics.min.js $(sha256sum <"$1" | cut -d ' ' -f 1)"
  awk '/core:/ {print "core", $2} /analytics.min.js:/ {print "all", $2}' "$run/size"
}

build() {
  build_js
  mkdir -p "$root/ingest/web"
  cp "$js/dist/analytics.min.js" "$root/ingest/web/analytics.min.js"
  describe "$js/dist/analytics.min.js" >"$root/ingest/web/bundle.txt"
  build_python
  quietly "go build" env -C "$root/sdk/go" go build ./...
  sed 's/^/sdk: /' "$run/size" >&2
}

test_js() {
  build_js
  describe "$js/dist/analytics.min.js" | cmp -s - "$root/ingest/web/bundle.txt" && cmp -s "$js/dist/analytics.min.js" "$root/ingest/web/analytics.min.js" \
    || die "ingest/web is not what sdk/js builds: run make sdk, and commit what it writes"
  quietly "npm run typecheck" npm --prefix "$js" run typecheck
  quietly "npm test" npm --prefix "$js" test
  # As an application gets it: only what is packed, by both kinds of modules.
  mkdir -p "$run/app/node_modules/@millstream-data"
  quietly "npm pack" npm --prefix "$js" pack "$js" --pack-destination "$run"
  tar -xzf "$run"/*.tgz -C "$run"
  mv "$run/package" "$run/app/node_modules/@millstream-data/analytics"
  for entry in analytics analytics/node analytics/snippet; do
    (cd "$run/app" && node --input-type=module -e "import('@millstream-data/$entry')" && node -e "require('@millstream-data/$entry')") || die "@millstream-data/$entry cannot be loaded from its package"
  done
  sed 's/^/sdk: /' "$run/size" >&2
}

test_python() {
  build_python
  local wheel
  wheel=$(ls "$root"/sdk/python/dist/*-py3-none-any.whl) || die "sdk/python makes no pure wheel"
  quietly "mypy --strict" env -C "$root/sdk/python" "$venv/bin/python" -m mypy --strict --cache-dir "$run/mypy" src
  quietly "unittest" env -C "$root/sdk/python" PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m unittest discover -s tests
  quietly "pip install" "$venv/bin/pip" install --quiet --no-index --no-deps --target "$run/site" "$wheel"
  (cd "$run" && PYTHONPATH=$run/site "$venv/bin/python" -c 'import millstream') || die "the wheel cannot be imported"
  [ -f "$run/site/millstream/py.typed" ] || die "the wheel has no py.typed"
}

# The module promises Go 1.22, and must not use what came later.
test_go() {
  quietly "go 1.22" env -C "$root/sdk/go" GOTOOLCHAIN=go1.22.12 GOFLAGS= GOWORK=off go build ./...
}

test_all() {
  test_js
  test_python
  test_go
  say "all packages are as they should be"
}

case ${1:-} in
  build) build ;;
  test) test_all ;;
  *) die "say build or test" ;;
esac

#!/usr/bin/env bash
# Installs and starts the real services that integration tests talk to, on
# loopback ports of their own, runs the command that it is given, and ends what
# it started. Anything that is missing and cannot be installed is an error.
#
#   scripts/services.sh go test -tags integration ./internal/e2e
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
home=${MILLSTREAM_SERVICES:-$root/.services} # what is installed stays here; what runs lives in $run
versitygw=v1.8.0
run=$(mktemp -d "${TMPDIR:-/tmp}/millstream-services.XXXXXX")
pids=()

say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

finish() {
  local code=$?
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ "$code" -ne 0 ]; then
    for log in "$run"/*.log; do [ -f "$log" ] && { say "end of $(basename "$log"):"; tail -n 15 "$log" >&2; }; done
  fi
  rm -rf "$run"
  exit "$code"
}
trap finish EXIT

apt_install() {
  say "installing $*"
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
  "${sudo[@]}" apt-get update -qq >"$run/apt.log" 2>&1 || true # an old list may do
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" >>"$run/apt.log" 2>&1 \
    || die "could not install $*; install it by hand (see $run/apt.log)"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# wait_for NAME SECONDS COMMAND… polls until the command succeeds.
wait_for() {
  local name=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "$name did not come up"
    sleep 0.2
  done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start_postgres() {
  local bin
  bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
  [ -n "$bin" ] || { apt_install postgresql; bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1); }
  local port data=$run/postgres as=()
  port=$(free_port)
  mkdir -p "$data"
  if [ "$(id -u)" -eq 0 ]; then # PostgreSQL refuses to run as root
    chmod 755 "$run"
    chown postgres "$data"
    as=(runuser -u postgres --)
  fi
  (cd / && "${as[@]}" "$bin/initdb" -D "$data" -U millstream --auth=trust -E UTF8 --no-sync) >"$run/postgres.log" 2>&1
  (cd / && exec "${as[@]}" "$bin/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_prepared_transactions=10 -c fsync=off) >>"$run/postgres.log" 2>&1 &
  pids+=($!)
  wait_for PostgreSQL 60 listens "$port"
  export MILLSTREAM_TEST_POSTGRES="postgres://millstream@127.0.0.1:$port/postgres?sslmode=disable"
}

# The packages without the service: nothing starts by itself, and no user of its own is made.
start_mariadb() {
  command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null && command -v my_print_defaults >/dev/null \
    || apt_install mariadb-server-core mariadb-client-core
  local port home=$run/mariadb as=()
  port=$(free_port)
  mkdir -p "$home/tmp"
  if [ "$(id -u)" -eq 0 ]; then # MariaDB refuses to run as root
    chmod 755 "$run"
    chown -R nobody "$home"
    as=(runuser -u nobody --)
  fi
  (cd / && TMPDIR=$home/tmp "${as[@]}" mariadb-install-db --no-defaults --datadir="$home/data" --auth-root-authentication-method=normal --skip-test-db) >"$run/mariadb.log" 2>&1 \
    || die "could not create MariaDB's data"
  (cd / && TMPDIR=$home/tmp exec "${as[@]}" mariadbd --no-defaults --datadir="$home/data" --port="$port" --bind-address=127.0.0.1 --socket="$home/socket" \
    --log-bin=binlog --server-id=1 --sync-binlog=0 --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=64M --default-time-zone=-03:30) >>"$run/mariadb.log" 2>&1 &
  pids+=($!)
  wait_for MariaDB 60 listens "$port"
  export MILLSTREAM_TEST_MARIADB="root@tcp(127.0.0.1:$port)/"
}

start_kafka() {
  command -v mvn >/dev/null && command -v java >/dev/null || apt_install maven default-jdk-headless
  local jars=$home/kafka
  if ! ls "$jars"/kafka_2.13-*.jar >/dev/null 2>&1; then
    say "fetching Apache Kafka"
    mvn -q -B -f "$root/scripts/services/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DoutputDirectory="$jars" -DincludeScope=runtime >"$run/mvn.log" 2>&1 || die "could not fetch Apache Kafka"
  fi
  local port controller
  port=$(free_port) controller=$(free_port)
  cat >"$run/kafka.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$run/kafka
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes=8388608
EOF
  java -cp "$jars/*" kafka.tools.StorageTool format --standalone -t "$(java -cp "$jars/*" kafka.tools.StorageTool random-uuid 2>/dev/null)" \
    -c "$run/kafka.properties" >"$run/kafka.log" 2>&1
  java -Xms256m -Xmx512m -cp "$jars/*" kafka.Kafka "$run/kafka.properties" >>"$run/kafka.log" 2>&1 &
  pids+=($!)
  wait_for "Apache Kafka" 90 listens "$port"
  export MILLSTREAM_TEST_KAFKA=127.0.0.1:$port
}

start_s3() {
  local bin=$home/bin/versitygw
  [ -x "$bin" ] || { say "building versitygw"; GOBIN=$home/bin GOFLAGS= go install "github.com/versity/versitygw/cmd/versitygw@$versitygw"; }
  local port
  port=$(free_port)
  mkdir -p "$run/objects" "$run/metadata"
  ROOT_ACCESS_KEY=millstream ROOT_SECRET_KEY=millstream-secret \
    "$bin" --port "127.0.0.1:$port" posix --sidecar "$run/metadata" "$run/objects" >"$run/s3.log" 2>&1 &
  pids+=($!)
  wait_for "the S3 server" 60 listens "$port"
  export MILLSTREAM_TEST_S3="http://127.0.0.1:$port" MILLSTREAM_TEST_S3_KEY=millstream MILLSTREAM_TEST_S3_SECRET=millstream-secret
}

find_browser() {
  command -v chromium >/dev/null || apt_install chromium
  command -v node >/dev/null && command -v npm >/dev/null || apt_install nodejs npm
  MILLSTREAM_TEST_CHROMIUM=$(command -v chromium)
  export MILLSTREAM_TEST_CHROMIUM
  if ! [ -d "$root/scripts/browser/node_modules/playwright-core" ]; then
    say "installing playwright-core"
    (cd "$root/scripts/browser" && npm ci --no-audit --no-fund) >"$run/npm.log" 2>&1 || die "could not install playwright-core"
  fi
}

# Segment's SDKs (scripts/sdks): their versions are pinned there, with checksums.
install_sdks() {
  local js=$root/scripts/sdks/js python=$root/scripts/sdks/python
  if ! cmp -s "$js/package-lock.json" "$js/node_modules/.installed"; then
    say "installing Segment's SDKs for JavaScript"
    (cd "$js" && npm ci --no-audit --no-fund && cp package-lock.json node_modules/.installed) >"$run/npm-sdks.log" 2>&1 \
      || die "could not install Segment's SDKs for JavaScript"
  fi
  (cd "$js" && npm run --silent build) >"$run/esbuild.log" 2>&1 || die "could not bundle Segment's SDK for browsers"
  local venv
  venv=$home/python-$(sha256sum "$python/requirements.txt" | cut -c1-12)
  if ! [ -f "$venv/.installed" ]; then
    say "installing Segment's SDK for Python"
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    { rm -rf "$venv" && python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --require-hashes -r "$python/requirements.txt" && touch "$venv/.installed"; } \
      >"$run/pip.log" 2>&1 || die "could not install Segment's SDK for Python"
  fi
  (cd "$root/scripts/sdks/go" && GOFLAGS= go build -o "$home/bin/segment-go" .) >"$run/go-sdk.log" 2>&1 || die "could not build the driver of analytics-go"
  export MILLSTREAM_TEST_PYTHON=$venv/bin/python MILLSTREAM_TEST_SEGMENT_GO=$home/bin/segment-go
}

# pyarrow reads what the batcher has written (scripts/lake).
install_pyarrow() {
  local pinned=$root/scripts/lake/requirements.txt venv
  venv=$home/python-$(sha256sum "$pinned" | cut -c1-12)
  if ! [ -f "$venv/.installed" ]; then
    say "installing pyarrow"
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    { rm -rf "$venv" && python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --require-hashes -r "$pinned" && touch "$venv/.installed"; } \
      >"$run/pip-lake.log" 2>&1 || die "could not install pyarrow"
  fi
  export MILLSTREAM_TEST_PYARROW=$venv/bin/python
}

# The JDBC drivers of PostgreSQL and Amazon, and the program that asks the local Redshift through them (scripts/drivers).
install_jdbc() {
  local jars=$home/jdbc
  if ! ls "$jars"/redshift-jdbc42-*.jar >/dev/null 2>&1; then
    say "fetching JDBC drivers"
    mvn -q -B -f "$root/scripts/drivers/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DoutputDirectory="$jars" -DincludeScope=runtime >"$run/mvn-jdbc.log" 2>&1 || die "could not fetch JDBC drivers"
  fi
  command -v javac >/dev/null || apt_install default-jdk-headless
  javac -d "$run/jdbc" "$root/scripts/drivers/Drivers.java"
  export MILLSTREAM_TEST_JDBC="$run/jdbc:$jars/*"
}

command -v psql >/dev/null || apt_install postgresql-client
start_postgres
start_mariadb
start_kafka
start_s3
find_browser
install_sdks
install_pyarrow
install_jdbc
say "PostgreSQL, MariaDB, Apache Kafka, S3, Chromium, Segment's SDKs, pyarrow and JDBC are there"
"$@"

//go:build integration

package e2e

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the application's database
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/config"
	"github.com/millstream-data/millstream/internal/objstore"
)

// need returns a variable that scripts/services.sh sets. A missing one is a
// failure: an integration test that skips proves nothing.
func need(tb testing.TB, name string) string {
	tb.Helper()
	v := os.Getenv(name)
	if v == "" {
		tb.Fatalf("%s is not set; run make integration, or scripts/services.sh go test -tags integration ./internal/e2e", name)
	}
	return v
}

// newReal returns `millstream all` on Apache Kafka, a real S3 server and
// PostgreSQL. The warehouse is the local Redshift in a process of its own,
// which is not killed: Redshift has no end to be tested here.
func newReal(t *testing.T) (sys *system, origin string) {
	t.Helper()
	name := strings.ToLower(fmt.Sprintf("e2e%d", time.Now().UnixNano()))
	dir := t.TempDir()
	origin = postgresDatabase(t, name)
	ingest, serve, admin, redshift := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	conf := filepath.Join(dir, "millstream.yaml")
	root := repository(t)
	text := fmt.Sprintf(`data_dir: %[1]s/data
log: {level: warn}
admin: {listen: "%[2]s"}
kafka:
  brokers: ["%[3]s"]
  topic_prefix: %[4]s
  topics: {partitions: 4, replication: 1}
s3:
  endpoint: %[5]s
  path_style: true
  access_key_id: %[6]s
  secret_access_key: %[7]s
lake: {bucket: %[4]s}
warehouse:
  dsn: postgres://millstream@%[8]s/millstream
  password: millstream
  sslmode: disable
metric_store: {dsn: "%[9]s"}
ingest:
  listen: "%[10]s"
  sources: {app: {keys: [{key: dev, kind: browser}]}}
  timeouts: {drain_delay: 0s}
cdc:
  sources:
    appdb:
      kind: postgres
      dsn: "%[9]s"
      tables:
        public.things: {strategies: [{kind: incremental, timestamp: updated_at, every: 1s}]}
batcher: {cut: {age: 4s}, group: %[4]s-batcher}
loader: {interval: 3s}
rollup: {definitions: %[12]s/deploy/examples/metrics, group: %[4]s-rollup}
serve: {listen: "%[11]s", boards: %[12]s/deploy/examples/boards}
local: {redshift: {listen: "%[8]s", dir: "%[1]s/redshift"}}
`, dir, admin, need(t, "MILLSTREAM_TEST_KAFKA"), name, need(t, "MILLSTREAM_TEST_S3"), need(t, "MILLSTREAM_TEST_S3_KEY"), need(t, "MILLSTREAM_TEST_S3_SECRET"),
		redshift, origin, ingest, serve, root)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	warehouseAdmin := freeAddr(t)
	warehouse := &system{tb: t, admin: "http://" + warehouseAdmin, args: []string{"local", "--config", conf, "--set", "admin.listen=" + warehouseAdmin}}
	makeBucket(t, name)
	t.Cleanup(warehouse.kill)
	warehouse.start()
	sys = &system{
		tb: t, dir: dir, args: []string{"all", "--config", conf}, ingest: "http://" + ingest, serve: "http://" + serve, admin: "http://" + admin,
		warehouse: "postgres://millstream:millstream@" + redshift + "/millstream?sslmode=disable",
	}
	t.Cleanup(sys.kill)
	return sys, origin
}

// postgresDatabase creates a database of the test's own and returns its DSN.
func postgresDatabase(tb testing.TB, name string) string {
	tb.Helper()
	dsn := need(tb, "MILLSTREAM_TEST_POSTGRES")
	conn, err := pgx.Connect(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(tb.Context())
	if _, err := conn.Exec(tb.Context(), "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// repository returns the root of the source tree.
func repository(tb testing.TB) string {
	tb.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// openPostgresApp is openApp on PostgreSQL, whose clock stamps the rows.
func openPostgresApp(tb testing.TB, dsn string) *application {
	tb.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { db.Close() })
	a := &application{tb: tb, db: db, mirror: "appdb_public.things", bind: func(sql string) string {
		n := 0
		return regexp.MustCompile(`\?`).ReplaceAllStringFunc(sql, func(string) string { n++; return "$" + strconv.Itoa(n) })
	}}
	a.exec(`CREATE TABLE things (id BIGSERIAL PRIMARY KEY, name TEXT, amount NUMERIC(10,2), updated_at TIMESTAMPTZ)`)
	a.exec(`CREATE INDEX things_updated ON things (updated_at, id)`)
	for i := range 500 {
		a.insert(i)
	}
	return a
}

// makeBucket creates the lake's bucket, as an operator does once.
func makeBucket(tb testing.TB, name string) {
	tb.Helper()
	cfg := objstore.DefaultConfig()
	cfg.Endpoint, cfg.PathStyle = need(tb, "MILLSTREAM_TEST_S3"), true
	cfg.AccessKeyID, cfg.SecretAccessKey = need(tb, "MILLSTREAM_TEST_S3_KEY"), config.Secret(need(tb, "MILLSTREAM_TEST_S3_SECRET"))
	c, err := objstore.New(tb.Context(), cfg, name, prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.EnsureBucket(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func TestKillOnRealServices(t *testing.T) {
	t.Parallel()
	sys, origin := newReal(t)
	app := openPostgresApp(t, origin)
	killOften(t, sys, app, rounds(t, 6))
	verify := &system{tb: t, args: append([]string{"verify", "--chain"}, sys.args[1:]...)}
	if out := verify.succeeds(); strings.Count(out, ", 0 problems") < 2 {
		t.Errorf("verify should tell of at least the chains of events and of changes, and find nothing:\n%s", out)
	}
}

// TestEachRoleInAProcessOfItsOwn runs the six roles as an operator deploys
// them: they meet in bytes only.
func TestEachRoleInAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	sys, origin := newReal(t)
	app := openPostgresApp(t, origin)
	var roles []*system
	for _, name := range []string{"ingest", "cdc", "batcher", "loader", "rollup", "serve"} {
		admin := freeAddr(t)
		role := &system{tb: t, admin: "http://" + admin, args: append([]string{name, "--set", "admin.listen=" + admin}, sys.args[1:]...)}
		t.Cleanup(role.kill)
		role.start()
		roles = append(roles, role)
	}
	body, orders, cents := (&sender{sys: sys, name: "r"}).batch(0, 100)
	if status, answer, err := sys.post("/v1/batch", body); err != nil || status != http.StatusOK {
		t.Fatalf("batch: %d %s %v", status, answer, err)
	}
	sys.eventually("the warehouse has every event", time.Minute, func() error {
		return sameCounts(sys, "SELECT COUNT(*), COUNT(DISTINCT id) FROM app.tracks", "100", "100")
	})
	sys.eventually("the wallboard has every order", time.Minute, func() error { return sys.sameMetric("metric=orders", strconv.Itoa(orders)) })
	sys.eventually("and the revenue", time.Minute, func() error {
		return sys.sameMetric("metric=revenue", fmt.Sprintf("%d.%02d", cents/100, cents%100))
	})
	sys.eventually("the mirror is the application's table", time.Minute, func() error { return sys.sameRows(app) })
	for _, r := range roles {
		r.stop()
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	sys, origin := newReal(t)
	openPostgresApp(t, origin)
	check := func(more ...string) *system {
		return &system{tb: t, args: append(append([]string{"check"}, sys.args[1:]...), more...)}
	}
	if out := check().succeeds(); strings.Contains(out, "WRONG") {
		t.Errorf("everything is there, but check says:\n%s", out)
	}
	nobody := freeAddr(t)
	for _, c := range []struct{ set, want string }{
		{"kafka.brokers=[" + nobody + "]", "WRONG kafka"},
		{"s3.endpoint=http://" + nobody, "WRONG s3"},
		{"s3.secret_access_key=wrong", "s3.access_key_id"},
		{"lake.bucket=nothing-here", "lake.bucket"},
		{"warehouse.dsn=postgres://millstream@" + nobody + "/millstream", "WRONG warehouse"},
		{"metric_store.dsn=postgres://millstream@" + nobody + "/x", "WRONG metric store"},
		{"kafka.topics.partitions=0", "kafka.topics.partitions"},
	} {
		if out := check("--set", c.set).fails(); !strings.Contains(out, c.want) {
			t.Errorf("--set %s: want %q in\n%s", c.set, c.want, out)
		}
	}
}

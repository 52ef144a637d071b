//go:build cgo

package models

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millstream-data/millstream/internal/local/redshift"
	"github.com/millstream-data/millstream/internal/testkit/warehousetest"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// kit is a folder of models and a warehouse with some orders in it.
type kit struct {
	t       *testing.T
	dir     string
	server  *redshift.Server
	client  *warehouse.Client
	conn    *warehouse.Conn
	builder *Builder
	gate    Gate
	sent    []string // by the builder, if it builds one at a time
}

func setup(t *testing.T, files map[string]string) *kit {
	t.Helper()
	server := warehousetest.Server(t, nil, nil)
	k := &kit{t: t, server: server, client: warehousetest.Client(t, server), dir: filepath.Join(t.TempDir(), "models")}
	k.conn = k.connect()
	if err := k.conn.EnsureLedger(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"CREATE SCHEMA app", "CREATE TABLE app.orders (id VARCHAR(64), day DATE, currency VARCHAR(8), total NUMERIC(18,2))",
		"INSERT INTO app.orders VALUES ('a', '2026-11-20', 'EUR', 10.5), ('b', '2026-11-20', 'USD', 20), ('c', '2026-11-21', 'EUR', 30)",
	} {
		k.exec(s)
	}
	if err := os.Mkdir(k.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, src := range files {
		k.write(name, src)
	}
	cfg := DefaultConfig()
	cfg.Dir = k.dir
	traced := warehousetest.Client(t, server)
	traced.Trace = func(s string) { k.sent = append(k.sent, s) }
	cfg.Parallel = 1
	k.builder = NewBuilder(cfg, traced, prometheus.NewRegistry())
	k.builder.pause = func(context.Context, time.Duration) bool { return true }
	k.gate = ByHand(traced, time.Minute)
	return k
}

func (k *kit) write(name, src string) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name+".sql"), []byte(src), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) connect() *warehouse.Conn {
	k.t.Helper()
	conn, err := k.client.Connect(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(conn.Close)
	return conn
}

func (k *kit) exec(sql string) {
	k.t.Helper()
	if _, err := k.conn.Exec(k.t.Context(), sql); err != nil {
		k.t.Fatal(err)
	}
}

// query returns rows, columns joined by "|".
func (k *kit) query(sql string) string {
	k.t.Helper()
	res, err := k.conn.Exec(k.t.Context(), sql)
	if err != nil {
		k.t.Fatal(err)
	}
	var out []string
	for _, row := range res.Rows {
		out = append(out, strings.Join(row, "|"))
	}
	return strings.Join(out, " ")
}

// build builds models by name, or all, and returns the results by name.
func (k *kit) build(which ...string) map[string]Result {
	k.t.Helper()
	p, s := k.look()
	var todo []*Model
	for _, m := range p.Models {
		if len(which) == 0 || slices.Contains(which, m.Name.Table) {
			todo = append(todo, m)
		}
	}
	out := map[string]Result{}
	k.builder.Build(k.t.Context(), k.gate, p, s, todo, func(r Result) { out[r.Model.Name.Table] = r })
	return out
}

func (k *kit) look() (*Project, State) {
	k.t.Helper()
	p, err := Read(k.dir, "models")
	if err != nil {
		k.t.Fatal(err)
	}
	s, err := k.builder.State(k.t.Context(), p)
	if err != nil {
		k.t.Fatal(err)
	}
	return p, s
}

// ok fails the test unless a model was built.
func (k *kit) ok(r Result) {
	k.t.Helper()
	if r.Err != nil || r.Outcome != OutcomeBuilt && r.Outcome != OutcomeChecked {
		k.t.Fatalf("%s: %s: %v", r.Model.Name, r.Outcome, r.Err)
	}
}

// tables returns the tables and views of the schema of models.
func (k *kit) tables() string {
	k.t.Helper()
	return k.query("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'models' ORDER BY 1")
}

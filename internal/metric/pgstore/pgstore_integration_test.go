//go:build integration

package pgstore_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/metrictest"
	"github.com/millstream-data/millstream/internal/metric/pgstore"
)

func TestStore(t *testing.T) {
	t.Parallel()
	metrictest.Run(t, func(t *testing.T) func() metric.Store {
		cfg := schemaOf(t)
		return func() metric.Store { return open(t, cfg) }
	})
}

// schemaOf makes a schema of the test's own. It needs the DSN of a database in
// which it may do that.
func schemaOf(t *testing.T) metric.StoreConfig {
	t.Helper()
	dsn := os.Getenv("MILLSTREAM_TEST_POSTGRES")
	if dsn == "" {
		t.Fatal("MILLSTREAM_TEST_POSTGRES is empty; set it to a DSN such as postgres://postgres@127.0.0.1:5432/postgres")
	}
	schema := "millstream_" + strings.ToLower(rand.Text()[:10])
	admin(t, dsn, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { admin(t, dsn, "DROP SCHEMA "+schema+" CASCADE") })
	cfg := metric.DefaultStoreConfig()
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	cfg.DSN = dsn + sep + "search_path=" + schema
	cfg.MaxConns = 4
	return cfg
}

func open(t *testing.T, cfg metric.StoreConfig) metric.Store {
	t.Helper()
	s, err := pgstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // some tests have closed it
	return s
}

// TestNumberOfAZoneThatWasRolledBackIsGivenAway lets the commit that numbers a
// zone fail at its very end. A store that believed the number would put two
// zones' cells into one.
func TestNumberOfAZoneThatWasRolledBackIsGivenAway(t *testing.T) {
	t.Parallel()
	cfg := schemaOf(t)
	s := open(t, cfg)
	c, err := s.Claim(t.Context(), metric.Partition{Topic: "t", TopicID: "id"}, "owner", metric.Position{})
	if err != nil {
		t.Fatal(err)
	}
	admin(t, cfg.DSN, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`)
	admin(t, cfg.DSN, `CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON rollup_zone DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
	in := func(zone string) metric.Row {
		return metric.Row{Key: metric.Key{Metric: 1, Ver: 1, Zone: zone, Bucket: 20000, Src: c.Src, Rev: 1}, N: 1, State: []byte{1}}
	}
	flush := metric.Flush{Position: metric.Position{Next: 1}, Rows: []metric.Row{in("Europe/Berlin"), in("UTC")}}
	if err := s.Commit(t.Context(), c, flush); err == nil {
		t.Fatal("the trigger should have refused the commit")
	}
	admin(t, cfg.DSN, `DROP TRIGGER refuse ON rollup_zone`)
	flush.Rows = []metric.Row{in("UTC"), in("Europe/Berlin")}
	if err := s.Commit(t.Context(), c, flush); err != nil {
		t.Fatalf("the zones share a number: %v", err)
	}
	got, err := s.Load(t.Context(), []metric.Key{in("UTC").Key, in("Europe/Berlin").Key})
	if err != nil || len(got) != 2 {
		t.Fatalf("want a cell in each zone, got %v (%v)", got, err)
	}
}

func admin(t *testing.T, dsn, sql string) {
	t.Helper()
	ctx := context.Background() // a cleanup runs after the test's context has ended
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

//go:build integration

package rollup

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/pgstore"
)

// TestOraclePostgres is TestOracle on a real PostgreSQL, in schemas of its own.
func TestOraclePostgres(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("MILLSTREAM_TEST_POSTGRES")
	if dsn == "" {
		t.Fatal("MILLSTREAM_TEST_POSTGRES is empty; set it to a DSN such as postgres://postgres@127.0.0.1:5432/postgres")
	}
	for seed := uint64(1); seed <= *oracleSeeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			disturb(t, seed, openPostgres(t, dsn))
		})
	}
}

func openPostgres(t *testing.T, dsn string) metric.Store {
	t.Helper()
	schema := "millstream_" + strings.ToLower(rand.Text()[:10])
	exec := func(sql string) {
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
	exec("CREATE SCHEMA " + schema)
	t.Cleanup(func() { exec("DROP SCHEMA " + schema + " CASCADE") })
	cfg := metric.DefaultStoreConfig()
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	cfg.DSN, cfg.MaxConns = dsn+sep+"search_path="+schema, 4
	s, err := pgstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

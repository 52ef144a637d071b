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

// TestStore needs the DSN of a database in which it may create schemas.
func TestStore(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("MILLSTREAM_TEST_POSTGRES")
	if dsn == "" {
		t.Fatal("MILLSTREAM_TEST_POSTGRES is empty; set it to a DSN such as postgres://postgres@127.0.0.1:5432/postgres")
	}
	metrictest.Run(t, func(t *testing.T) func() metric.Store {
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
		return func() metric.Store {
			s, err := pgstore.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() }) // some tests have closed it
			return s
		}
	})
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

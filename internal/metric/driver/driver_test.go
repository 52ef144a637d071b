package driver_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/driver"
)

func TestOpenMakesTheFile(t *testing.T) {
	t.Parallel()
	cfg := metric.DefaultStoreConfig()
	cfg.DSN = "sqlite:" + filepath.Join(t.TempDir(), "new folder", "metrics.db")
	for range 2 { // the second time it exists
		s, err := driver.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	cfg := metric.DefaultStoreConfig()
	if _, err := driver.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "metric_store.dsn") || !strings.Contains(err.Error(), "sqlite:") {
		t.Fatalf("got %v", err)
	}
	cfg.DSN = "mysql://x"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "metric_store.dsn") {
		t.Fatalf("got %v", err)
	}
}

func TestErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	cfg := metric.DefaultStoreConfig()
	cfg.StatementTimeout = 2 * time.Second
	for _, dsn := range []string{"postgres://u:s3cret@127.0.0.1:1/db?sslmode=disable", "postgres://u:s3cret@127.0.0.1:port/db"} {
		cfg.DSN, cfg.Password = dsn, "s3cret"
		if _, err := driver.Open(t.Context(), cfg); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v", err)
		}
	}
}

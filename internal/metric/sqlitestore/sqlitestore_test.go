package sqlitestore_test

import (
	"path/filepath"
	"testing"

	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/metric/metrictest"
	"github.com/millstream-data/millstream/internal/metric/sqlitestore"
)

func TestStore(t *testing.T) {
	t.Parallel()
	metrictest.Run(t, func(t *testing.T) func() metric.Store {
		file := filepath.Join(t.TempDir(), "of metrics?", "m#1.db") // signs that mean something in a URL
		return func() metric.Store {
			s, err := sqlitestore.Open(t.Context(), file, metric.DefaultStoreConfig())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() }) // some tests have closed it
			return s
		}
	})
}

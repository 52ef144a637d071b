//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const (
	benchRows  = 25_000
	benchFiles = 4
	benchQuery = `SELECT md5(range::VARCHAR || '%[1]d') AS id, TIMESTAMP '2026-11-21' + to_milliseconds(range) AS received_at, 'anon-' || (range * 7919 %% 50000) AS anonymous_id,
		'user-' || (range * 7919 %% 50000) AS user_id, 'order_completed' AS event, '203.0.113.' || (range %% 250) AS ip, 'https://shop.example/products/' || (range %% 2000) AS url,
		range AS order_id, range * 1.5::DOUBLE AS total, 'EUR' AS currency, '[{"sku":"a' || (range %% 100) || '","price":9.99,"quantity":1}]' AS products,
		%[1]d::BIGINT AS _partition, range AS _offset FROM range(25000)`
	benchColumns = `id VARCHAR(256), received_at TIMESTAMP, anonymous_id VARCHAR(256), user_id VARCHAR(256), event VARCHAR(256), ip VARCHAR(256), url VARCHAR(256), order_id BIGINT,
		total DOUBLE PRECISION, currency VARCHAR(64), products %s, _partition BIGINT, _offset BIGINT`
	benchInsert = `INSERT INTO %s SELECT s.id, s.received_at, s.anonymous_id, s.user_id, s.event, s.ip, s.url, s.order_id, s.total, s.currency,
		CASE WHEN CAN_JSON_PARSE(s.products) THEN JSON_PARSE(s.products) ELSE s.products::SUPER END, s._partition, s._offset
		FROM (SELECT *, LAG(received_at) OVER (PARTITION BY id ORDER BY received_at, _partition, _offset) AS _prev FROM stg) s
		LEFT JOIN %[1]s t ON t.id = s.id AND t.received_at >= '2026-11-20 00:00:00' AND t.received_at BETWEEN DATEADD(second, -86400, s.received_at) AND DATEADD(second, 86400, s.received_at)
		WHERE t.id IS NULL AND (s._prev IS NULL OR s._prev < DATEADD(second, -86400, s.received_at))`
)

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCopy is what the loader does with a table of 100,000 new rows, beside DuckDB alone reading the same files
// into a table. The first must stay within one and a half times the second.
func BenchmarkCopy(b *testing.B) {
	cfg := DefaultConfig()
	cfg.Listen, cfg.Dir = "127.0.0.1:0", filepath.Join(b.TempDir(), "db")
	w, stop := start(b, cfg)
	b.Cleanup(stop)
	paths := make([]string, benchFiles)
	var entries []entry
	for i := range paths {
		url := fmt.Sprintf("s3://lake/%d.parquet", i)
		entries = append(entries, w.parquet(url, fmt.Sprintf(benchQuery, i)))
		body, _ := w.objects.get("lake", fmt.Sprintf("%d.parquet", i))
		paths[i] = filepath.Join(b.TempDir(), fmt.Sprint(i, ".parquet"))
		if err := os.WriteFile(paths[i], body, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	w.manifest(entries...)
	c := w.connect()
	b.Run("load", func(b *testing.B) {
		started := cpu()
		for i := range b.N {
			table := fmt.Sprintf("public.t%d_%d", b.N, i)
			c.do("CREATE TEMP TABLE stg ("+fmt.Sprintf(benchColumns, "VARCHAR(4096)")+")",
				"COPY stg FROM 's3://lake/m.manifest' IAM_ROLE default FORMAT AS PARQUET MANIFEST",
				"BEGIN", "CREATE TABLE "+table+" ("+fmt.Sprintf(benchColumns, "SUPER")+")", fmt.Sprintf(benchInsert, table), "COMMIT", "DROP TABLE stg")
		}
		b.ReportMetric(float64((cpu()-started).Milliseconds())/float64(b.N), "cpu-ms/op")
	})
	b.Run("duckdb", func(b *testing.B) {
		started := cpu()
		for range b.N {
			if _, _, err := MeasureReference(context.Background(), cfg, b.TempDir(), map[string][]string{"t": paths}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpu()-started).Milliseconds())/float64(b.N), "cpu-ms/op")
	})
}

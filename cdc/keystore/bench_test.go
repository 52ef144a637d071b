package keystore

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// tear makes the newest manifest unreadable.
func tear(t *testing.T, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "MANIFEST") {
			if err := os.WriteFile(filepath.Join(dir, n.Name()), []byte("torn"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkLoad writes keys as a load does: in key order, a thousand a page,
// twenty pages a transaction. bytes/key is what lies on disk in the end, MiB is
// the heap beside what Pebble holds outside of it (its cache and memtables).
func BenchmarkLoad(b *testing.B) {
	for _, kind := range []string{"int", "uuid"} {
		b.Run(kind, func(b *testing.B) {
			s, err := Open(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			part := Part{Name: "id", Kind: KindInt}
			if kind == "uuid" {
				part.Kind = KindUUID
			}
			tb, err := s.Table("public.orders", "", NewCodec([]Part{part}))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				key := fmt.Appendf(nil, `{"id":%d}`, n)
				if kind == "uuid" {
					h := uint64(n) * 0x9e3779b97f4a7c15 //nolint:gosec // any bits
					key = fmt.Appendf(nil, `{"id":"%08x-%04x-%04x-%04x-%012x"}`, h>>32, h>>16&0xffff, h&0xffff, h>>48, h&0xffffffffffff)
				}
				enc, err := tb.Encode(key)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := tb.Put(enc, Entry{Version: ParseVersion(fmt.Sprint(7000 + n/100))}); err != nil {
					b.Fatal(err)
				}
				if n%20_000 == 0 {
					if err := s.Commit(); err != nil {
						b.Fatal(err)
					}
				}
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MiB")
			if err := s.Commit(); err != nil {
				b.Fatal(err)
			}
			if err := s.db.Flush(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(s.Bytes())/float64(n), "bytes/key")
			b.ReportMetric(float64(s.db.Metrics().MemTable.Size)/(1<<20), "memtable-MiB")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkScan reads a range of a million keys as reconcile does.
func BenchmarkScan(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	tb, err := s.Table("public.orders", "", intCodec())
	if err != nil {
		b.Fatal(err)
	}
	const total, size = 1_000_000, 10_000
	for n := range total {
		enc, err := tb.Encode(jsonKey(n))
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := tb.Put(enc, Entry{Version: ParseVersion("7321")}); err != nil {
			b.Fatal(err)
		}
		if n%20_000 == 0 {
			if err := s.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	}
	from := 0
	for b.Loop() {
		from = (from + size) % (total - size)
		lo, _ := tb.Encode(jsonKey(from))
		hi, _ := tb.Encode(jsonKey(from + size))
		rows := 0
		if err := tb.Scan(lo, hi, func([]byte, Entry) error { rows++; return nil }); err != nil || rows != size {
			b.Fatal(rows, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/size, "ns/key")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

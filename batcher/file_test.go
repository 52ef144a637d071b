package batcher

import (
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/parquetout"
)

// A file says by itself whose rows it has, and nothing in one reader's words.
func TestFileExplainsItself(t *testing.T) {
	t.Parallel()
	e := benchEnv(t)
	got := map[string]map[string]string{}
	for _, path := range benchRange(t, e, benchRecords(20), 100) {
		r, err := file.OpenParquetFile(path, false)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		kv := r.MetaData().KeyValueMetadata()
		pairs := map[string]string{}
		for i, k := range kv.Keys() {
			pairs[k] = kv.Values()[i]
		}
		if !strings.HasPrefix(pairs["millstream.schema"], "sha256:") {
			t.Errorf("schema %q", pairs["millstream.schema"])
		}
		delete(pairs, "millstream.schema")
		got[pairs["millstream.table"]] = pairs
	}
	want := map[string]map[string]string{}
	for _, table := range []string{"app.tracks", "app.order_completed"} {
		want[table] = map[string]string{
			"millstream.v": "1", "millstream.table": table, "millstream.topic": "millstream.events", "millstream.partition": "0",
			"millstream.first": "100", "millstream.next": "120", "millstream.rows": "20", "millstream.order": "_offset",
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestZstdMustBeAllowed(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Parquet.Compression = string(parquetout.Zstd)
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "allow_zstd") {
		t.Errorf("zstd alone: %v", err)
	}
	cfg.Parquet.AllowZstd = true
	if err := cfg.Validate(); err != nil {
		t.Errorf("zstd that is allowed: %v", err)
	}
}

// What a table's files have shown is of use to its next one: their ratio, and
// which columns a dictionary does not make smaller.
func TestNextFileKnowsItsTable(t *testing.T) {
	t.Parallel()
	var h habits
	if _, ok := h.of("app.tracks"); ok {
		t.Error("a table is known before it has a file")
	}
	h.learn("app.tracks", parquetout.Footer{Ratio: 0.3, Plain: []string{"a"}})
	h.learn("app.tracks", parquetout.Footer{Ratio: 0.2, Plain: []string{"a", "b"}})
	h.learn("app.tracks", parquetout.Footer{Ratio: 0.25})
	got, _ := h.of("app.tracks")
	if diff := cmp.Diff(habit{0.25, []string{"a", "b"}}, got, cmp.AllowUnexported(habit{})); diff != "" {
		t.Errorf("habits (-want +got):\n%s", diff)
	}
}

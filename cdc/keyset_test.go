package cdc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// goldenPlan is a table with a key of n columns, of every class of literals.
func goldenPlan(n int) *plan {
	p := &plan{stamp: n, id: 0, rel: relation{schema: "shop", table: "orders"}}
	for i := range n {
		c := column{name: fmt.Sprintf("k%d", i+1), kind: valueText}
		switch i {
		case 0:
			c.kind, c.oid, c.numeric = valueInt, 20, true
		case 1:
			c.kind, c.oid, c.binary, c.position = valueBytes, 17, true, "HEX(`k2`)"
		case 2:
			c.position, c.numeric = "`k3` + 0", true
		}
		p.key = append(p.key, i)
		p.rel.columns = append(p.rel.columns, c)
	}
	p.rel.columns = append(p.rel.columns, column{name: "updated_at", kind: valueISO, oid: 1184, quantum: time.Millisecond})
	return p
}

// The text of each page for keys of one to four columns, as each dialect sends it.
func TestKeysetSQLGolden(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 6, 15, 2, 113_402_000, time.UTC)
	values := []string{"42", "0027", "3", "Grüße"}
	for name, d := range map[string]dialect{"postgres": pgDialect{}, "mysql": mysqlDialect{}, "sqlite": sqliteDialect{}} {
		var out strings.Builder
		for n := 1; n <= 4; n++ {
			p, key := goldenPlan(n), values[:n]
			for _, q := range []struct {
				name string
				query
			}{
				{"stamp, first", query{kind: queryStamp, lo: at, keep: at, until: at, keepID: "40", limit: 1000}},
				{"stamp, next", query{kind: queryStamp, lo: at, after: append([]string{"2026-11-21 06:15:02.113"}, key...), keep: at, until: at, limit: 1000}},
				{"id", query{kind: queryID, cursor: "41", keepID: "40", limit: 1000}},
				{"load, first", query{kind: queryLoad, limit: 1000}},
				{"load, next", query{kind: queryLoad, after: key, limit: 1000}},
				{"load, range, first", query{kind: queryLoad, above: key[:1], upTo: []string{"99"}, limit: 1000}},
				{"load, range, next", query{kind: queryLoad, above: key[:1], upTo: []string{"99"}, after: key, limit: 1000}},
				{"nulls, first", query{kind: queryNulls, limit: 1000}},
				{"nulls, next", query{kind: queryNulls, after: key, limit: 1000}},
				{"window, first", query{kind: queryWindow, lo: at, until: at, limit: 1000}},
				{"window, next", query{kind: queryWindow, lo: at, until: at, after: append([]string{"2026-11-21 06:15:02.113"}, key...), limit: 1000}},
			} {
				b := selectPage(d, p, q.query)
				fmt.Fprintf(&out, "-- %s, key of %d\n%s\n", q.name, n, b.sql.String())
				for i, v := range b.values {
					fmt.Fprintf(&out, "--   %d: %q\n", i+1, v)
				}
			}
		}
		golden(t, filepath.Join("testdata", "keyset", name+".sql"), out.String())
	}
}

// The text of each digest of a range: of the first, an inner and the last one.
func TestDigestSQLGolden(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]struct {
		d       dialect
		digest  func(*plan) string
		digests []string
	}{
		"postgres": {pgDialect{}, pgDigest, []string{digestXmin, digestMD5, digestStamp}},
		"mysql":    {mysqlDialect{}, mysqlDigest, []string{digestMD5, digestStamp, digestCRC32}},
	} {
		var out strings.Builder
		for n := 1; n <= 3; n++ {
			p, lo, hi := goldenPlan(n), []string{"42", "0027", "3"}[:n], []string{"99", "00ff", "4"}[:n]
			p.rel.columns = append(p.rel.columns, column{name: "note", kind: valueText, oid: 25})
			p.cfg.Strategies = []StrategyConfig{{Kind: kindIncremental, Timestamp: Columns{"updated_at"}}}
			for _, digest := range kind.digests {
				p.strategy.Digest = digest
				for _, q := range []query{{upTo: hi}, {above: lo, upTo: hi}, {above: lo}} {
					q.kind = queryRange
					st := selectDigest(kind.d, p, q, kind.digest(p))
					fmt.Fprintf(&out, "-- %s, key of %d\n%s\n", digest, n, st.sql.String())
					for i, v := range st.values {
						fmt.Fprintf(&out, "--   %d: %q\n", i+1, v)
					}
				}
			}
		}
		golden(t, filepath.Join("testdata", "digest", name+".sql"), out.String())
	}
}

// golden compares got with a file, or writes it anew (make golden).
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("MILLSTREAM_TEST_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil { //nolint:gosec // a file of the repository
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); make golden writes it anew:\n%s", file, diff)
	}
}

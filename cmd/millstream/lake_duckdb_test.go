//go:build cgo

package main

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
)

// The statement for DuckDB works as it is printed, but for where the bucket is.
func TestLakeFilesStatementIsRunByDuckDB(t *testing.T) {
	t.Parallel()
	l, key, args := aLake(t)
	statement, _, err := run(t, nil, with(args, "lake", "files", "--table", "app.tracks", "--format", "duckdb")...)
	if err != nil {
		t.Fatal(err)
	}
	body, err := l.Store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	statement = strings.ReplaceAll(strings.TrimSuffix(statement, ";\n"), "s3://lake/"+key, path)
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var got string
	if err := db.QueryRowContext(t.Context(), "SELECT string_agg(id || ' ' || dt || ' ' || hh, ',' ORDER BY _offset) FROM ("+statement+")").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "a 2026-11-21 06,b 2026-11-21 06"; got != want {
		t.Errorf("rows %q, want %q", got, want)
	}
}

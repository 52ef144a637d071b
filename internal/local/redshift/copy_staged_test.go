//go:build cgo

package redshift

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	stagedTable = `CREATE TEMP TABLE stg (id VARCHAR(64), n BIGINT, doc VARCHAR(256))`
	stagedQuery = `SELECT md5(range::VARCHAR) || md5((range * 7)::VARCHAR) AS "x%", range AS n, md5((range * 3)::VARCHAR) || md5((range * 5)::VARCHAR) AS doc FROM range(60000)`
	copyStaged  = `COPY stg FROM 's3://lake/m.manifest' IAM_ROLE default FORMAT AS PARQUET MANIFEST`
)

// filesInScratch counts what COPY has left.
func (w *warehouse) filesInScratch() int {
	w.t.Helper()
	entries, err := os.ReadDir(w.scratch)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(entries)
}

func TestLargeCopyStaysWithItsFilesUntilItsTableChanges(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	other := strings.Replace(stagedQuery, `"x%"`, "y", 1)
	e := w.parquet("s3://lake/a.parquet", stagedQuery)
	w.manifest(e, e, w.parquet("s3://lake/b.parquet", other))
	c.do(stagedTable, copyStaged)
	if got := c.one("SELECT pg_last_copy_count(), COUNT(*), COUNT(DISTINCT id), SUM(n) FROM stg"); got != "180000|180000|60000|5399910000" {
		t.Errorf("staged: got %s", got)
	}
	if got := w.filesInScratch(); got != 3 {
		t.Errorf("%d files in place, want 3", got)
	}
	c.do("CREATE TABLE public.t (id VARCHAR(64), n NUMERIC(38,0))", "INSERT INTO t SELECT id, n FROM stg WHERE n < 10",
		"BEGIN", "DROP TABLE stg", "ROLLBACK")
	if got := c.one("SELECT (SELECT COUNT(*) FROM t), (SELECT COUNT(*) FROM stg)"); got != "30|180000" {
		t.Errorf("after a DROP that was undone: got %s", got)
	}
	c.do("BEGIN", "UPDATE stg SET n = 0 WHERE n < 100", "ROLLBACK", "DELETE FROM stg WHERE n >= 100", "ALTER TABLE stg ADD COLUMN more INT")
	if diff := cmp.Diff([]string{"300|14850"}, c.rows("SELECT COUNT(more IS NULL), SUM(n) FROM stg")); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if got := w.filesInScratch(); got != 0 {
		t.Errorf("%d files left of a table that has its rows", got)
	}
	c.do("TRUNCATE stg", "ALTER TABLE stg DROP COLUMN more", copyStaged, "DROP TABLE stg")
	if got := w.filesInScratch(); got != 0 {
		t.Errorf("%d files left of a table that is dropped", got)
	}
}

func TestLargeCopyIsCheckedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	long := strings.Replace(stagedQuery, "AS doc", "|| CASE range WHEN 59999 THEN 'x' ELSE '' END AS doc", 1)
	w.manifest(w.parquet("s3://lake/a.parquet", stagedQuery), w.parquet("s3://lake/b.parquet", long), w.parquet("s3://lake/c.parquet", stagedQuery))
	c.do(strings.Replace(stagedTable, "VARCHAR(256)", "VARCHAR(64)", 1))
	err := c.refusal("XX000", copyStaged)
	if want := "The length of the data column doc is longer than the length defined in the table. Table: 64, Data: 65"; err.Message != want {
		t.Errorf("got %q, want %q", err.Message, want)
	}
	if got := c.one("SELECT TRIM(file_name), TRIM(column_name) FROM sys_load_error_detail"); got != "s3://lake/b.parquet|doc" {
		t.Errorf("named %s, want the second of three files", got)
	}
	if got := w.filesInScratch(); got != 0 {
		t.Errorf("%d files left of a COPY that failed", got)
	}
	if got := c.one("SELECT COUNT(*) FROM stg"); got != "0" {
		t.Errorf("%s rows of a COPY that failed", got)
	}
}

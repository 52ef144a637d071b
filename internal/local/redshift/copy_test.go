//go:build cgo

package redshift

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/google/go-cmp/cmp"
)

// parquet writes the rows of a query with DuckDB's own writer and puts the file at url.
func (w *warehouse) parquet(url, query string) entry {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "f.parquet")
	db, err := sql.Open("duckdb", "")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec("COPY (" + query + ") TO '" + path + "' (FORMAT parquet)"); err != nil {
		w.t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.objects.put(url, body)
	return entry{URL: url, Mandatory: true, Meta: &entryMeta{int64(len(body))}}
}

type entryMeta struct {
	ContentLength int64 `json:"content_length"`
}

type entry struct {
	URL       string     `json:"url"`
	Mandatory bool       `json:"mandatory"`
	Meta      *entryMeta `json:"meta,omitempty"`
}

func (w *warehouse) manifest(entries ...entry) {
	w.t.Helper()
	w.manifestAt("s3://lake/m.manifest", entries...)
}

func (w *warehouse) manifestAt(url string, entries ...entry) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"entries": entries})
	if err != nil {
		w.t.Fatal(err)
	}
	w.objects.put(url, body)
}

const copyEvents = `COPY "events" FROM 's3://lake/m.manifest' IAM_ROLE 'arn:aws:iam::123456789012:role/millstream-load' FORMAT AS PARQUET MANIFEST STATUPDATE OFF`

const (
	eventsTable = `CREATE TEMP TABLE "events" ("id" VARCHAR(8), "received_at" TIMESTAMP, "total" DOUBLE PRECISION, "n" BIGINT, "ok" BOOLEAN, "day" DATE, "price" NUMERIC(38,9)) DISTKEY ("id") SORTKEY ("received_at")`
	eventsQuery = `SELECT 'a' AS x, TIMESTAMP '2026-11-21 06:15:02.113' AS y, 1.5::DOUBLE AS z, 7::BIGINT AS n, true AS ok, DATE '1969-12-31' AS day, 1.5::DECIMAL(38,9) AS price
		UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL`
)

func TestCopyManifestLoadsByPosition(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	c.do(eventsTable)
	w.manifest(w.parquet("s3://lake/a.parquet", eventsQuery), w.parquet("s3://lake/b.parquet", eventsQuery))
	c.do(copyEvents)
	if got := c.one("SELECT pg_last_copy_count()"); got != "4" {
		t.Errorf("pg_last_copy_count: got %s, want 4", got)
	}
	want := []string{"a|2026-11-21 06:15:02.113|1.5|7|t|1969-12-31|1.500000000", "∅|∅|∅|∅|∅|∅|∅"}
	if diff := cmp.Diff(want, c.rows(`SELECT DISTINCT * FROM "events" ORDER BY id`)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestCopyManifestReadsAnEntryAsOftenAsItIsListed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	c.do(eventsTable)
	e := w.parquet("s3://lake/a.parquet", eventsQuery)
	w.manifest(e, e)
	c.do(copyEvents)
	if got := c.one("SELECT pg_last_copy_count()"); got != "4" {
		t.Errorf("pg_last_copy_count: got %s, want 4", got)
	}
}

func TestCopyManifestOfMoreFilesThanABatch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	c.do(eventsTable)
	e := w.parquet("s3://lake/a.parquet", eventsQuery)
	other := w.parquet("s3://lake/b.parquet", strings.Replace(eventsQuery, "'a'", "'b'::BLOB", 1)) // of another shape
	entries := slices.Repeat([]entry{e}, copyBatchFiles)
	w.manifest(append(entries, other, e)...)
	c.do(copyEvents)
	if got := c.one("SELECT pg_last_copy_count(), COUNT(*), SUM(CASE WHEN id = 'b' THEN 1 ELSE 0 END) FROM events"); got != "132|132|1" {
		t.Errorf("copied, rows, rows of the other shape: got %s, want 132|132|1", got)
	}
}

func TestCopyManifestFailures(t *testing.T) {
	t.Parallel()
	w := setup(t)
	good := w.parquet("s3://lake/a.parquet", eventsQuery)
	noMeta, wrongSize, missing, optional := good, good, good, good
	noMeta.Meta = nil
	wrongSize.Meta = &entryMeta{good.Meta.ContentLength - 1}
	missing.URL = "s3://lake/missing.parquet"
	optional.URL, optional.Mandatory = missing.URL, false
	narrow := w.parquet("s3://lake/narrow.parquet", "SELECT 'a' AS id, TIMESTAMP '2026-11-21' AS received_at")
	swapped := w.parquet("s3://lake/swapped.parquet", strings.Replace(eventsQuery, "1.5::DOUBLE", "1::BIGINT", 1))
	long := w.parquet("s3://lake/long.parquet", strings.Replace(eventsQuery, "'a'", "'äöüßä'", 1))
	page := w.parquet("s3://lake/page.parquet", eventsQuery)
	w.objects.damage(page.URL)
	torn := entry{"s3://lake/torn.parquet", true, &entryMeta{4}}
	w.objects.put(torn.URL, []byte("PAR1"))

	for _, test := range []struct {
		name    string
		entries []entry
		text    string // in the message
		detail  string
		noted   string // file|column|code of sys_load_error_detail
	}{
		{"no meta", []entry{good, noMeta}, "File entry does not have 'meta' key.", "15003", "s3://lake/a.parquet||15003"},
		{"wrong size", []entry{wrongSize}, "Spectrum Scan Error", "416 Message: InvalidRange", "s3://lake/a.parquet||15001"},
		{"missing", []entry{good, missing}, "The specified key does not exist", "NoSuchKey", "s3://lake/missing.parquet||15001"},
		{"nothing", []entry{optional}, "no file to load", "", ""},
		{"columns", []entry{narrow}, "Unmatched number of columns between table and file. Table columns: 7, Data columns: 2", "15007", "s3://lake/narrow.parquet||15007"},
		{"type", []entry{swapped}, "incompatible Parquet schema for column 's3://lake/swapped.parquet.total'. Column type: DOUBLE, Parquet schema: optional int64 z", "15007", "s3://lake/swapped.parquet|total|15007"},
		{"length", []entry{good, long}, "The length of the data column id is longer than the length defined in the table. Table: 8, Data: 10", "15001", "s3://lake/long.parquet|id|15001"},
		{"page", []entry{good, page, good}, "Spectrum Scan Error", "s3://lake/page.parquet", "s3://lake/page.parquet||15001"},
		{"torn", []entry{torn}, "Spectrum Scan Error", "15001", "s3://lake/torn.parquet||15001"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := w.in(t).connect()
			c.do(eventsTable)
			manifest := "s3://lake/" + strings.ReplaceAll(test.name, " ", "-") + ".manifest"
			w.manifestAt(manifest, test.entries...)
			err := c.refusal("XX000", strings.Replace(copyEvents, "s3://lake/m.manifest", manifest, 1))
			if !strings.Contains(err.Message, test.text) {
				t.Errorf("message %q lacks %q", err.Message, test.text)
			}
			if !strings.Contains(err.Detail, test.detail) {
				t.Errorf("detail %q lacks %q", err.Detail, test.detail)
			}
			if got := c.one(`SELECT count(*) FROM "events"`); got != "0" {
				t.Errorf("%s rows stay of a COPY that failed", got)
			}
			got := strings.Join(c.rows("SELECT TRIM(file_name), TRIM(column_name), error_code FROM sys_load_error_detail WHERE session_id = pg_backend_pid()"), ",")
			if got != test.noted {
				t.Errorf("sys_load_error_detail: got %q, want %q", got, test.noted)
			}
		})
	}
}

func TestCopyManifestSkipsMissingOptionalFiles(t *testing.T) {
	t.Parallel()
	w := setup(t)
	c := w.connect()
	c.do(eventsTable)
	gone := entry{"s3://lake/gone.parquet", false, &entryMeta{1}}
	w.manifest(gone, w.parquet("s3://lake/a.parquet", eventsQuery))
	c.do(copyEvents)
	if got := c.one("SELECT pg_last_copy_count()"); got != "2" {
		t.Errorf("pg_last_copy_count: got %s, want 2", got)
	}
}

func TestCopyRefusesWhatRedshiftRefuses(t *testing.T) {
	t.Parallel()
	c := setup(t).connect()
	c.do(eventsTable)
	for _, option := range []string{"REGION 'eu-west-1'", "MAXERROR 5", "ACCEPTANYDATE", "IGNOREALLERRORS", "COMPUPDATE OFF", "COMPROWS 5"} {
		err := c.refusal("0A000", copyEvents+" "+option)
		if want := fmt.Sprintf("%s argument is not supported for PARQUET based COPY", strings.Fields(option)[0]); err.Message != want {
			t.Errorf("%s: got %q, want %q", option, err.Message, want)
		}
	}
	c.fails("0A000", `COPY "events" FROM 's3://lake/a' CREDENTIALS 'aws_access_key_id=x' FORMAT AS PARQUET`)
	c.fails("0A000", `COPY "events" FROM STDIN`)
	c.fails("0A000", `COPY "events" FROM '/etc/passwd' IAM_ROLE default FORMAT AS PARQUET`)
	c.fails("0A000", `COPY "events" FROM 's3://lake/a' IAM_ROLE default FORMAT AS CSV`)
	c.fails("22023", `COPY "events" FROM 's3://lake/a' IAM_ROLE 'me' FORMAT AS PARQUET`)
}

func TestCopyFromARelativeFolder(t *testing.T) { // not parallel: it changes the working folder
	t.Chdir(t.TempDir())
	w := setup(t, func(c *Config) { c.Dir = ".millstream/redshift" })
	c := w.connect()
	c.do(eventsTable)
	w.manifest(w.parquet("s3://lake/a.parquet", eventsQuery))
	c.do(copyEvents)
	if got := c.one("SELECT pg_last_copy_count()"); got != "2" {
		t.Errorf("pg_last_copy_count: got %s, want 2", got)
	}
}

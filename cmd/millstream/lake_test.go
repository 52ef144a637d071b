package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/parquetout"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

const tracksKey = "millstream/app/tracks/dt=2026-11-21/hh=06/millstream.events-0-0-2-"

// aLake is a lake with one commit of one file of app.tracks, and the arguments
// by which commands find it.
func aLake(t *testing.T) (l *lake.Lake, key string, args []string) {
	t.Helper()
	s, l := testkit.Lake(t)
	columns := wire.Columns{{Name: "id", Type: wire.String}, {Name: "_partition", Type: wire.Int64}, {Name: "_offset", Type: wire.Int64}}
	schema := lake.Schema{V: 1, Table: "app.tracks", Version: 1, Kind: lake.SchemaEvents, CreatedAt: lake.Time{Time: time.Now()}}
	for _, c := range columns {
		schema.Columns = append(schema.Columns, lake.SchemaColumn{Name: c.Name, Type: c.Type, Since: 1})
	}
	fingerprint := columns.Fingerprint()
	schema8 := wire.Schema8(fingerprint)
	body, foot := twoRows(t, columns)
	key = tracksKey + schema8 + ".parquet"
	c := lake.Commit{
		V: 1, Kind: lake.KindData, Topic: "millstream.events", Next: 2, Cut: "age", CreatedAt: lake.Time{Time: time.Now()},
		Accounting: []lake.Accounting{{Source: "app", DT: "2026-11-21", Records: 2, Primary: 2}},
		Schemas:    map[string]lake.CommitSchema{schema8: {Table: "app.tracks", Version: 1, Fingerprint: fingerprint, Columns: columns}},
		Files:      []lake.File{{Key: key, Table: "app.tracks", DT: "2026-11-21", HH: "06", Schema: schema8, Next: 2, Rows: 2, Bytes: foot.Bytes, SHA256: foot.SHA256, CRC32C: foot.CRC32C}},
	}
	commit, err := c.Encode()
	err = errors.Join(err, l.CreateSchema(t.Context(), schema), l.Store.Create(t.Context(), key, body),
		l.Store.Create(t.Context(), l.Paths.Commit(c.Topic, 0, 0), commit))
	if err != nil {
		t.Fatal(err)
	}
	path := file(t, fmt.Sprintf("lake: {bucket: %s}\ns3: {endpoint: %q, path_style: true, access_key_id: a, secret_access_key: b}\n", testkit.Bucket, s.URL()))
	return l, key, []string{"--config", path}
}

// twoRows is a file with the rows (a, 0, 0) and (b, 0, 1).
func twoRows(t *testing.T, columns wire.Columns) ([]byte, parquetout.Footer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.parquet")
	w, err := parquetout.Create(path, columns, parquetout.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	cols := []*parquetout.Column{parquetout.NewColumn(wire.String), parquetout.NewColumn(wire.Int64), parquetout.NewColumn(wire.Int64)}
	for i, id := range []string{"a", "b"} {
		cols[0].AppendString(id)
		cols[1].AppendInt(0)
		cols[2].AppendInt(int64(i))
	}
	w.SetMeta("millstream.table", "app.tracks")
	err = w.Append(parquetout.NewRecord(cols))
	foot, finished := w.Finish()
	body, read := os.ReadFile(path)
	if err := errors.Join(err, finished, read); err != nil {
		t.Fatal(err)
	}
	return body, foot
}

// with puts the arguments that find the lake behind a command.
func with(args []string, command ...string) []string { return append(command, args...) }

func TestLakeFilesPrintsWhatReadersTake(t *testing.T) {
	t.Parallel()
	l, key, args := aLake(t)
	if err := l.Store.Create(t.Context(), strings.Replace(key, "-0-2-", "-0-1-", 1), []byte("orphan")); err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{
		"keys":   "s3://lake/" + key + "\n",
		"duckdb": "SELECT * FROM read_parquet([\n  's3://lake/" + key + "'], union_by_name = true, hive_partitioning = true);\n",
		"spark":  "spark.read.option(\"mergeSchema\", \"true\").option(\"basePath\", \"s3a://lake/millstream/app/tracks\").parquet(\n  \"s3a://lake/" + key + "\")\n",
		"athena": "SELECT * FROM \"tracks\" WHERE \"$path\" IN (\n  's3://lake/" + key + "');\n",
	} {
		out, _, err := run(t, nil, with(args, "lake", "files", "--table", "app.tracks", "--dt", "2026-11-21", "--format", format)...)
		if diff := cmp.Diff(want, out); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", format, err, diff)
		}
	}
}

func TestLakeFilesSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, _, args := aLake(t)
	for want, flags := range map[string][]string{
		"--table tracks: must be a table such as app.tracks":                                                     {"--table", "tracks"},
		"--table : must be a table such as app.tracks":                                                           {},
		"--dt yesterday: must be a day such as 2026-11-21":                                                       {"--table", "app.tracks", "--dt", "yesterday"},
		`--format: must be keys, duckdb, spark or athena (got "csv")`:                                            {"--table", "app.tracks", "--format", "csv"},
		"--table app.nothing: there is no file of it that a commit names; millstream verify shows what there is": {"--table", "app.nothing"},
		"--table app.tracks: there is no file of it on 2026-11-20 that a commit names":                           {"--table", "app.tracks", "--dt", "2026-11-20"},
	} {
		if _, _, err := run(t, nil, with(args, append([]string{"lake", "files"}, flags...)...)...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, usage, err := run(t, nil, "lake"); !errors.Is(err, errUsage) || !strings.Contains(usage, "lake files --table") {
		t.Errorf("%v: %s", err, usage)
	}
}

func TestVerifyPrintsALineForEachChain(t *testing.T) {
	t.Parallel()
	l, key, args := aLake(t)
	out, _, err := run(t, nil, with(args, "verify", "--chain")...)
	if want := "millstream.events/0: offsets 0 to 2, 1 commits, 1 files, 2 rows, 2 records, 0 problems\n"; err != nil || out != want {
		t.Errorf("%q, %v", out, err)
	}
	if out, _, err = run(t, nil, with(args, "verify", "--deep")...); err != nil || !strings.HasSuffix(out, ", 0 problems\n") {
		t.Errorf("%q, %v", out, err)
	}
	body, err := l.Store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	body[5] ^= 1
	if err := l.Store.Put(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
	if _, _, err = run(t, nil, with(args, "verify", "--chain")...); err != nil {
		t.Errorf("without --deep: %v", err)
	}
	out, _, err = run(t, nil, with(args, "verify", "--chain", "--deep")...)
	if !errors.Is(err, errFindings) || !strings.Contains(out, "  commit millstream.events/0/0: file "+key+" has the SHA-256 ") {
		t.Errorf("%q, %v", out, err)
	}
	if err := l.Store.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	out, _, err = run(t, nil, with(args, "verify", "--chain")...)
	if !errors.Is(err, errFindings) || !strings.Contains(out, ", 1 problems\n  commit millstream.events/0/0: file "+key+" is missing\n") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestGCRemovesOnlyWhenTold(t *testing.T) {
	t.Parallel()
	l, key, args := aLake(t)
	orphan := strings.Replace(key, "-0-2-", "-0-1-", 1)
	if err := l.Store.Create(t.Context(), orphan, []byte("orphan")); err != nil {
		t.Fatal(err)
	}
	out, _, err := run(t, nil, with(args, "gc", "--delete")...)
	want := "orphan: removed 0 objects of 0 bytes, 1 have to wait\nreplaced: removed 0 objects of 0 bytes, 0 have to wait\noutput: removed 0 objects of 0 bytes, 0 have to wait\n" +
		"upload: removed 0 objects of 0 bytes, 0 have to wait\nmanifest: removed 0 objects of 0 bytes, 0 have to wait\n"
	if diff := cmp.Diff(want, out); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	_, _, err = run(t, nil, with(args, "gc", "--set", "batcher.gc.keep=1h")...)
	if err == nil || !strings.Contains(err.Error(), "batcher.gc.keep: must be >= 2h0m0s, for what a compaction is about to name (got 1h0m0s)") {
		t.Errorf("got %v", err)
	}
	if err := l.Store.Put(t.Context(), l.Paths.Commit("millstream.events", 0, 2), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if out, _, err = run(t, nil, with(args, "gc")...); !errors.Is(err, errFindings) || !strings.Contains(out, "  chain millstream.events/0 is left alone: ") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestCompactSaysWhatItDid(t *testing.T) {
	t.Parallel()
	_, _, args := aLake(t)
	out, _, err := run(t, nil, with(args, "compact")...)
	if err != nil || out != "0 compactions of 0 files into 0; millstream gc removes the former after batcher.gc.keep\n" {
		t.Errorf("%q, %v", out, err)
	}
	out, _, err = run(t, nil, with(args, "compact", "--table", "app.tracks", "--set", "batcher.compaction.min_files=1")...)
	if err != nil || !strings.HasPrefix(out, "0 compactions") {
		t.Errorf("%q, %v", out, err)
	}
	for want, flags := range map[string][]string{
		"--table tracks: must be a table such as app.tracks": {"--table", "tracks"},
		"table app.nope: the lake has no data of it":         {"--table", "app.nope"},
		"--dt 1: must be a day such as 2026-11-21":           {"--dt", "1"},
	} {
		if _, _, err := run(t, nil, with(args, append([]string{"compact"}, flags...)...)...); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

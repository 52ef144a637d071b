package lake_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit/golden"
	"github.com/millstream-data/millstream/internal/wire"
)

var at = lake.Time{Time: time.Date(2026, 11, 21, 6, 15, 22, 481e6, time.UTC)}

func commitSchema(table string, version int, columns wire.Columns) lake.CommitSchema {
	return lake.CommitSchema{Table: table, Version: version, Fingerprint: columns.Fingerprint(), Columns: columns}
}

func eventsCommit() lake.Commit {
	tracks := wire.Columns{{Name: "id", Type: wire.String}, {Name: "received_at", Type: wire.Timestamp}, {Name: "event", Type: wire.String}, {Name: "_offset", Type: wire.Int64}}
	s := commitSchema("app.tracks", 4, tracks)
	s8 := wire.Schema8(s.Fingerprint)
	prev := int64(122000)
	return lake.Commit{
		V: 1, Kind: lake.KindData, Topic: "millstream.events", TopicID: "9d2b4c1e-7f0a-4a53-9a51-2f6f0c1f7b11", Partition: 3,
		First: 123456, Next: 124480, Prev: &prev, Cut: "age", Attempt: "01jd3x9k2m7q8r5t6v0w1y2z3a",
		Accounting: []lake.Accounting{{Source: "app", DT: "2026-11-21", Records: 1024, Primary: 1009, Duplicates: 12, Rejected: 3}},
		Schemas:    map[string]lake.CommitSchema{s8: s},
		Files: []lake.File{{
			Key:   "millstream/app/tracks/dt=2026-11-21/hh=06/millstream.events-3-123456-124479-" + s8 + ".parquet",
			Table: "app.tracks", DT: "2026-11-21", HH: "06", Schema: s8, First: 123456, Next: 124479, Rows: 1009, Bytes: 48211,
			SHA256: strings.Repeat("4be1", 16), CRC32C: "yZRlqg==", MinReceivedAt: lake.Time{Time: at.Add(-20 * time.Second)}, MaxReceivedAt: at,
			MaxBytes: map[string]int{"id": 60, "event": 18},
		}},
		Dedup: &lake.DedupState{
			WindowMS: 86400000, MaxRecords: 1000000, Floor: 98211, FloorClockMS: 1795155402114, ClockMS: 1795241721990,
		},
		CreatedAt: at, Writer: lake.Writer{Version: "0.1.0", ID: "batcher-0", Generation: 7},
	}
}

func changesCommit() lake.Commit {
	orders := wire.Columns{
		{Name: "id", Type: wire.Int64}, {Name: "total", Type: wire.Decimal(10, 2)}, {Name: "_op", Type: wire.String}, {Name: "_offset", Type: wire.Int64},
	}
	s := commitSchema("shop_public.orders", 1, orders)
	s8 := wire.Schema8(s.Fingerprint)
	through := "2026-11-21T06:15:00.000Z"
	mark, err := json.Marshal(lake.Mark{Offset: 812, Target: "shop_public.orders", Poll: event.Poll{
		V: 1, Poll: "01jd3x9k2m7q8r5t6v0w1y2z3b", Strategy: "incremental", Kind: event.PollIncremental, Publish: "upsert", State: "completed",
		Parts: 1, Rows: 2, CompleteThrough: &through, Basis: "activity", Clock: "database",
	}})
	if err != nil {
		panic(err)
	}
	return lake.Commit{
		V: 1, Kind: lake.KindData, Topic: "millstream.changes.shop.public.orders", TopicID: "0b0c2f4e-1a58-4c0e-8f9e-5ad3cf0f2a10",
		First: 809, Next: 814, Holes: 1, Cut: "age", Attempt: "01jd3x9k2m7q8r5t6v0w1y2z3c",
		Accounting: []lake.Accounting{{Source: "shop_public", DT: "2026-11-21", Records: 4, Primary: 2, Marks: 2}},
		Schemas:    map[string]lake.CommitSchema{s8: s},
		Files: []lake.File{{
			Key:   "millstream/shop_public/orders/dt=2026-11-21/hh=06/millstream.changes.shop.public.orders-0-810-812-" + s8 + ".parquet",
			Table: "shop_public.orders", DT: "2026-11-21", HH: "06", Schema: s8, First: 810, Next: 812, Rows: 2, Bytes: 2210,
			SHA256: strings.Repeat("a7", 32), CRC32C: "AAAAAA==", MinReceivedAt: at, MaxReceivedAt: at, MaxBytes: map[string]int{"_op": 1},
		}},
		Marks: []json.RawMessage{mark}, CreatedAt: at, Writer: lake.Writer{Version: "0.1.0", ID: "batcher-0", Generation: 2},
	}
}

func emptyCommit() lake.Commit {
	c := eventsCommit()
	prev := c.First
	c.Kind, c.First, c.Next, c.Prev, c.Cut = lake.KindEmpty, 124480, 124483, &prev, "revoke"
	c.Schemas, c.Files = nil, nil
	c.Accounting = []lake.Accounting{{Source: "app", DT: "2026-11-21", Records: 2, Duplicates: 1, Rejected: 1}}
	c.Holes = 1
	return c
}

func lossCommit() lake.Commit {
	c := emptyCommit()
	prev := c.First
	c.Kind, c.Reason, c.First, c.Next, c.Prev, c.Cut = lake.KindLoss, "retention", 124483, 200000, &prev, "loss"
	c.Accounting, c.Holes = nil, 200000-124483
	c.Dedup.Floor, c.Dedup.Incomplete = 200000, true
	return c
}

func compaction() lake.Compaction {
	c := eventsCommit()
	in, out := c.Files[0], c.Files[0]
	late := strings.Replace(in.Key, "123456-124479", "124500-124510", 1)
	out.Key = "millstream/app/tracks/dt=2026-11-21/hh=06/compact-1-0-7q8r5t6v-" + in.Schema + ".parquet"
	out.Next, out.Rows, out.Bytes = 124510, 1019, 47120
	return lake.Compaction{
		V: 1, Table: "app.tracks", DT: "2026-11-21", HH: "06", Generation: 1,
		Replaces: []string{in.Key, late}, Files: []lake.File{out}, Rows: 1019, Lineage: "sha256:" + strings.Repeat("0c", 32),
	}
}

func eventsSchema() lake.Schema {
	s := lake.Schema{
		V: 1, Table: "app.order_completed", Version: 7, Kind: lake.SchemaEvents, CreatedAt: at,
		Columns: []lake.SchemaColumn{
			{Name: "id", Type: wire.String, Path: "messageId", Since: 1},
			{Name: "total", Type: wire.Float64, Path: "properties.total", Since: 3},
			{Name: "version_2_0", Type: wire.String, Path: `properties.version 2\.0`, Since: 7},
		},
	}
	s.Fingerprint = s.FileColumns().Fingerprint()
	return s
}

func mirrorSchema() lake.Schema {
	s := lake.Schema{
		V: 1, Table: "shop_public.orders", Version: 1, Kind: lake.SchemaMirror, Origin: "sha256:" + strings.Repeat("5d", 32),
		Key: []string{"id"}, Cursor: "updated_at", CreatedAt: at,
		Columns: []lake.SchemaColumn{
			{Name: "id", Type: wire.Int64, Since: 1, From: "id", Origin: "bigint", Form: event.FormNumber, Warehouse: "BIGINT", NotNull: true},
			{Name: "total", Type: wire.Decimal(10, 2), Since: 1, From: "Total", Origin: "numeric(10,2)", Form: event.FormText, Warehouse: "NUMERIC(10,2)"},
			{Name: "_op", Type: wire.String, Since: 1},
		},
	}
	s.Fingerprint = s.FileColumns().Fingerprint()
	return s
}

func TestGoldenCommits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]lake.Commit{
		"commit_v1_events.json": eventsCommit(), "commit_v1_changes.json": changesCommit(),
		"commit_v1_empty.json": emptyCommit(), "commit_v1_loss.json": lossCommit(),
	} {
		b, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "testdata/"+name, b)
		decoded, err := lake.DecodeCommit(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := decoded.Encode()
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("%s: decoded and encoded again it is\n%s\n%v", name, again, err)
		}
	}
}

func TestGoldenSchemas(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]lake.Schema{"schema_v1.json": eventsSchema(), "schema_v1_mirror.json": mirrorSchema()} {
		b, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "testdata/"+name, b)
		decoded, err := lake.DecodeSchema(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again, err := decoded.Encode(); err != nil || !bytes.Equal(b, again) {
			t.Errorf("%s: decoded and encoded again it is\n%s\n%v", name, again, err)
		}
	}
}

func TestGoldenCompaction(t *testing.T) {
	t.Parallel()
	b, err := compaction().Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/compact_v1.json", b)
	decoded, err := lake.DecodeCompaction(b)
	if err != nil {
		t.Error(err)
	}
	if again, err := decoded.Encode(); err != nil || !bytes.Equal(b, again) {
		t.Errorf("decoded and encoded again it is\n%s\n%v", again, err)
	}
}

func TestCompactionsThatDoNotBalanceAreRefused(t *testing.T) {
	t.Parallel()
	f := func(want string, disturb func(c *lake.Compaction)) {
		t.Helper()
		c := compaction()
		disturb(&c)
		b, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lake.DecodeCompaction(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f("unknown version 2", func(c *lake.Compaction) { c.V = 2 })
	f("want schema.table", func(c *lake.Compaction) { c.Table = "tracks" })
	f("generation 0 is not above 0", func(c *lake.Compaction) { c.Generation = 0 })
	f("0 files are replaced by 1", func(c *lake.Compaction) { c.Replaces = nil })
	f("2 files are replaced by 0", func(c *lake.Compaction) { c.Files = nil })
	f("its files have 1019 rows, it has 1020", func(c *lake.Compaction) { c.Rows++ })
	f("is no SHA-256", func(c *lake.Compaction) { c.Lineage = "sha256:0c" })
	f("is named twice", func(c *lake.Compaction) { c.Replaces[1] = c.Replaces[0] })
	f("is named twice", func(c *lake.Compaction) { c.Replaces[1] = c.Files[0].Key })
	f("is not of this hour", func(c *lake.Compaction) { c.Replaces[1] = strings.Replace(c.Replaces[1], "hh=06", "hh=07", 1) })
	f("is empty or of app.tracks 2026-11-21 07", func(c *lake.Compaction) { c.Files[0].HH = "07" })
}

func TestReadersRefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	good, err := eventsCommit().Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := func(name, from, to string, ok bool) {
		t.Helper()
		b := bytes.Replace(good, []byte(from), []byte(to), 1)
		if bytes.Equal(b, good) {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if _, err := lake.DecodeCommit(b); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("a member of tomorrow", `"v":1`, `"v":1,"later":{"x":1}`, true)
	f("a version of tomorrow", `"v":1`, `"v":2`, false)
	f("next below first", `"next":124480`, `"next":1`, false)
	f("an offset that is not accounted for", `"next":124480`, `"next":124481`, false)
	f("records that do not add up", `"duplicates":12`, `"duplicates":11`, false)
	f("a column too many", `"columns":[`, `"columns":[{"name":"x","type":"string"},`, false)
	f("a file of no schema", `"schema":"`, `"schema":"0`, false)
	f("a file beyond the range", `"first":123456,"next":124479`, `"first":123455,"next":124479`, false)
	f("cut off", `"writer":{`, `"writer":`, false)
}

func FuzzDecodeCommit(f *testing.F) {
	for _, name := range []string{"commit_v1_events.json", "commit_v1_changes.json", "commit_v1_empty.json", "commit_v1_loss.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := lake.DecodeCommit(b)
		if err != nil {
			return
		}
		out, err := c.Encode()
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		if _, err := lake.DecodeCommit(out); err != nil {
			t.Fatalf("%s: decoded once but not twice: %v", out, err)
		}
	})
}

func FuzzDecodeCompaction(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "compact_v1.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := lake.DecodeCompaction(b)
		if err != nil {
			return
		}
		out, err := c.Encode()
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		if _, err := lake.DecodeCompaction(out); err != nil {
			t.Fatalf("%s: decoded once but not twice: %v", out, err)
		}
	})
}

func FuzzDecodeSchema(f *testing.F) {
	for _, name := range []string{"schema_v1.json", "schema_v1_mirror.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := lake.DecodeSchema(b)
		if err != nil {
			return
		}
		if _, err := s.Encode(); err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
	})
}

// FORMAT.md shows the golden files and names every member that they can have.
func TestFormatPageIsComplete(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, cell := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllSubmatch(page, -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllSubmatch(cell[1], -1) {
			seen[string(name[1][bytes.LastIndexAny(name[1], ".]")+1:])] = true
		}
	}
	for _, name := range []string{
		"commit_v1_events.json", "commit_v1_changes.json", "commit_v1_empty.json", "commit_v1_loss.json", "schema_v1.json", "schema_v1_mirror.json", "compact_v1.json",
	} {
		if example, err := os.ReadFile("testdata/" + name); err != nil || !bytes.Contains(page, example) {
			t.Errorf("FORMAT.md does not show testdata/%s as it is: %v", name, err)
		}
	}
	for _, v := range []any{eventsCommit(), changesCommit(), lossCommit(), eventsSchema(), mirrorSchema(), compaction(), positions} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`"([a-z_0-9]+)":`).FindAllSubmatch(b, -1) {
			n := string(name[1])
			if !seen[n] && !regexp.MustCompile(`^[0-9a-f]{8}$`).MatchString(n) && !perPoll[n] && !columns[n] {
				t.Errorf("FORMAT.md does not name the member %s", n)
			}
		}
	}
}

var positions = lake.LoaderPositions{
	LowWater: []lake.LoaderPosition{{Topic: "millstream.events", Next: 7}}, Held: []lake.LoaderPosition{{Target: "app.tracks", Topic: "millstream.events", Next: 5}},
}

// Names of columns in max_bytes.
var columns = map[string]bool{"event": true, "id": true, "_op": true}

// Members of a poll are described beside their codec, in internal/wire.
var perPoll = map[string]bool{
	"poll": true, "strategy": true, "publish": true, "state": true, "parts": true, "live": true, "range": true,
	"complete_through": true, "deletes_through": true, "basis": true, "clock": true,
}

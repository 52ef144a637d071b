//go:build cgo

package loader

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

var noteColumns = eventColumns(col("note", wire.String))

func TestHeldTargetOthersGoOn(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.exec(`CREATE SCHEMA app`)
	k.exec(`CREATE TABLE app.sales (id VARCHAR(256), total BIGINT)`) // an analyst's own idea
	l := k.loader(k.client)
	sales := func(n int) table {
		return table{name: "app.sales", columns: eventColumns(col("total", wire.Float64)), rows: events(n, row{"total": 1.5})}
	}
	k.commit(0, sales(2), table{name: "app.tracks", columns: eventColumns(), rows: events(3)})
	w := k.tenure(l)
	k.wave(w)
	if got := k.one("SELECT COUNT(*) FROM app.tracks"); got != "3" {
		t.Errorf("tracks: %s, want 3", got)
	}
	if got := k.query("SELECT target, part, first_offset, file_key, reason FROM millstream.held"); !slices.Equal(got, []string{"app.sales|0|0|*|columns"}) {
		t.Errorf("held: %v", got)
	}
	// It stays held while more arrives, on other chains too, and low water passes it.
	k.commit(1, sales(2))
	k.commit(0, sales(1), table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	w = k.tenure(l)
	k.wave(w)
	w.lowWritten = time.Time{}
	k.wave(w)
	if got := k.query("SELECT part, next_offset FROM millstream.positions WHERE target = '*' ORDER BY 1"); !slices.Equal(got, []string{"0|7", "1|2"}) {
		t.Errorf("low water: %v", got)
	}
	if got := k.query("SELECT part, first_offset FROM millstream.held ORDER BY 1"); !slices.Equal(got, []string{"0|0", "1|0"}) {
		t.Errorf("held: %v", got)
	}
	k.exec(`DROP TABLE app.sales`)
	k.retry("app.sales")
	k.wave(w)
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id), SUM(total) FROM app.sales"); got != "5|5|7.5" {
		t.Errorf("sales: %s, want 5|5|7.5", got)
	}
	if got := k.query("SELECT target FROM millstream.held"); len(got) != 0 {
		t.Errorf("held: %v", got)
	}
}

func TestHeldTargetIsTriedAgainByItself(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.exec(`CREATE SCHEMA app`)
	k.exec(`CREATE TABLE app.sales (id VARCHAR(256), total BIGINT)`)
	k.commit(0, table{name: "app.sales", columns: eventColumns(col("total", wire.Float64)), rows: events(2, row{"total": 1.5})})
	k.start(k.loader(k.client, impatient))
	k.eventually("SELECT reason FROM millstream.held", "columns")
	k.exec(`DROP TABLE app.sales`)
	k.eventually("SELECT COUNT(*) FROM app.sales", "2")
	k.eventually("SELECT COUNT(*) FROM millstream.held", "0")
}

func TestHeldTargetCatchesUpInOrder(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.mirrorSchema("shop_public.orders", []string{"id"}, orderColumns)
	k.exec(`CREATE SCHEMA shop_public`)
	k.exec(`CREATE TABLE shop_public.orders (id SMALLINT)`)
	w := k.tenure(k.loader(k.client, func(c *Config) { c.Wave.Files = 2 }))
	change := func(total float64) {
		k.commit(0, table{name: "shop_public.orders", columns: orderColumns, rows: []row{{"id": int64(1), "total": total, "_op": "r"}}})
	}
	for i := range 5 {
		change(float64(i))
	}
	k.wave(w)
	k.exec(`DROP TABLE shop_public.orders`)
	k.exec(`UPDATE millstream.held SET attempts = 0`)
	for _, want := range []string{"1.0", "3.0", "4.0"} { // two files a wave
		k.wave(w)
		if got := k.one("SELECT total FROM shop_public.orders"); got != want && got+".0" != want {
			t.Errorf("total: %s, want %s", got, want)
		}
	}
	change(9)
	k.wave(w)
	if got := k.query("SELECT total FROM shop_public.orders"); !slices.Equal(got, []string{"9"}) && !slices.Equal(got, []string{"9.0"}) {
		t.Errorf("orders: %v", got)
	}
	if got := k.one("SELECT COUNT(*) FROM millstream.held"); got != "0" {
		t.Errorf("%s are held", got)
	}
}

func TestDroppedTargetIsHeldNotMadeAnew(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	k.wave(w)
	k.exec(`DROP TABLE app.notes`)
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	k.wave(w)
	if got := k.query("SELECT target, first_offset, reason FROM millstream.held"); !slices.Equal(got, []string{"app.notes|2|dropped"}) {
		t.Errorf("held: %v", got)
	}
}

func TestMendedFileIsLoadedByItself(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	c := k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(3)})
	key := c.Files[0].Key
	body, err := k.lake.Store.Get(t.Context(), key)
	if err = errors.Join(err, k.lake.Store.Delete(t.Context(), key)); err != nil {
		t.Fatal(err)
	}
	k.wave(w)
	if got := k.query("SELECT file_key, first_offset, attempts FROM millstream.held"); !slices.Equal(got, []string{key + "|2|1"}) {
		t.Fatalf("held: %v", got)
	}
	k.exec(`UPDATE millstream.held SET attempts = 0`)
	k.wave(w) // still missing
	if got := k.query("SELECT file_key, attempts FROM millstream.held"); !slices.Equal(got, []string{key + "|1"}) {
		t.Errorf("held after a vain attempt: %v", got)
	}
	if err := k.lake.Store.Put(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
	k.exec(`UPDATE millstream.held SET attempts = 0`)
	k.wave(w)
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "5|5" {
		t.Errorf("notes: %s, want 5|5", got)
	}
	if got := k.query("SELECT kind, rows_inserted FROM millstream.loads ORDER BY committed_at, load_id"); !slices.Equal(got, []string{"append|2", "repair|0", "repair|3"}) {
		t.Errorf("history: %v", got)
	}
	if got := k.one("SELECT COUNT(*) FROM millstream.held"); got != "0" {
		t.Errorf("%s files are held", got)
	}
}

func TestCopyCountMismatchAborts(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2), change: func(f *lake.File) { f.Rows = 3 }},
		table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.wave(w)
	if got := k.query("SELECT target, reason FROM millstream.held"); !slices.Equal(got, []string{"app.notes|count"}) {
		t.Errorf("held: %v", got)
	}
	if rows, err := k.ask("SELECT COUNT(*) FROM app.notes"); err == nil && rows[0] != "0" {
		t.Errorf("%v rows were inserted", rows)
	}
	if got := k.one("SELECT COUNT(*) FROM app.tracks"); got != "1" {
		t.Errorf("tracks: %s, want 1", got)
	}
}

func TestChainGapStopsChain(t *testing.T) {
	t.Parallel()
	k := setup(t)
	stop := k.start(k.loader(k.client))
	k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	k.eventually("SELECT COUNT(*) FROM app.tracks", "1")
	stop()
	k.next[lake.ChainID{Topic: topic, Partition: 0}] += 5
	k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	id := lake.ChainID{Topic: topic, Partition: 0}
	if commits, err := k.lake.Since(t.Context(), id, 1, 10); !errors.Is(err, lake.ErrChainGap) || len(commits) != 0 {
		t.Fatalf("the test's gap is none: %v, %v", commits, err)
	}
	l := k.loader(k.client)
	w := k.tenure(l)
	k.commit(1, table{name: "app.tracks", columns: eventColumns(), rows: events(2)})
	k.wave(w)
	k.wave(w)
	if got := k.query("SELECT _partition, COUNT(*) FROM app.tracks GROUP BY 1 ORDER BY 1"); !slices.Equal(got, []string{"0|1", "1|2"}) {
		t.Errorf("tracks by partition: %v, want 0|1 and 1|2", got)
	}
	if c := l.said.Load(); !strings.Contains(c.Sentence, "1 chains") {
		t.Errorf("health says %q", c.Sentence)
	}
}

func TestRestoreFromSnapshot(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(2)})
	k.wave(w)
	w.lowWritten = time.Time{}
	k.wave(w) // low water stands at 2
	tables := []string{"app.notes", "millstream.positions", "millstream.loads"}
	for _, name := range tables {
		k.exec(fmt.Sprintf("CREATE TABLE %s_yesterday AS SELECT * FROM %s", name, name))
	}
	k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(3)})
	k.wave(w)
	w.lowWritten = time.Time{}
	k.wave(w)
	for _, name := range tables {
		k.exec("DELETE FROM " + name)
		k.exec(fmt.Sprintf("INSERT INTO %s SELECT * FROM %s_yesterday", name, name))
	}
	k.wave(w) // the same loader, which remembers more than the warehouse does
	if got := k.one("SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes"); got != "5|5" {
		t.Errorf("notes: %s, want 5|5", got)
	}
}

func TestColumnsByNameNotPosition(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.exec(`CREATE SCHEMA app`)
	k.exec(`CREATE TABLE app.notes (b VARCHAR(64), a VARCHAR(64), "_offset" BIGINT, "_partition" BIGINT, _unmapped SUPER, user_id VARCHAR(64), received_at TIMESTAMP, id VARCHAR(64))`)
	k.commit(3, table{name: "app.notes", columns: eventColumns(col("a", wire.String), col("b", wire.String)), rows: events(1, row{"a": "A", "b": "B", "user_id": "U"})})
	k.wave(k.tenure(k.loader(k.client)))
	if got, want := k.one(`SELECT id, user_id, a, b, "_partition", "_offset" FROM app.notes`), "m-3-0|U|A|B|3|0"; got != want {
		t.Errorf("row: %s, want %s", got, want)
	}
}

func TestWidenThenLoad(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	for _, n := range []int{10, 65, 300, 65535} {
		long := row{"note": strings.Repeat("é", n/2) + strings.Repeat("x", n%2)}
		k.commit(0, table{name: "app.notes", columns: noteColumns, rows: events(1, long)}, table{name: "app.identifies", columns: noteColumns, rows: events(1, long)})
		k.wave(w)
	}
	if got := k.one("SELECT COUNT(*), MAX(OCTET_LENGTH(note)) FROM app.notes"); got != "4|65535" {
		t.Errorf("notes: %s, want 4|65535", got)
	}
	if got := k.one("SELECT COUNT(*), MAX(OCTET_LENGTH(note)) FROM app.users"); got != "1|65535" {
		t.Errorf("users: %s, want 1|65535", got)
	}
	if got := k.one("SELECT character_maximum_length FROM svv_columns WHERE table_schema = 'app' AND table_name = 'notes' AND column_name = 'note'"); got != "65535" {
		t.Errorf("width %s, want 65535", got)
	}
}

func TestLateDuplicateIsNamed(t *testing.T) {
	t.Parallel()
	k := setup(t)
	w := k.tenure(k.loader(k.client))
	at := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	twin := func(part int32, after time.Duration) {
		k.commit(part, table{name: "app.tracks", columns: eventColumns(), rows: []row{{"id": "same", "received_at": at.Add(after)}}})
	}
	twin(0, 0)
	k.wave(w)
	twin(1, time.Hour)     // in the window of the first
	twin(2, 47*time.Hour)  // beyond it
	twin(2, 48*time.Hour)  // in the window of the one before, in one load with it
	twin(3, -25*time.Hour) // older than all
	k.wave(w)
	if got, want := k.query(`SELECT "_partition", "_offset" FROM app.tracks ORDER BY received_at`), []string{"3|0", "0|0", "2|0"}; !slices.Equal(got, want) {
		t.Errorf("tracks: %v, want %v", got, want)
	}
	if got, want := k.query("SELECT target, id, part, offset_ FROM millstream.duplicates ORDER BY part, offset_"), []string{"app.tracks|same|1|0", "app.tracks|same|2|1"}; !slices.Equal(got, want) {
		t.Errorf("duplicates: %v, want %v", got, want)
	}
	if got := k.one("SELECT SUM(rows_staged), SUM(rows_inserted), SUM(rows_duplicate) FROM millstream.loads"); got != "5|3|2" {
		t.Errorf("history: %s, want 5|3|2", got)
	}
}

func TestStopWhileNothingIsDue(t *testing.T) {
	t.Parallel()
	k := setup(t)
	l := k.loader(k.client)
	stop := k.start(l)
	testkit.Eventually(t, "ready", func() error {
		if c := l.said.Load(); !strings.HasPrefix(c.Sentence, "Loading") {
			return errors.New(c.Sentence)
		}
		return nil
	})
	stop()
	// The lease is let go, so that the next loader need not wait.
	if got := k.one("SELECT CASE WHEN expires_at < GETDATE() THEN 1 ELSE 0 END FROM millstream.lease"); got != "1" {
		t.Error("the lease was not released")
	}
	if diff := cmp.Diff([]string{}, k.query("SELECT target FROM millstream.positions")); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
}

// Commits wait in the lake while those in memory fill it; a chain of which none
// is in memory is read all the same.
func TestCommitsInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	k := setup(t)
	cat := &catalogue{lake: k.lake}
	read := func(want int) {
		t.Helper()
		if err := cat.refresh(t.Context(), newLedger(nil, nil), k.now, func(warehouse.Chain, error) {}); err != nil {
			t.Fatal(err)
		}
		if got := len(cat.chains[0].commits); got != want {
			t.Errorf("%d commits are in memory, want %d", got, want)
		}
	}
	cat.bytes.Store(bytesInMemory)
	for range 2 {
		k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	}
	read(2)
	k.commit(0, table{name: "app.tracks", columns: eventColumns(), rows: events(1)})
	read(2)
	cat.bytes.Add(-bytesInMemory)
	read(3)
	for range 3 {
		cat.forget(cat.chains[0])
	}
	if got := cat.bytes.Load(); got != 0 {
		t.Errorf("%d bytes are counted for no commit", got)
	}
}

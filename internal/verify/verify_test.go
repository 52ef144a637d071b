//go:build cgo

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/verify"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// line is a line of the report in short.
func line(l verify.Line) string {
	n := func(p *int64) string {
		if p == nil {
			return "-"
		}
		return fmt.Sprint(*p)
	}
	return fmt.Sprintf("%s %s %d=%d=%s=%s %v %v", l.Source, l.Day, l.Accepted, l.Lake, n(l.Warehouse), n(l.Metrics), l.Terms, l.Unexplained)
}

// sameLines wants these lines and nothing else, each built from what want says.
func sameLines(t *testing.T, r *verify.Report, balanced bool, want ...verify.Line) {
	t.Helper()
	var a, b []string
	for _, l := range want {
		a = append(a, line(l))
	}
	for _, l := range r.Lines {
		b = append(b, line(l))
	}
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("lines differ (-want +got):\n%s", d)
	}
	if r.Balanced != balanced {
		t.Errorf("balanced is %v:\n%s", r.Balanced, text(t, r))
	}
}

// of is a line of app on the kit's day with the rows that each of the four has.
func of(accepted, lake, inWarehouse, counted int64, more ...func(*verify.Line)) verify.Line {
	l := verify.Line{Source: "app", Day: "2026-11-21", Accepted: accepted, Lake: lake, Warehouse: &inWarehouse, Metrics: &counted}
	for _, f := range more {
		f(&l)
	}
	return l
}

func TestAllFourAgree(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(10)...)
	k.commit(1, append(tracks(4), record{source: "app", table: "pages", at: noon})...)
	k.load(nil)
	k.count(0, 0, 10)
	k.count(1, 0, 5)
	sameLines(t, k.verify(withRows), true, of(15, 15, 15, 15))
}

func TestWhatTheBatcherLeftOutIsNamed(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(10, func(i int, r *record) {
		switch {
		case i < 2:
			r.what = asDuplicate
		case i < 5:
			r.what = asRejected
		}
	})...)
	k.load(nil)
	k.count(0, 0, 10)
	sameLines(t, k.verify(withRows), true, of(10, 5, 5, 5, func(l *verify.Line) { l.Duplicates, l.Rejected = 2, 3 }))
}

func TestRowsAboveThePositionAreDue(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(10)...)
	k.load(nil)
	k.commit(0, tracks(7)...)
	k.load(nil, "app.order_completed") // and not tracks
	k.count(0, 0, 17)
	r := k.verify(withRows)
	sameLines(t, r, true, of(17, 17, 10, 17, func(l *verify.Line) { l.Due = 7 }))
	if len(r.Tables) != 1 || r.Tables[0].Table != "app.tracks" || r.Tables[0].Due != 7 {
		t.Errorf("tables: %+v", r.Tables)
	}
}

func TestPositionWithinAFileIsCountedByItsRows(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(10)...)
	k.load(nil)
	k.count(0, 3, 8)
	sameLines(t, k.verify(), true, of(10, 10, 10, 5, func(l *verify.Line) { l.Uncounted, l.BeforeMetric = 2, 3 }))
}

func TestMetricsAheadOfCommitsAreWaitedFor(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(10)...)
	k.load(nil)
	more := tracks(5)
	k.records[0] = append(k.records[0], more...)
	k.count(0, 0, 15)
	if r := k.verify(); r.Balanced || !strings.Contains(text(t, r), "does the batcher run?") {
		t.Errorf("nobody is told that commits stay behind:\n%s", text(t, r))
	}
	k.records[0] = k.records[0][:10]
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(300 * time.Millisecond) //nolint:forbidigo // the commit has to come while verify waits
		k.commit(0, more...)
	}()
	r := k.verify(func(o *verify.Options, _ *verify.Deps) { o.Wait = time.Minute })
	<-done
	sameLines(t, r, true, of(15, 15, 10, 15, func(l *verify.Line) { l.Due = 5 }))
}

func TestARowThatVanishedIsUnexplainedAndNamed(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(10)...)
	k.load(nil)
	k.count(0, 0, 10)
	k.exec(`DELETE FROM "app"."tracks" WHERE "_offset" = 4`)
	r := k.verify(withRows)
	sameLines(t, r, false, of(10, 10, 9, 10, func(l *verify.Line) { l.Unexplained.Warehouse = 1 }))
	if len(r.Rows) != 1 || !strings.HasPrefix(r.Rows[0], "app.tracks: partition 0, offset 4: is missing from the warehouse; it is in millstream/app/tracks/dt=2026-11-21/") {
		t.Errorf("rows: %q", r.Rows)
	}
	// Of a table that is not primary, too: the line balances, the table does not.
	k.exec(`INSERT INTO "app"."tracks" VALUES ('m-0-4', '2026-11-21 12:00:04', 0, 4)`, `DELETE FROM "app"."order_completed" WHERE "_offset" = 7`)
	r = k.verify()
	sameLines(t, r, false, of(10, 10, 10, 10))
	if len(r.Findings) != 1 || r.Findings[0] != "app.order_completed 2026-11-21: missing from the warehouse: 1 row that nothing explains" {
		t.Errorf("findings: %q", r.Findings)
	}
}

func TestRowsThatNobodyCommittedAreNamed(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(10, func(i int, r *record) {
		if i == 3 {
			r.what = asDuplicate
		}
	})...)
	k.load(nil)
	k.count(0, 0, 10)
	k.exec(`INSERT INTO "app"."tracks" VALUES ('x', '2026-11-21 12:00:00', 0, 5), ('y', '2026-11-21 12:00:00', 0, 3), ('z', '2026-11-21 12:00:00', 0, 99), ('n', '2026-11-21 12:00:00', NULL, NULL), ('p', '2026-11-21 12:00:00', 7, 1)`)
	r := k.verify(withRows)
	sameLines(t, r, false, of(10, 9, 14, 9, func(l *verify.Line) { l.Duplicates, l.Unexplained.Warehouse = 1, -5 }))
	want := []string{
		"app.tracks: partition 0, offset 3: is in the warehouse and in no committed file",
		"app.tracks: partition 0, offset 5: is in the warehouse more than once",
		"app.tracks: partition NULL, offset NULL, id n: is in the warehouse and in no commit",
		"app.tracks: partition 0, offset 99, id z: is in the warehouse and in no commit",
		"app.tracks: partition 7, offset 1, id p: is in the warehouse and in no commit",
	}
	if d := cmp.Diff(want, r.Rows); d != "" {
		t.Errorf("rows differ (-want +got):\n%s", d)
	}
}

func TestALostRowBesideAStrangeOneIsFound(t *testing.T) {
	t.Parallel()
	k := setup(t, "")
	k.commit(0, tracks(10)...)
	k.load(nil)
	k.exec(`UPDATE "app"."tracks" SET "_offset" = 5 WHERE "_offset" = 6`)
	if r := k.verify(); !r.Balanced {
		t.Errorf("numbers alone cannot tell:\n%s", text(t, r))
	}
	if r := k.verify(withRows); r.Balanced || len(r.Rows) != 2 {
		t.Errorf("rows: %q", r.Rows)
	}
}

func TestHeldAndSkippedFilesAreNamed(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	c := k.commit(0, tracks(3)...)
	d := k.commit(0, tracks(4)...)
	k.commit(0, tracks(5)...)
	k.count(0, 0, 12)
	held, skipped := c.Files[1].Key, d.Files[1].Key
	k.load(func(r *row) bool { return r.key == held || r.key == skipped })
	chain := warehouse.Chain{Topic: topic, Part: 0}
	k.exec(warehouse.InsertHeld([]warehouse.Held{
		{Target: "app.tracks", Chain: chain, First: c.First, FileKey: held, Reason: "file"},
		{Target: "app.tracks", Chain: chain, First: d.First, FileKey: skipped, Reason: "skipped"},
		{Target: "app.tracks", Chain: chain, FileKey: "", Reason: "readers"}, // holds nothing
	}))
	r := k.verify(withRows)
	sameLines(t, r, true, of(12, 12, 5, 12, func(l *verify.Line) { l.Held, l.Skipped = 3, 4 }))
	if s := text(t, r); !strings.Contains(s, "3 held, 4 skipped") {
		t.Errorf("the report does not say so:\n%s", s)
	}
}

func TestHeldTableIsNamed(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(3)...)
	k.load(nil)
	c := k.commit(0, tracks(4)...)
	k.count(0, 0, 7)
	k.exec(warehouse.InsertHeld([]warehouse.Held{{Target: "app.tracks", Chain: warehouse.Chain{Topic: topic}, First: c.First, FileKey: warehouse.WholeTarget, Reason: "target"}}))
	r := k.verify(withRows)
	sameLines(t, r, true, of(7, 7, 3, 7, func(l *verify.Line) { l.Held = 4 }))
	if len(r.Tables) != 2 || r.Tables[0].Due != 4 || r.Tables[1].Held != 4 {
		t.Errorf("tables: %+v", r.Tables)
	}
}

func TestTwinInAnotherPartitionIsNamed(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	twin := func(_ int, r *record) { r.id = "twin" }
	k.commit(0, tracks(1, twin)...)
	k.commit(1, tracks(1, twin)...)
	k.commit(2, tracks(1, twin, func(_ int, r *record) { r.at = noon.Add(-11 * time.Hour) })...)
	k.options.From = noon.AddDate(0, 0, -3).Truncate(24 * time.Hour)
	k.commit(3, tracks(1, twin, func(_ int, r *record) { r.at = noon.AddDate(0, 0, -3) })...)
	k.load(func(r *row) bool { return r.part != 0 })
	for part := range int32(4) {
		k.count(part, 0, 1)
	}
	for _, target := range []string{"app.tracks", "app.order_completed"} {
		for _, v := range []string{"1, 0, '2026-11-21 12:00:00'", "1, 0, '2026-11-21 12:00:00'", "2, 0, '2026-11-21 01:00:00'", "3, 0, '2026-11-18 12:00:00'"} { // one of them by a load that was made again
			k.exec(fmt.Sprintf("INSERT INTO millstream.duplicates VALUES ('%s', 'twin', %s, 'load')", target, v))
		}
	}
	zero, one := int64(0), int64(1)
	late := verify.Line{Source: "app", Day: "2026-11-18", Accepted: 1, Lake: 1, Warehouse: &zero, Metrics: &one, Terms: verify.Terms{LateDuplicates: 1}}
	sameLines(t, k.verify(withRows), true, late, of(3, 3, 1, 3, func(l *verify.Line) { l.Twins = 2 }))
}

func TestDaysEndAtMidnightUTC(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	midnight := noon.Truncate(24*time.Hour).AddDate(0, 0, 1)
	k.commit(0, tracks(6, func(i int, r *record) { r.at = midnight.Add(time.Duration(i-2) * time.Millisecond) })...)
	k.load(nil)
	k.count(0, 0, 6)
	sameLines(t, k.verify(withRows), true, of(2, 2, 2, 2))
	k.options.To = midnight
	next := of(4, 4, 4, 4)
	next.Day = "2026-11-22"
	sameLines(t, k.verify(withRows), true, of(2, 2, 2, 2), next)
}

func TestSourcesHaveTheirOwnLines(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, append(tracks(3), tracks(2, func(_ int, r *record) { r.source = "web" })...)...)
	k.commit(1, tracks(1, func(_ int, r *record) { r.source = "till" })...) // no metric counts it
	k.load(nil)
	k.count(0, 0, 5)
	k.count(1, 0, 1)
	web := of(2, 2, 2, 2)
	web.Source = "web"
	till := of(1, 1, 1, 0)
	till.Source, till.Metrics = "till", nil
	sameLines(t, k.verify(withRows), true, of(3, 3, 3, 3), till, web)
	only := k.verify(withRows, func(o *verify.Options, _ *verify.Deps) { o.Source = "web" })
	sameLines(t, only, true, web)
}

func TestMetricsThatDifferAreFound(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	k.commit(0, tracks(5)...)
	k.load(nil)
	k.records[0][2].what = asDuplicate // for metrics only
	k.count(0, 0, 5)
	r := k.verify()
	sameLines(t, r, false, of(5, 5, 5, 4, func(l *verify.Line) { l.Unexplained.Metrics = 1 }))
	if r.Findings[0] != "app 2026-11-21: missing from metrics: 1 row that nothing explains" {
		t.Errorf("findings: %q", r.Findings)
	}
}

func TestTableThatIsGoneIsFound(t *testing.T) {
	t.Parallel()
	k := setup(t, "")
	k.commit(0, tracks(5)...)
	k.load(nil)
	k.exec(`DROP TABLE "app"."tracks"`)
	r := k.verify(withRows)
	if r.Balanced || len(r.Findings) != 1 || !strings.Contains(r.Findings[0], "loader reload --target app.tracks") || r.Lines[0].Gone != 5 {
		t.Errorf("the report says something else of it:\n%s", text(t, r))
	}
}

func TestMirrorThatIsGoneIsFound(t *testing.T) {
	t.Parallel()
	k := setup(t, "")
	const target = "shop_main.customers"
	chain := warehouse.Chain{Topic: "millstream.changes.shop.main.customers"}
	k.exec("CREATE SCHEMA shop_main", "CREATE TABLE shop_main.customers__refresh_1 (id BIGINT)")
	k.exec(warehouse.ReplacePositions([]string{target}, []warehouse.Position{{Target: target, Chain: chain, Next: 9}})...)
	state := func() verify.Mirror {
		t.Helper()
		r := k.verify(withRows)
		if len(r.Mirrors) == 0 {
			return verify.Mirror{}
		}
		if (r.Mirrors[0].State == verify.MirrorGone) == r.Balanced {
			t.Errorf("balanced is %v:\n%s", r.Balanced, text(t, r))
		}
		return r.Mirrors[0]
	}
	if m := state(); m.Table != "" {
		t.Errorf("before its first row: %+v", m)
	}
	k.exec(warehouse.InsertLoads([]warehouse.Load{{ID: "l", Target: target, Kind: "mirror", Files: 1}}))
	k.exec(warehouse.ReplacePolls(target, []warehouse.Poll{{Target: target, ID: "first", Work: target + "__refresh_1"}})...)
	if m := state(); m.State != verify.MirrorUnknown || !strings.Contains(m.Why, "poll first fills") {
		t.Errorf("while its first poll fills another table: %+v", m)
	}
	k.exec(warehouse.ReplacePolls(target, nil)...)
	if m := state(); m.State != verify.MirrorGone {
		t.Errorf("dropped: %+v", m)
	}
	if r := k.verify(); len(r.Findings) != 1 || !strings.Contains(r.Findings[0], "`millstream cdc reload shop main.customers`") {
		t.Errorf("findings: %q", r.Findings)
	}
}

func TestWithoutMetricsTheReportSaysSo(t *testing.T) {
	t.Parallel()
	k := setup(t, "version: 1\nmetrics:\n  orders: {count: Order Completed, source: [app]}\n")
	k.commit(0, tracks(5)...)
	k.load(nil)
	r := k.verify()
	if !r.Balanced || r.Lines[0].Metrics != nil || !strings.Contains(text(t, r), "none counts every event of a source") {
		t.Errorf("report:\n%s", text(t, r))
	}
}

func TestGapInAChainIsAFinding(t *testing.T) {
	t.Parallel()
	k := setup(t, "")
	k.commit(0, tracks(5)...)
	k.load(nil)
	k.next[0] = 9
	k.commit(0, tracks(5)...)
	if r := k.verify(withRows); r.Balanced || !strings.Contains(text(t, r), "want a commit at 5, found one at 9") {
		t.Errorf("report:\n%s", text(t, r))
	}
}

func TestCommitsAreHeldAgainstTheLog(t *testing.T) {
	t.Parallel()
	k := setup(t, "")
	_, cfg := testkit.Kafka(t)
	cl := testkit.KafkaClient(t, cfg, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := kafka.EnsureTopics(t.Context(), cfg, cl, cfg.EventsTopic()); err != nil {
		t.Fatal(err)
	}
	produce := func(part int32, n int) {
		t.Helper()
		for i := range n {
			h := wire.EventHeader{Source: "app", Type: event.Track, Event: "A", MessageID: fmt.Sprint(i), ReceivedAt: noon}
			r := &kgo.Record{Topic: topic, Partition: part, Value: []byte("{}"), Headers: wire.AppendEventHeaders[kgo.RecordHeader](nil, h)}
			if err := cl.ProduceSync(context.Background(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	withLog := func(_ *verify.Options, d *verify.Deps) { d.Kafka = &cfg }

	k.commit(0, tracks(5)...)
	k.load(nil)
	produce(0, 8)
	want := of(8, 5, 5, 0, func(l *verify.Line) { l.Uncommitted = 3 })
	want.Metrics = nil
	sameLines(t, k.verify(withLog), true, want)
	sameLines(t, k.verify(withLog, withRows), true, want)

	produce(1, 4)
	k.commit(1, tracks(4, func(i int, r *record) {
		if i == 2 {
			r.what = asHole // and the log has a record there
		}
	})...)
	k.commit(2, tracks(1)...) // and the log has none
	k.load(nil)
	if r := k.verify(withLog); !r.Balanced {
		t.Errorf("accounts alone cannot tell:\n%s", text(t, r))
	}
	r := k.verify(withLog, withRows)
	found := []string{
		"millstream.events/2: commits end at 1, the log at 0: is it another topic of that name?",
		"millstream.events/1: the log has 4 records from 0 to 4, commits account for 3",
	}
	if d := cmp.Diff(found, r.Findings); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
}

func TestRowsOfACompactedFileAreFound(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	c := k.commit(0, tracks(10)...)
	k.load(nil)
	k.count(0, 0, 7)
	for i, f := range c.Files { // as a compaction does, and gc after it
		schema, table, _ := strings.Cut(f.Table, ".")
		body, err := k.lake.Store.Get(t.Context(), f.Key)
		if err != nil {
			t.Fatal(err)
		}
		now := f
		now.Key = k.lake.Paths.Compacted(lake.Hour{Schema: schema, Table: table, DT: f.DT, HH: f.HH}, 1, i, "12345678", f.Schema)
		o := lake.Compaction{
			V: 1, Table: f.Table, DT: f.DT, HH: f.HH, Generation: 1, Replaces: []string{f.Key}, Files: []lake.File{now}, Rows: f.Rows,
			Lineage: "sha256:" + strings.Repeat("0", 64),
		}
		made, err := o.Encode()
		err = errors.Join(err, k.lake.Store.Create(t.Context(), now.Key, body), k.lake.Store.Delete(t.Context(), f.Key),
			k.lake.Store.Create(t.Context(), k.lake.Paths.Compaction(o.Hour(), 1), made))
		if err != nil {
			t.Fatal(err)
		}
	}
	sameLines(t, k.verify(withRows), true, of(10, 10, 10, 7, func(l *verify.Line) { l.Uncounted = 3 }))
}

func TestFilesThatCannotBeReadAreFoundAndTheRestCompared(t *testing.T) {
	t.Parallel()
	k := setup(t, eventsMetric)
	bad := k.commit(0, tracks(3)...)
	gone := k.commit(0, tracks(3)...)
	k.commit(0, tracks(4)...)
	k.load(nil)
	k.count(0, 0, 2) // within the first file
	k.exec(`DELETE FROM "app"."tracks" WHERE "_offset" IN (1, 8)`)
	err := k.lake.Store.Put(t.Context(), bad.Files[1].Key, []byte("PAR1 noise PAR1"))
	if err = errors.Join(err, k.lake.Store.Delete(t.Context(), gone.Files[0].Key)); err != nil {
		t.Fatal(err)
	}
	r := k.verify(withRows)
	s := text(t, r)
	for _, key := range []string{bad.Files[1].Key, gone.Files[0].Key} {
		if strings.Count(s, key+": its rows are not compared") != 1 {
			t.Errorf("%s is not named once:\n%s", key, s)
		}
	}
	if len(r.Rows) != 1 || !strings.HasPrefix(r.Rows[0], "app.tracks: partition 0, offset 8: is missing") {
		t.Errorf("rows: %q", r.Rows)
	}
	if strings.Contains(s, "verify-") {
		t.Errorf("a temporary file is named:\n%s", s)
	}
	k.exec(fmt.Sprintf(`DELETE FROM "app"."tracks" WHERE "_offset" < %d`, bad.Next))
	k.exec(warehouse.InsertHeld([]warehouse.Held{{Target: "app.tracks", Chain: warehouse.Chain{Topic: topic}, FileKey: bad.Files[1].Key, Reason: warehouse.Skipped}}))
	if s := text(t, k.verify(withRows)); strings.Contains(s, bad.Files[1].Key) {
		t.Errorf("a file that was given up is to be restored:\n%s", s)
	}
}

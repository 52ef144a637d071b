//go:build cgo

package batcher_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/lake"
)

// Five thousand names make as many tables as the limit allows; the other events
// are in one table, with all that they had. A name that has its table keeps it.
func TestEventNameFlood(t *testing.T) {
	w := setup(t)
	w.flooded = true
	const names, limit = 5000, 40
	cfg := quick(t)
	cfg.Limits.EventTables = limit
	cfg.Cut.Age = time.Second
	r := w.start(cfg)
	var recs []*kgo.Record
	for i := range names {
		recs = append(recs, track("app", "m"+strconv.Itoa(i), "Event "+strconv.Itoa(i), day, fmt.Sprintf(`{"n":%d,"deep":{"er":[1]}}`, i)))
	}
	recs = append(recs, track("app", "again", "Event 3", day, `{"n":-1}`), track("app", "fixed", "Tracks Other", day, `{}`))
	w.send(0, recs...)
	w.until(w.names.Events(), 0, int64(len(recs)))
	r.stop(t)
	w.sound()

	tables, err := w.lake.TablesOf(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for _, name := range tables {
		if !lake.IsFixedTable(name) {
			events++
		}
	}
	if events != limit {
		t.Errorf("%d event tables, want %d", events, limit)
	}
	if rows := w.rows("app.event_3"); len(rows) != 2 || rows[1]["n"] != int64(-1) {
		t.Errorf("the event that comes again has rows %v", rows)
	}
	others := w.rows(w.other())
	if len(others) != names-limit+1 {
		t.Fatalf("%d rows in tracks_other, want %d", len(others), names-limit+1)
	}
	last := others[names-limit-1]
	if last["event"] != "event_4999" || last["event_text"] != "Event 4999" || last["properties"] != `{"n":4999,"deep":{"er":[1]}}` || last["_unmapped"] != nil {
		t.Errorf("row %v", last)
	}
	if e := others[names-limit]["event"]; e != "event_tracks_other" {
		t.Errorf("an event that is called as the table is %q", e)
	}
	s, err := w.lake.LatestSchema(t.Context(), w.other())
	if err != nil || len(s.Columns) != 13 {
		t.Errorf("schema %+v, %v", s, err)
	}

	cfg.Disk.Dir += "-2" // another process counts what is in the lake
	w.start(cfg)
	w.send(0, track("app", "later", "Event 4", day, `{"n":-2}`), track("app", "new", "Never Seen", day, `{}`))
	w.until(w.names.Events(), 0, int64(len(recs))+2)
	if rows := w.rows("app.event_4"); len(rows) != 2 {
		t.Errorf("after a restart the table of an event has %d rows", len(rows))
	}
	if w.rows("app.never_seen") != nil || len(w.rows(w.other())) != names-limit+2 {
		t.Error("after a restart a new event has got a table")
	}
}

func (w *world) other() string { return "app." + lake.TableTracksOther }

// A new column in every record costs a version a freeze, not one a record, and
// ends at the limit of columns. What has no column is in _unmapped.
func TestColumnFlood(t *testing.T) {
	w := setup(t)
	const records, limit = 1200, 150
	cfg := quick(t)
	cfg.Limits.Columns = limit
	cfg.Cut.Age, cfg.Cut.Rows = time.Hour, records // two rows an event
	w.start(cfg)
	for p := range int32(2) { // two chains find columns at once
		var recs []*kgo.Record
		for i := range records / 2 {
			recs = append(recs, track("app", fmt.Sprintf("m%d-%d", p, i), "Wide", day, fmt.Sprintf(`{"c%d_%d":%d}`, p, i, i)))
		}
		w.send(p, recs...)
	}
	for p := range int32(2) {
		commits := w.until(w.names.Events(), p, records/2)
		for _, c := range commits {
			files := map[string]int{}
			for _, f := range c.Files {
				files[f.Table]++
			}
			if files["app.wide"] != 1 || files["app.tracks"] != 1 {
				t.Errorf("files %v", files)
			}
		}
	}
	w.sound()
	versions, err := w.lake.Schemas(t.Context(), "app.wide")
	if err != nil {
		t.Fatal(err)
	}
	if len(versions) > 4 || len(versions[0].Columns) != limit {
		t.Errorf("%d versions, the newest with %d columns", len(versions), len(versions[0].Columns))
	}
	held := 0
	for _, r := range w.rows("app.wide") {
		for name, v := range r {
			if strings.HasPrefix(name, "c0_") || strings.HasPrefix(name, "c1_") {
				held++
				continue
			}
			var unmapped map[string]json.RawMessage
			if name == "_unmapped" && json.Unmarshal([]byte(v.(string)), &unmapped) == nil {
				held += len(unmapped)
			}
		}
	}
	if held != records {
		t.Errorf("%d of %d values are in a column or in _unmapped", held, records)
	}
}

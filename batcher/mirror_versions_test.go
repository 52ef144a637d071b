//go:build cgo

package batcher_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

// A column that is dropped, renamed or retyped makes a version of its own, in
// files of its own; changes of an older version, which another partition or a
// restart may still bring, are read by that one.
func TestMirrorFollowsItsOrigin(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	columns := []event.TableColumn{
		{Name: "id", Origin: "bigint", Form: event.FormNumber, Lake: "int64", Warehouse: "BIGINT", Key: 1},
		{Name: "amount", Origin: "integer", Form: event.FormNumber, Lake: "int32", Warehouse: "INTEGER", Nullable: true},
		{Name: "legacy", Origin: "text", Form: event.FormText, Lake: "string", Warehouse: "VARCHAR", Nullable: true},
	}
	o := w.mirror("orders", columns)
	first := o.schema
	o.mark(wire.KindSchema, o.schema)
	o.change(event.OpRead, `{"id":1,"amount":7,"legacy":"x"}`)
	o.schema.Columns = []event.TableColumn{columns[0], {Name: "total", Origin: "numeric(10,2)", Form: event.FormText, Lake: "decimal(10,2)", Warehouse: "NUMERIC(10,2)", Nullable: true}}
	o.schema.Fingerprint, o.schema.Version = wire.TableFingerprint(o.schema.Columns), 2
	o.schema.Renamed, o.schema.Dropped = map[string]string{"amount": "total"}, []string{"legacy"}
	o.mark(wire.KindSchema, o.schema)
	o.mark(wire.KindSchema, o.schema) // as after a takeover
	o.change(event.OpUpdate, `{"id":1,"total":"7.50"}`)
	o.change(event.OpUpdate, `{"id":1,"amount":8}`) // of the version before, under the new fingerprint
	o.schema = first
	o.change(event.OpRead, `{"id":2,"amount":9,"legacy":null}`)
	o.produce(&kgo.Record{Key: []byte(`{"id":2}`), Headers: wire.AppendChangeHeaders[kgo.RecordHeader](nil, wire.ChangeHeader{
		Kind: wire.KindChange, Source: "shop", Table: o.table, Op: event.OpDelete, Schema: wire.Schema16(o.schema.Fingerprint),
	})}) // a tombstone
	commits := w.until(o.topic, 0, w.end(o.topic, 0))
	w.sound()
	if got := sum(commits); got.primary != 3 || got.rejected != 1 || got.marks != 4 {
		t.Errorf("totals %+v", got)
	}
	versions, err := w.lake.Schemas(t.Context(), "shop_public.orders")
	if err != nil || len(versions) != 2 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	var names []string
	for _, c := range versions[0].Columns[:2] {
		names = append(names, c.Name+" "+string(c.Type))
	}
	if diff := cmp.Diff([]string{"id int64", "total decimal(10,2)"}, names); diff != "" {
		t.Errorf("the newest version's columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"amount": "total"}, versions[0].Renamed); diff != "" {
		t.Errorf("its new names (-want +got):\n%s", diff)
	}
}

// Keys that are not whole, values that would be rounded and rows without a
// schema become dead letters; what a poll's mark says is kept to the letter.
func TestChangesThatAreNoRows(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	o := w.mirror("orders", ordersColumns)
	o.mark(wire.KindSchema, o.schema)
	poll := `{"v":1,"poll":"01jd","strategy":"full","state":"completed","rows":3,"of_a_later_version":{"a":[1, 2]},"offset":99}`
	o.produce(&kgo.Record{Key: wire.MarkKey(wire.KindPoll), Headers: wire.AppendChangeHeaders[kgo.RecordHeader](nil, wire.ChangeHeader{
		Kind: wire.KindPoll, Source: "shop", Table: o.table, Body: []byte(poll),
	})})
	bad := []string{
		`{"Total":"1.00"}`, `{"id":null}`, `{"id":1,"Total":"1.001"}`, `{"id":1,"Total":"123456789.00"}`, `{"id":1,"Total":1.5}`,
		`{"id":1,"due":"2026-11-21"}`, `{"id":1,"due":99999999999}`, `{"id":1,"at":"2026-11-21T06:15:02.1134021Z"}`, `{"id":1,"at":"soon"}`,
		`{"id":1,"local_at":1.5}`, `{"id":1,"blob":"AQI"}`, `{"id":1,"doc":{"a":1}}`, `{"id":1,"ok":1}`, `{"id":1.5}`, `{"id":9223372036854775808}`,
		`{"id":1,"small":32768}`, `{"id":1,"doc":"` + strings.Repeat("x", 65_536) + `"}`, `[]`, `null`, `{"id":1}}`, ``,
	}
	for _, object := range bad {
		o.change(event.OpRead, object)
	}
	o.change(event.OpDelete, `{"Total":"1.00"}`)
	o.change(event.OpRead, `{"id":7,"Total":"99999999.99","doc":"a\u0000b"}`)
	commits := w.until(o.topic, 0, w.end(o.topic, 0))
	w.verified()
	if got := sum(commits); got.primary != 1 || got.rejected != int64(len(bad)+1) || got.marks != 2 {
		t.Errorf("totals %+v", got)
	}
	for _, l := range w.letters(len(bad) + 1) {
		if l.Code != event.CodeBadChange || l.Table != o.table || l.RecordKey != `{"id":1}` {
			t.Errorf("dead letter %+v", l)
		}
	}
	if rows := w.rows("shop_public.orders"); len(rows) != 1 || fmt.Sprint(rows[0]["total"]) != "99999999.99" || rows[0]["doc"] != "ab" {
		t.Errorf("rows %v", rows)
	}
	want := `{"offset":1,"target":"shop_public.orders","v":1,"poll":"01jd","strategy":"full","state":"completed","rows":3,"of_a_later_version":{"a":[1,2]}}`
	for _, c := range commits {
		for _, m := range c.Marks {
			if string(m) != want {
				t.Errorf("mark %s, want %s", m, want)
			}
		}
	}
}

// Whoever comes second to a table's name has dead letters, and does not hold up
// others.
func TestOneNameForAnEventTableAndAMirror(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	o := w.mirror("tracks", ordersColumns[:1])
	o.mark(wire.KindSchema, o.schema)
	o.change(event.OpRead, `{"id":1}`)
	w.until(o.topic, 0, 2)
	w.send(0, track("shop_public", "late", "Thing", day, `{}`), track("app", "other", "Thing", day, `{}`))
	commits := w.until(w.names.Events(), 0, 2)
	w.verified()
	if got := sum(commits); got.rejected != 1 || got.primary != 1 {
		t.Errorf("events: totals %+v", got)
	}
	w.send(0, track("crm_public", "first", "Orders", day, `{}`))
	w.until(w.names.Events(), 0, 3)
	late := w.mirror("orders", ordersColumns[:1])
	late.source = "crm"
	late.mark(wire.KindSchema, late.schema)
	late.change(event.OpRead, `{"id":1}`)
	commits = w.until(late.topic, 0, 2)
	w.verified()
	if got := sum(commits); got.rejected != 2 {
		t.Errorf("changes: totals %+v", got)
	}
	codes := map[event.Code]int{}
	for _, l := range w.letters(3) {
		codes[l.Code]++
		if l.Code == event.CodeBadChange && !strings.Contains(l.Message, "one name") {
			t.Errorf("message %q", l.Message)
		}
	}
	if diff := cmp.Diff(map[event.Code]int{event.CodeSchemaUnknown: 2, event.CodeBadChange: 1}, codes); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if versions, err := w.lake.Schemas(t.Context(), "crm_public.orders"); err != nil || len(versions) != 1 {
		t.Errorf("%d versions, %v", len(versions), err)
	}
}

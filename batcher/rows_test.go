//go:build cgo

package batcher_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestRowsEqualEvents(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	w.send(0,
		eventRecord("app", event.Track, "Order Completed", "t1", day, `{"type":"track","event":"Order Completed","messageId":"t1","userId":"u1","anonymousId":"a1",
			"timestamp":"2026-11-21T06:15:02.113Z","originalTimestamp":"2026-11-21T07:15:02.113456+01:00","sentAt":"2026-11-21T06:15:03Z","receivedAt":"2026-11-21T06:15:02.113Z",
			"context":{"ip":"10.0.0.1","library":{"name":"js","version":"4"},"active":true},
			"properties":{"orderID":9007199254740993,"total":12.5,"paid":true,"at":"2026-11-21T06:00:00Z","currency":"EUR","products":[{"sku":"a"}],"empty":{},"none":null,
				"id":"p-1","address":{"postalCode":"10115"}},"integrations":{"All":true},"channel":"web"}`),
		eventRecord("app", event.Identify, "", "i1", day, `{"type":"identify","messageId":"i1","userId":"u1","timestamp":"2026-11-21T06:15:02.113Z","traits":{"email":"a@b.example","age":41}}`),
		eventRecord("app", event.Page, "", "p1", day, `{"type":"page","messageId":"p1","anonymousId":"a1","name":"Home","category":"shop","properties":{"path":"/"}}`),
		eventRecord("app", event.Screen, "", "s1", day, `{"type":"screen","messageId":"s1","anonymousId":"a1","name":"Main"}`),
		eventRecord("app", event.Group, "", "g1", day, `{"type":"group","messageId":"g1","userId":"u1","groupId":"acme","traits":{"seats":3}}`),
		eventRecord("app", event.Alias, "", "l1", day, `{"type":"alias","messageId":"l1","userId":"u1","previousId":"a1"}`),
	)
	w.until(w.names.Events(), 0, 6)
	w.sound()
	received := at("2026-11-21T06:15:02.113Z")
	common := row{
		"id": "t1", "received_at": received, "timestamp": received, "original_timestamp": at("2026-11-21T06:15:02.113456Z"),
		"sent_at": at("2026-11-21T06:15:03Z"), "anonymous_id": "a1", "user_id": "u1", "event": "order_completed", "event_text": "Order Completed",
		"_unmapped": `{"channel":"web"}`, "_partition": int64(0), "_offset": int64(0),
		"context_ip": "10.0.0.1", "context_library_name": "js", "context_library_version": "4", "context_active": true,
	}
	order := row{
		"order_id": int64(9007199254740993), "total": 12.5, "paid": true, "at": at("2026-11-21T06:00:00Z"), "currency": "EUR",
		"products": `[{"sku":"a"}]`, "properties_id": "p-1", "address_postal_code": "10115",
	}
	maps.Copy(order, common)
	base := func(id string, offset int64, more row) row {
		r := row{"id": id, "received_at": received, "_partition": int64(0), "_offset": offset}
		maps.Copy(r, more)
		return r
	}
	for table, want := range map[string]row{
		"app.tracks":          common,
		"app.order_completed": order,
		"app.identifies":      base("i1", 1, row{"user_id": "u1", "timestamp": received, "email": "a@b.example", "age": int64(41)}),
		"app.pages":           base("p1", 2, row{"anonymous_id": "a1", "name": "Home", "category": "shop", "path": "/"}),
		"app.screens":         base("s1", 3, row{"anonymous_id": "a1", "name": "Main"}),
		"app.groups":          base("g1", 4, row{"user_id": "u1", "group_id": "acme", "seats": int64(3)}),
		"app.aliases":         base("l1", 5, row{"user_id": "u1", "previous_id": "a1"}),
	} {
		if diff := cmp.Diff([]row{want}, w.rows(table)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", table, diff)
		}
	}
}

// Whatever comes after a column has got its type, the event can be told from
// the row that a reader of the lake sees.
func TestUnmappedIsLosslessForReaders(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	w.send(0, track("app", "first", "Thing", day, `{"b":true,"i":1,"f":1.5,"t":"2026-11-21T06:15:02Z","s":"x","j":[1]}`))
	w.until(w.names.Events(), 0, 1)
	rnd := rand.New(rand.NewPCG(7, 7))
	var sent []string
	var recs []*kgo.Record
	for i := range 400 {
		props := "{"
		for _, name := range []string{"b", "i", "f", "t", "s", "j", "new_" + strconv.Itoa(i%5), "dot.ted"} {
			if rnd.IntN(3) > 0 {
				props += fmt.Sprintf(`%q:%s,`, name, oddValue(rnd))
			}
		}
		sent = append(sent, strings.TrimSuffix(props, ",")+"}")
		recs = append(recs, track("app", "m"+strconv.Itoa(i), "Thing", day, sent[i]))
	}
	w.send(0, recs...)
	w.until(w.names.Events(), 0, 401)
	rows := w.rows("app.thing")
	if len(rows) != 401 {
		t.Fatalf("%d rows", len(rows))
	}
	schema, err := w.lake.LatestSchema(t.Context(), "app.thing")
	if err != nil {
		t.Fatal(err)
	}
	for i, props := range sent {
		checkLossless(t, schema, rows[i+1], props)
	}
}

func checkLossless(t *testing.T, schema lake.Schema, r row, props string) {
	t.Helper()
	leaves := map[string]json.RawMessage{}
	flatten(leaves, "properties", json.RawMessage(props), 0)
	for path, raw := range leaves {
		if problem := lost(schema, r, path, raw); problem != "" {
			t.Error(problem)
		}
	}
}

// A column that is new costs no file of its own as long as its range is open.
func TestColumnsOfARangeShareAFile(t *testing.T) {
	w := setup(t)
	var recs []*kgo.Record
	for i := range 60 {
		recs = append(recs, track("app", "m"+strconv.Itoa(i), "Wide", day, fmt.Sprintf(`{"c%d":%d}`, i, i)))
	}
	w.send(0, recs...)
	cfg := quick(t)
	cfg.Cut.Age, cfg.Cut.Rows = time.Hour, 2*60 // a row in each of two tables: the last record ends the range, however they come
	w.start(cfg)
	commits := w.until(w.names.Events(), 0, 60)
	if len(commits) != 1 {
		t.Fatalf("the records came in %d ranges", len(commits))
	}
	files := 0
	for _, f := range commits[0].Files {
		if f.Table == "app.wide" {
			files++
		}
	}
	if files != 1 {
		t.Errorf("%d files for one table and hour", files)
	}
	if rows := w.rows("app.wide"); len(rows) != 60 || rows[59]["c59"] != int64(59) {
		t.Errorf("%d rows, the last is %v", len(rows), rows[len(rows)-1])
	}
}

// Two batchers that meet a name first and at once, with two types, agree on one.
func TestSchemaRace(t *testing.T) {
	w := setup(t)
	a, b := quick(t), quick(t)
	w.start(a)
	w.start(b)
	w.send(0, track("app", "int", "Race", day, `{"v":1}`))
	w.send(1, track("app", "text", "Race", day, `{"v":"one"}`))
	w.until(w.names.Events(), 0, 1)
	w.until(w.names.Events(), 1, 1)
	w.sound()
	testkit.Eventually(t, "both rows keep their value", func() error {
		for _, r := range w.rows("app.race") {
			want := map[any]string{"int": "1", "text": "one"}[r["id"]]
			if fmt.Sprint(r["v"]) != want && !strings.Contains(fmt.Sprint(r["_unmapped"]), want) {
				return fmt.Errorf("row %v", r)
			}
		}
		return nil
	})
}
